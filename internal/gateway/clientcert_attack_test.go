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
