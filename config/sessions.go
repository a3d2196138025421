package config

import (
	"net/netip"
	"strings"
	"time"
)

// Sessions says how long a browser stays signed in.
type Sessions struct {
	// IdleTimeout ends a session that sent no request for so long. From 1m up to
	// Lifetime. Default: 1h, or Lifetime if that is shorter.
	IdleTimeout Duration `json:"idle_timeout,omitzero"`

	// Lifetime ends a session so long after its login, whatever happens. From 1m
	// to 400d, the longest that a browser keeps a cookie. Default: 24h.
	Lifetime Duration `json:"lifetime,omitzero"`

	// RememberMe is the lifetime of a session whose owner ticked "stay signed in".
	// Longer than Lifetime, up to 400d. Default: off, the box is not shown.
	RememberMe Duration `json:"remember_me,omitzero"`

	// CookieDomain shares the session with all sites below this domain, so that
	// one login serves them all. Every one of those hosts can then plant a cookie
	// for the others. Default: none, the cookie belongs to one host.
	CookieDomain string `json:"cookie_domain,omitempty"`
}

// The defaults and limits of Sessions.
const (
	DefaultIdleTimeout = Duration(time.Hour)
	DefaultLifetime    = Duration(24 * time.Hour)
	minSession         = Duration(time.Minute)
	maxSession         = Duration(400 * 24 * time.Hour)
)

func (s *Sessions) validate() error {
	if err := within("idle_timeout", s.IdleTimeout, minSession, maxSession); err != nil {
		return err
	}
	if err := within("lifetime", s.Lifetime, minSession, maxSession); err != nil {
		return err
	}
	if err := within("remember_me", s.RememberMe, minSession, maxSession); err != nil {
		return err
	}
	life, origin := s.Lifetime, ""
	if life == 0 {
		life, origin = DefaultLifetime, " by default"
	}
	if s.IdleTimeout > life {
		return fault("idle_timeout", "%s is longer than lifetime, which is %s%s: write a shorter idle_timeout or a longer lifetime", s.IdleTimeout, life, origin)
	}
	if s.RememberMe != 0 && s.RememberMe <= life {
		return fault("remember_me", "%s is no longer than lifetime, which is %s%s: write a longer remember_me or leave it out", s.RememberMe, life, origin)
	}
	return s.validateDomain()
}

func (s Sessions) withDefaults() Sessions {
	if s.Lifetime == 0 {
		s.Lifetime = DefaultLifetime
	}
	if s.IdleTimeout == 0 {
		s.IdleTimeout = min(DefaultIdleTimeout, s.Lifetime)
	}
	return s
}

// validateDomain refuses what a browser would drop in silence, so that logins
// would go round in circles.
func (s *Sessions) validateDomain() error {
	const field = "cookie_domain"
	d := s.CookieDomain
	if d == "" {
		return nil
	}
	if strings.HasPrefix(d, ".") {
		return fault(field, "%q begins with a dot: write %s", d, strings.TrimLeft(d, "."))
	}
	if strings.HasPrefix(d, "*.") {
		return fault(field, "%q begins with *: write %s, sub-domains are always included", d, strings.TrimPrefix(d, "*."))
	}
	if strings.ContainsAny(d, ":/") {
		return fault(field, "%q is more than a domain: write it without scheme, port and path, such as example.com", d)
	}
	if _, err := netip.ParseAddr(d); err == nil {
		return fault(field, "%q is an address: cookies can only be shared below a domain, such as example.com", d)
	}
	if !domainName(d) {
		return fault(field, "%q is not a domain name in lower-case letters, digits and hyphens (xn-- for others), such as example.com", d)
	}
	if !strings.Contains(d, ".") {
		return fault(field, "%q is a single label, for which browsers keep no shared cookie: write a domain of your own, such as example.com, or leave it out", d)
	}
	return nil
}

// domainName reports whether s is a host name in lower case (RFC 1123 section
// 2.1), whose last label is not a number.
func domainName(s string) bool {
	if len(s) == 0 || len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		for i := range len(l) {
			if c := l[i]; c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
				return false
			}
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}
