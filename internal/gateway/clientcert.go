package gateway

import (
	"context"
	"crypto/x509"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// Certificates makes an identity of a chain that TLS has verified, the client's
// own certificate first. Errors are those of Tokens.
type Certificates interface {
	Identify(ctx context.Context, chain []*x509.Certificate) (*identity.Identity, error)
}

// CertificateAuthenticator returns the authenticator of TLS client certificates.
// One that TLS did not verify is bad: the site is to ask for verified ones only. One
// that a browser sends for a page of another site counts as none.
func CertificateAuthenticator(c Certificates) Authenticator { return &certificates{registry: c} }

type certificates struct{ registry Certificates }

func (a *certificates) Authenticate(ctx context.Context, r *http.Request, _ Caller) (Result, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 || byAnotherSite(r) {
		return Result{Outcome: Absent}, nil
	}
	var id *identity.Identity
	var err error
	switch {
	case len(r.TLS.VerifiedChains) == 0 || len(r.TLS.VerifiedChains[0]) == 0:
		err = &identity.Refusal{Reason: "TLS did not verify the certificate"}
	case r.TLS.ServerName == "" || !strings.EqualFold(r.TLS.ServerName, hostname(r.Host)):
		// Each name may have authorities of its own.
		err = &identity.Refusal{Reason: "the TLS connection, which verified the certificate, was made for another host"}
	default:
		id, err = a.registry.Identify(ctx, r.TLS.VerifiedChains[0])
	}
	res, err := result(identity.Certificate, id, nil, err, "")
	res.Header = ""
	return res, err
}

// byAnotherSite reports whether a page of another site made a browser send r, which
// then has the certificate with it, unasked. As SameSite=Lax does for cookies, this
// lets links to here be followed. Programs send none of these headers; in a browser
// older than them, Origin tells at least of forms.
func byAnotherSite(r *http.Request) bool {
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead
	if site := r.Header["Sec-Fetch-Site"]; len(site) > 0 {
		cross := slices.ContainsFunc(site, func(s string) bool { return strings.EqualFold(s, "cross-site") })
		dest := r.Header.Get("Sec-Fetch-Dest")
		return cross && (!safe || r.Header.Get("Sec-Fetch-Mode") != "navigate" || dest != "" && dest != "document")
	}
	origin := r.Header.Get("Origin")
	return !safe && origin != "" && !strings.EqualFold(origin, "https://"+r.Host)
}

var _ Authenticator = (*certificates)(nil)
