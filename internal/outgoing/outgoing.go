// Package outgoing is what requests of our own to issuers and providers share:
// where they may go, and how they get there.
package outgoing

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// ErrRedirect is returned for a redirect that is not followed.
var ErrRedirect = errors.New("it redirects to another place, or too often")

// Transport makes connections that give up after patience. It decompresses
// nothing: a small answer could grow beyond reason.
func Transport(patience time.Duration) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: patience}).DialContext,
		TLSHandshakeTimeout:    patience,
		IdleConnTimeout:        time.Minute,
		MaxIdleConns:           8,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}
}

// SameHost is a CheckRedirect that follows at most three redirects, which stay
// where the operator said: an open redirect must not choose whose word we take.
func SameHost(to *http.Request, via []*http.Request) error {
	from := via[0].URL
	if len(via) > 3 || to.URL.Scheme != from.Scheme || !strings.EqualFold(to.URL.Host, from.Host) || to.URL.User != nil {
		return ErrRedirect
	}
	return nil
}

// NoRedirect is a CheckRedirect that follows none, and returns the redirect.
func NoRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// URL reads an address whose answers we are to trust: by https, or by http from
// this machine. Anybody in between could answer instead. Errors say what the
// address is, and do not quote it.
func URL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("it is no URL")
	case u.User != nil || u.Fragment != "" || strings.Contains(address, "#"):
		return nil, errors.New("it has a user or a fragment")
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return nil, errors.New("it is not https")
	}
	return u, nil
}

func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
