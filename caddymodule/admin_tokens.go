package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/jwt"
)

// revocationView is a revocation of tokens as the admin API shows it.
type revocationView struct {
	Issuer    string     `json:"issuer,omitempty"` // the name of its jwt block, or the issuer itself if it has none now; "" is every issuer
	JTI       string     `json:"jti,omitempty"`
	TokenHash string     `json:"token_sha256,omitempty"`
	SID       string     `json:"sid,omitempty"`
	Subject   string     `json:"subject,omitempty"`
	Before    *time.Time `json:"issued_before,omitempty"`
	Until     *time.Time `json:"until,omitempty"` // when the revocation is forgotten; absent: never
	Created   time.Time  `json:"created"`
	Note      string     `json:"note,omitempty"`
}

func (a *App) viewRevocation(r jwt.Revocation) revocationView {
	return revocationView{
		Issuer: a.nameOf(r.Issuer), JTI: r.JTI, TokenHash: r.TokenHash, SID: r.SID, Subject: r.Subject, Before: moment(r.Before),
		Until: moment(r.Until), Created: r.Created, Note: r.Note,
	}
}

// tokenRevocation is the body of POST /gatehouse/tokens/revoke: either a token,
// or what tells which tokens are meant.
type tokenRevocation struct {
	Token   string     `json:"token,omitempty"`
	Issuer  string     `json:"issuer,omitempty"` // the name of a jwt block; "" is every issuer
	JTI     string     `json:"jti,omitempty"`
	SID     string     `json:"sid,omitempty"`
	Subject string     `json:"subject,omitempty"`
	Before  *time.Time `json:"issued_before,omitempty"` // default with a subject: now
	All     bool       `json:"all,omitempty"`           // with issued_before alone: every subject's
	Note    string     `json:"note,omitempty"`
}

func (c *adminCall) revokeToken() error {
	var in tokenRevocation
	if err := c.read(&in); err != nil {
		return err
	}
	r, err := c.revocation(in)
	if err != nil {
		return err
	}
	c.subject, c.issuer = r.Subject, r.Issuer
	done, err := c.svc.revoked.Add(c.r.Context(), r)
	if err != nil {
		return err
	}
	c.credential = described(*done)
	return c.write(http.StatusOK, c.app.viewRevocation(*done))
}

// revocation checks what is asked for.
func (c *adminCall) revocation(in tokenRevocation) (r jwt.Revocation, err error) {
	bad := func(text string) error { return apiError(http.StatusBadRequest, errors.New(text)) }
	if c.svc.tokens == nil {
		return r, apiError(http.StatusConflict, errors.New("no issuer is configured, so no token is accepted that could be revoked"))
	}
	if in.Token != "" {
		if in.Issuer+in.JTI+in.SID+in.Subject != "" || in.Before != nil || in.All {
			return r, bad("a token says by itself which one it is: give nothing else beside it but a note")
		}
		d, err := c.svc.tokens.Describe(in.Token)
		if err != nil {
			return r, bad("this is no token that could be accepted here: " + err.Error())
		}
		r = d.Revocation()
		r.Note = in.Note
		return r, nil
	}
	issuer, found := c.app.issuerOf(in.Issuer)
	if !found {
		return r, bad(fmt.Sprintf("there is no jwt block %q in the running configuration", in.Issuer))
	}
	if in.JTI+in.SID+in.Subject == "" && !(in.All && in.Before != nil) {
		return r, bad("say which tokens: a token, jti, sid, subject, or all with issued_before")
	}
	r = jwt.Revocation{Issuer: issuer, JTI: in.JTI, SID: in.SID, Subject: in.Subject, Note: in.Note}
	if in.Before != nil {
		// One in the future would also refuse tokens that are not made yet, and
		// nothing takes it back.
		if time.Until(*in.Before) > time.Minute {
			return r, bad("issued_before is in the future: it would refuse tokens that are yet to be issued")
		}
		r.Before = *in.Before
	}
	return r, nil
}

// issuerOf is the issuer that a jwt block is about, since revocations outlive the
// names of blocks; "" is every issuer's.
func (a *App) issuerOf(name string) (issuer string, found bool) {
	for _, j := range a.JWT {
		if j.Name == name {
			return j.Issuer, true
		}
	}
	return "", name == ""
}

// nameOf is the name of an issuer's block, for people.
func (a *App) nameOf(issuer string) string {
	for _, j := range a.JWT {
		if j.Issuer == issuer {
			return j.Name
		}
	}
	return issuer
}

// described is which tokens a revocation means, for the audit trail.
func described(r jwt.Revocation) string {
	switch {
	case r.JTI != "":
		return "jti:" + r.JTI
	case r.TokenHash != "":
		return "sha256:" + r.TokenHash
	case r.SID != "":
		return "sid:" + r.SID
	}
	return "issued before " + r.Before.UTC().Format(time.RFC3339)
}

func (c *adminCall) listRevokedTokens() error {
	all, err := c.svc.revoked.List(c.r.Context())
	if err != nil {
		return err
	}
	views := make([]revocationView, 0, len(all))
	for _, r := range all {
		views = append(views, c.app.viewRevocation(r))
	}
	return c.write(http.StatusOK, map[string]any{"revoked": views})
}
