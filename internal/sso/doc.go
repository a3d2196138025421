// Package sso lets one login serve many sites. People log in at the portal's host;
// a site sends them there and gets them back with a code, for which it makes a
// session of its own, on its own host, that hangs on the portal's.
//
// It owns the codes and the list of sites that may get one. It does not own
// sessions (package session), pages and cookies (package portal), nor what ends a
// site's session when the portal's ends: that is package session's Parent.
//
// A code is 256 random bits, good for a minute, for one use, for one site, and for
// the browser that began: the site has put a verifier into that browser's cookie,
// and the code counts only beside it (as in PKCE, RFC 7636). Whoever sees a code in
// an address or a log has nothing. All instances share one store, so a code is
// redeemed there, and no call goes from site to portal.
package sso

import (
	"errors"
	"time"
)

// ErrBadCode is returned for a code that counts for nothing here: made up, used,
// too old, of another site or another browser.
var ErrBadCode = errors.New("the code is unknown, used, too old, or not for this site and browser")

// ErrUnknownSite is returned for a site that no gate guards.
var ErrUnknownSite = errors.New("no gate that shares this store guards that site")

const (
	codeTTL = time.Minute
	// siteTTL is for how long a site is known after its instance last said so.
	siteTTL = 10 * time.Minute
	// Announce is how often an instance should say which sites it guards.
	Announce = 2 * time.Minute
)
