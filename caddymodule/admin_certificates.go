package caddymodule

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/certificate"
)

// certificatesPage is what is known of client certificates here: which are bound
// to whom, and which are revoked. The certificates themselves are kept nowhere.
type certificatesPage struct {
	Bindings []bindingView     `json:"bindings"`
	Revoked  []revokedCertView `json:"revoked"`
}

type bindingView struct {
	Owner       string    `json:"owner"`
	Certificate string    `json:"certificate"` // its name, or sha256:<fingerprint>
	Created     time.Time `json:"created"`
}

type revokedCertView struct {
	Fingerprint string    `json:"fingerprint"`
	Note        string    `json:"note,omitempty"`
	Created     time.Time `json:"created"`
}

// certificateRef is the body of the calls that change something.
type certificateRef struct {
	Owner       string `json:"owner,omitempty"`
	Certificate string `json:"certificate"`
	Note        string `json:"note,omitempty"`
}

func (c *adminCall) listCertificates() error {
	bound, err := c.svc.certificates.Bindings(c.r.Context(), c.r.URL.Query().Get("owner"))
	if err != nil {
		return err
	}
	revoked, err := c.svc.certificates.Revoked(c.r.Context())
	if err != nil {
		return err
	}
	page := certificatesPage{Bindings: []bindingView{}, Revoked: []revokedCertView{}}
	for _, b := range bound {
		page.Bindings = append(page.Bindings, viewBinding(b))
	}
	for _, r := range revoked {
		page.Revoked = append(page.Revoked, revokedCertView{Fingerprint: r.Fingerprint, Note: r.Note, Created: r.Revoked})
	}
	return c.write(http.StatusOK, page)
}

func viewBinding(b certificate.Binding) bindingView {
	return bindingView{Owner: b.Owner, Certificate: b.Ref, Created: b.Created}
}

func (c *adminCall) readRef() (in certificateRef, err error) {
	err = c.read(&in)
	c.subject, c.credential = in.Owner, in.Certificate
	return in, err
}

func (c *adminCall) bindCertificate() error {
	in, err := c.readRef()
	if err != nil {
		return err
	}
	if c.app.Certificates == nil && !strings.HasPrefix(in.Certificate, "sha256:") {
		return apiError(http.StatusConflict, errors.New("no certificates option says which name of a certificate counts: bind it by its fingerprint, sha256:…"))
	}
	if err := c.svc.certificates.Bind(c.r.Context(), in.Owner, in.Certificate); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (c *adminCall) unbindCertificate() error {
	in, err := c.readRef()
	if err != nil {
		return err
	}
	if err := c.svc.certificates.Unbind(c.r.Context(), in.Owner, in.Certificate); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (c *adminCall) revokeCertificate() error {
	in, err := c.readRef()
	if err != nil {
		return err
	}
	if err := c.svc.certificates.Revoke(c.r.Context(), in.Certificate, in.Note); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (c *adminCall) unrevokeCertificate() error {
	in, err := c.readRef()
	if err != nil {
		return err
	}
	if err := c.svc.certificates.Unrevoke(c.r.Context(), in.Certificate); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
