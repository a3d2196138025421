// Package oidc is the protocol of being a client: it logs people in at OpenID
// Connect providers (and at GitHub, which is OAuth 2.0 without it), asks later
// whether the provider still stands by a login, and understands when a provider
// ends one.
//
//   - Begin and Finish are the authorization code flow (OpenID Connect Core
//     section 3.1) with PKCE, state, nonce and the issuer in the response (RFC
//     9207). What Begin returns for later is the caller's to keep, bound to the
//     browser, and to use once.
//   - Refresh asks again (section 12). Its errors tell "the provider says no"
//     from "nothing is known", on which nobody may be signed out.
//   - EndSessionURL, LogoutToken, FrontChannel and Revoke are the ends.
//
// It does not own a store, cookies, pages or users, nor keys: signatures are
// checked by the KeySet that Options name.
//
// A token is read strictly and held against every rule before its signature is
// checked, so that a forged one is cheap; nothing in it is believed until then.
// Of what a provider sent, an error holds at most a description that is cleaned
// and bounded.
package oidc
