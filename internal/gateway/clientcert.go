package gateway

import (
	"context"
	"crypto/x509"
	"net/http"
	"strings"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// Certificates makes an identity of a chain that TLS has verified, the client's
// own certificate first. Errors are those of Tokens.
type Certificates interface {
	Identify(ctx context.Context, chain []*x509.Certificate) (*identity.Identity, error)
}

// CertificateAuthenticator returns the authenticator of TLS client certificates.
// One that TLS did not verify is bad: the site is to ask for verified ones only.
func CertificateAuthenticator(c Certificates) Authenticator { return &certificates{registry: c} }

type certificates struct{ registry Certificates }

func (a *certificates) Authenticate(ctx context.Context, r *http.Request, _ Caller) (Result, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
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

var _ Authenticator = (*certificates)(nil)
