// Package jwt verifies bearer tokens that others have issued: JSON Web Tokens
// (RFC 7519, checked as RFC 8725 and RFC 9068 demand) by the issuer's keys, and
// opaque tokens by asking the issuer (RFC 7662).
//
// Five parts:
//
//   - Verifier tells who a token stands for. It reads a token strictly before any
//     cryptography, checks the signature with a key of that token's issuer and no
//     other, and only then believes what the token says.
//   - Source keeps one issuer's public keys up to date. It outlives changes of
//     the configuration and may be shared by verifiers.
//   - Introspector asks one issuer about opaque tokens.
//   - Revocations keep in the store which tokens must not count any more.
//   - memory, the bounded memory of tokens that were found good, lets the same
//     token cost one signature check. Revocations win over it.
//
// It does not own where a token is found in a request, what is answered, users'
// records, or tokens that we issue ourselves. A value must be handed in only when
// no other method claims it: one that is not in the form of a JWT, nor of our own
// API keys, is sent to the introspection endpoint, if there is one.
//
// What a stranger sent is never part of an error: reasons are fixed sentences.
package jwt
