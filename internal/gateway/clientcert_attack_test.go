package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"testing"
)

// withCertificate is a request over TLS that was made for a host.
func withCertificate(method, host string, headers ...string) *http.Request {
	good := new(x509.Certificate)
	good.Subject.CommonName = "good"
	r := get("/", headers...)
	r.Method = method
	r.TLS = &tls.ConnectionState{ServerName: host, PeerCertificates: []*x509.Certificate{good}, VerifiedChains: [][]*x509.Certificate{{good}}}
	return r
}

func certificateSite() *scene {
	s := newScene()
	s.options.Decider = deciderFunc(signedIn)
	s.options.Authenticators = append(s.options.Authenticators, CertificateAuthenticator(registry{}))
	return s
}

// TestCertificateOfAnotherSitesTLS: Caddy refuses a Host that is not the name that
// TLS was made for, since each name may have authorities of its own; but then it runs
// handle_errors, where a gate may stand.
func TestCertificateOfAnotherSitesTLS(t *testing.T) {
	for _, c := range []struct {
		sni, host string
		status    int
	}{
		{"app.example.com", "app.example.com", 200},
		{"app.example.com", "APP.example.com:8443", 200},
		{"other.example.com", "app.example.com", 401},
		{"", "app.example.com", 401},
		{"app.example.com", "", 401},
		{"", "", 401},
		{"app.example.com", "app.example.com.", 401},
		{"app.example.com", "app.example.com@other", 401},
	} {
		s := certificateSite()
		r := withCertificate(http.MethodGet, c.sni)
		r.Host = c.host
		if res := s.do(t, r); res.StatusCode != c.status {
			t.Errorf("TLS for %q, Host %q: %d, want %d", c.sni, c.host, res.StatusCode, c.status)
		}
	}
}

// TestAnotherSiteRidesACertificate: browsers send a certificate with every request,
// whoever made them send it. It counts where a cookie with SameSite=Lax would.
func TestAnotherSiteRidesACertificate(t *testing.T) {
	for _, c := range []struct {
		name, method string
		headers      []string
		user         string
	}{
		{"a program", "POST", nil, "good"},
		{"a program with an Origin", "GET", []string{"Origin", "https://elsewhere.example"}, "good"},
		{"a page of this site", "POST", []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors", "Origin", "https://app.example.com"}, "good"},
		{"a sister site", "POST", []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors", "Origin", "https://www.example.com"}, "good"},
		{"typed into the address bar", "GET", []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, "good"},
		{"a link", "GET", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, "good"},
		{"a form", "POST", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, ""},
		{"a frame", "GET", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, ""},
		{"an image", "GET", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, ""},
		{"fetch with credentials", "GET", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"}, ""},
		{"WebSocket", "GET", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "websocket"}, ""},
		{"in other letters, and twice", "GET", []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Site", "Cross-Site", "Sec-Fetch-Mode", "cors"}, ""},
		{"a form, in an old browser", "POST", []string{"Origin", "https://elsewhere.example"}, ""},
		{"a form of a page without origin, in an old browser", "POST", []string{"Origin", "null"}, ""},
		{"a form of this site, in an old browser", "POST", []string{"Origin", "https://app.example.com"}, "good"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := certificateSite()
			s.options.Decider = deciderFunc(allowAll)
			r := withCertificate(c.method, "app.example.com", c.headers...)
			r.Host = "app.example.com"
			if res := s.do(t, r); res.StatusCode != 200 || s.last(t).Header.Get("Remote-User") != c.user {
				t.Errorf("%d, the app was told %q, want %q", res.StatusCode, s.last(t).Header.Get("Remote-User"), c.user)
			}
		})
	}
}
