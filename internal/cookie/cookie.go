// Package cookie knows the names and attributes of the cookies that are ours,
// and keeps the app from reading, setting or clearing them.
package cookie

import (
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The base names; a Jar puts the prefix before them that makes a browser insist
// on the cookie's attributes (RFC 6265bis section 4.1.3).
const (
	session = "gatehouse"

	device  = "gatehouse-device"
	check   = "gatehouse-check"
	choice  = "gatehouse-choice"
	arrival = "gatehouse-arrival"
	begun   = "gatehouse-login-" // and what tells one login from another
)

// Jar makes our cookies for one portal. The zero Jar makes host-only cookies.
type Jar struct {
	// Domain, when set, shares the cookies with its sub-domains and costs the
	// __Host- prefix.
	Domain string
}

// Session is the name of the session cookie.
func (j Jar) Session() string { return j.prefix() + session }

// Device is the name of the cookie that remembers a browser which has signed in
// before, so that strangers' guesses cannot lock it out.
func (j Jar) Device() string { return j.prefix() + device }

// Check is the name of the cookie by which the login page learns whether the
// browser keeps cookies at all.
func (j Jar) Check() string { return j.prefix() + check }

// Choice is the name of the cookie that keeps which provider was used last.
func (j Jar) Choice() string { return j.prefix() + choice }

// Arrival is the name of the cookie that says, for a minute after a login at a
// provider, which session the browser was given: one that comes back without it
// would be led in a circle.
func (j Jar) Arrival() string { return j.prefix() + arrival }

// Begun is the name of the cookie of one login that has begun at a provider.
func (j Jar) Begun(id string) string { return j.prefix() + begun + id }

// HostOnly is a Jar for cookies that are never shared with other hosts.
func (j Jar) HostOnly() Jar { return Jar{} }

func (j Jar) prefix() string {
	if j.Domain != "" {
		return "__Secure-"
	}
	return "__Host-"
}

// Allowed reports whether a request may be given cookies: over TLS always, over
// plain HTTP only on localhost and loopback addresses, which browsers treat as
// secure.
func Allowed(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Set gives the browser a cookie. A maxAge of 0 makes it end with the browser
// session.
func (j Jar) Set(w http.ResponseWriter, name, value string, maxAge time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", Domain: j.Domain, MaxAge: int(maxAge.Seconds()),
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// Clear takes a cookie from the browser.
func (j Jar) Clear(w http.ResponseWriter, name string) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Path: "/", Domain: j.Domain, MaxAge: -1,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// Read returns the value of the one cookie called name. A cookie that comes
// twice with different values was planted by somebody: then sent is true and
// value is empty, as for one whose value is empty or over-long.
func Read(h http.Header, name string) (value string, sent bool) {
	for _, line := range h["Cookie"] {
		for len(line) > 0 {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			k, v, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
			if k != name {
				continue
			}
			if sent && v != value {
				return "", true
			}
			value, sent = v, true
		}
	}
	if len(value) > 512 {
		return "", true
	}
	return value, sent
}

// Login is the cookie of one login that has begun: the value of the one called
// Begun(ID).
type Login struct{ ID, Value string }

// What is read of the cookies of logins that have begun.
const (
	maxLogins = 64
	// MaxLogin is the longest value of one, in bytes: browsers keep 4096 for name
	// and value together.
	MaxLogin = 4000
)

// Logins returns the cookies of logins that have begun, each name once; of a
// hostile number of them the first 64. One that comes twice with different
// values, or is over-long, has an empty value, as in Read.
func (j Jar) Logins(h http.Header) []Login {
	start := j.Begun("")
	var all []Login
	for _, line := range h["Cookie"] {
		for len(line) > 0 {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			k, v, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
			id, ours := strings.CutPrefix(k, start)
			if !ours || !Ours(k) {
				continue
			}
			if len(v) > MaxLogin {
				v = ""
			}
			i := slices.IndexFunc(all, func(l Login) bool { return l.ID == id })
			switch {
			case i < 0 && len(all) < maxLogins:
				all = append(all, Login{id, v})
			case i >= 0 && all[i].Value != v:
				all[i].Value = ""
			}
		}
	}
	return all
}
