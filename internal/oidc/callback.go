package oidc

import (
	"context"
	"fmt"
	"net/url"
	"time"
)

// maxParameter is the longest parameter of a callback, in bytes.
const maxParameter = 16 << 10

// Login is a person for whom the provider vouches. Of a refresh, what tells how
// they proved who they are (ACR, AMR, AuthTime) is not there: that is as it was.
type Login struct {
	Provider      string // its configured name
	Issuer        string
	Subject       string // never changes, and never names another person at the issuer
	Username      string // as the provider writes it
	Email         string
	EmailVerified bool // only if the provider said exactly that
	Name          string
	Roles, Groups []string
	ACR           string
	AMR           []string
	AuthTime      time.Time // zero: not told
	SID           string    // the session there; "" if not told
	// Claims are all that the ID token and UserInfo said, as decoded from JSON.
	// After a refresh nil says that the provider told nothing new about the
	// person, and that the other fields are empty for that reason.
	Claims map[string]any
	Tokens Tokens
}

// Finish ends a login with the parameters with which the browser came back. The
// error is one of: a *ProviderError, the provider's own "no"; a *DeniedError, ours
// to a person whom the provider vouches for; an ErrInvalid; an ErrUnavailable. In
// all of them nobody is signed in.
func (p *Provider) Finish(ctx context.Context, pending *Pending, callback url.Values) (*Login, error) {
	if err := p.checkPending(pending, callback); err != nil {
		return nil, fmt.Errorf("the callback of provider %s: %w", p.o.Name, err)
	}
	k, err := p.endpoints(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.checkResponse(k.meta, callback); err != nil {
		return nil, fmt.Errorf("the callback of provider %s: %w", p.o.Name, err)
	}
	if code := callback.Get("error"); code != "" {
		return nil, newProviderError(code, callback.Get("error_description"))
	}
	t, err := p.grant(ctx, k.meta, url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {callback.Get("code")},
		"redirect_uri":  {pending.RedirectURL},
		"code_verifier": {pending.Verifier},
	})
	if err != nil {
		return nil, err
	}
	t.Nonce = pending.Nonce
	if p.preset.person != nil {
		return p.loginByAsking(ctx, t)
	}
	if t.ID == "" {
		return nil, unavailable("provider %s: it gave no ID token", p.o.Name)
	}
	claims, err := p.checkIDToken(ctx, k, t.ID, expected{
		nonce: pending.Nonce, access: t.Access, started: pending.Started, maxAge: pending.MaxAge, acr: pending.ACRValues,
	})
	if err != nil {
		return nil, err
	}
	return p.login(ctx, k.meta, claims, t)
}

// checkPending checks that the callback belongs to the login, before anything in
// it counts.
func (p *Provider) checkPending(pending *Pending, callback url.Values) error {
	if pending == nil || pending.Provider != p.o.Name || pending.State == "" || pending.Verifier == "" {
		return invalid("it belongs to no login that began here")
	}
	if p.openID() && pending.Nonce == "" {
		return invalid("the login that it belongs to has no nonce")
	}
	now := p.o.Clock()
	if now.After(pending.Started.Add(PendingLife)) || now.Add(leeway).Before(pending.Started) {
		return invalid("the login that it belongs to began too long ago")
	}
	for name, values := range callback {
		if len(values) != 1 { // RFC 6749 section 3.1
			return invalid("a parameter is there twice")
		}
		if len(name)+len(values[0]) > maxParameter {
			return invalid("a parameter is too long")
		}
	}
	if !same(callback.Get("state"), pending.State) {
		return invalid("its state is another")
	}
	return nil
}

// checkResponse checks whose answer it is (RFC 9207 section 2.4: of an error,
// too), and that it is one.
func (p *Provider) checkResponse(m *metadata, callback url.Values) error {
	switch iss := callback.Get("iss"); {
	case callback.Has("iss") && !p.ours(iss):
		return invalid("it is of another issuer (iss)")
	case !callback.Has("iss") && m.issInResponse:
		return invalid("it does not name its issuer (iss), as the provider always does")
	}
	code, failed := callback.Get("code"), callback.Has("error")
	switch {
	case failed && (callback.Get("error") == "" || callback.Has("code")):
		return invalid("it is an error and is none")
	case !failed && (code == "" || !plain(code)):
		return invalid("it has no code")
	}
	return nil
}
