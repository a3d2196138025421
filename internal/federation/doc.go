// Package federation owns what becomes of a person for whom an outside provider
// vouches: which user they are (SignIn), what their session holds (Session), how
// often the provider is asked whether it still stands by the login (Guard), and
// how the provider's word ends it (Guard.Logout).
//
// It does not own the protocol (package oidc), records (package user), sessions
// and their seals (package session), nor pages and cookies.
//
// Asking again follows one rule: a "no" ends the session, and no answer ends
// nothing. Between two questions passes Entry.Recheck; the question is asked from
// four fifths of it on in the background, so that a request waits for it only
// when none came in time, and then briefly. Many instances ask as one: who holds
// the lease in the store asks, the others take over what comes of it, good or
// bad.
package federation
