package sso

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

// sitePrefix of the keys of sites; the rest is a host name.
const sitePrefix = "sso_site/"

// Sites knows which hosts are guarded by gates that share the store: only to
// those does the portal send people back.
type Sites struct{ store store.Store }

// NewSites keeps the list in s.
func NewSites(s store.Store) *Sites { return &Sites{store: s} }

// Announce says that an instance guards these hosts: names in lower case without
// ports; "*.example.com" stands for one label. It holds for ten minutes.
func (s *Sites) Announce(ctx context.Context, hosts []string) error {
	for _, h := range hosts {
		if err := s.store.Put(ctx, sitePrefix+strings.ToLower(h), nil, siteTTL); err != nil {
			return fmt.Errorf("announcing the site %s: %w", h, err)
		}
	}
	return nil
}

// Check returns the origin of a site in its one spelling, or ErrUnknownSite, or
// the store's error. The origin is https, or http on this machine: a code that
// travels in clear would be anybody's.
func (s *Sites) Check(ctx context.Context, origin string) (string, error) {
	clean, host, ok := parseOrigin(origin)
	if !ok {
		return "", ErrUnknownSite
	}
	names := []string{host}
	if _, rest, found := strings.Cut(host, "."); found {
		names = append(names, "*."+rest)
	}
	for _, name := range names {
		_, found, err := s.store.Get(ctx, sitePrefix+name)
		if err != nil {
			return "", fmt.Errorf("looking up a site: %w", err)
		}
		if found {
			return clean, nil
		}
	}
	return "", ErrUnknownSite
}

// parseOrigin reads "https://host[:port]" and nothing more.
func parseOrigin(text string) (clean, host string, ok bool) {
	u, err := url.Parse(text)
	if err != nil || len(text) > 300 || u.Host == "" || u.Opaque != "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" ||
		strings.ContainsAny(text, "#?\\") {
		return "", "", false
	}
	host = strings.ToLower(u.Hostname())
	if host == "" || !plainHost(host) {
		return "", "", false
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback(host)) {
		return "", "", false
	}
	port := u.Port()
	if strings.HasSuffix(u.Host, ":") {
		return "", "", false
	}
	shown := host
	if strings.Contains(host, ":") {
		shown = "[" + host + "]"
	}
	clean = u.Scheme + "://" + shown
	if port != "" && !(u.Scheme == "https" && port == "443") && !(u.Scheme == "http" && port == "80") {
		clean += ":" + port
	}
	return clean, host, true
}

// plainHost refuses what no host name or address has: what an app or browser may
// read in another way than we do.
func plainHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return !strings.Contains(host, "%")
	}
	for i := range len(host) {
		c := host[i]
		if ('a' > c || c > 'z') && ('0' > c || c > '9') && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return !strings.HasPrefix(host, ".") && !strings.Contains(host, "..")
}

func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// Origin is the origin of a request to a site, as Check spells it; ok is false for
// one that could get no code.
func Origin(scheme, host string) (origin string, ok bool) {
	origin, _, ok = parseOrigin(scheme + "://" + host)
	return origin, ok
}
