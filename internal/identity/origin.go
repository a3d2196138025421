package identity

import "strings"

// Origin is the origin that a browser sends a request to, in the spelling of
// browsers (RFC 6454 section 6.1): host is that of the Host header.
func Origin(tls bool, host string) string {
	scheme, port := "http://", ":80"
	if tls {
		scheme, port = "https://", ":443"
	}
	return scheme + strings.TrimSuffix(strings.ToLower(host), port)
}

// For reports whether the identity counts at the site of an origin. A session of
// one site is nothing at any other, whoever carries its cookie there.
func (i *Identity) For(origin string) bool { return i.Site == "" || i.Site == origin }
