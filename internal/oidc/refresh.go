package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// Refresh asks the provider whether it still stands by a login, which was of this
// issuer and subject, and what it says of the person now.
//
// The tokens that it returns are to be kept instead of the old ones, with an
// error, too: a refresh token may count only once, and the new ones may have come
// before something else failed.
//
// Its errors: ErrRevoked: the person is out. *DeniedError: they may not
// sign in any more. ErrInvalid: the answer is about another person or login. ErrNoRefresh: there is nothing to ask with. Every other
// one is an ErrUnavailable: nothing is known, also for an answer that is garbage.
func (p *Provider) Refresh(ctx context.Context, issuer, subject string, old Tokens) (*Login, Tokens, error) {
	if issuer == "" || subject == "" {
		return nil, old, invalid("it is not said whose login it was")
	}
	k, err := p.endpoints(ctx)
	if err != nil {
		return nil, old, err
	}
	if p.preset.person != nil {
		return p.refreshByAsking(ctx, k, issuer, subject, old)
	}
	if old.Refresh == "" {
		return nil, old, ErrNoRefresh
	}
	t, err := p.renew(ctx, k.meta, old)
	if err != nil {
		return nil, old, err
	}
	fresh := t.ID != ""
	if !fresh {
		t.ID = old.ID
	}
	l, err := p.again(ctx, k, issuer, subject, t, fresh)
	if err != nil {
		return nil, t, p.afterGrant(err)
	}
	l.ACR, l.AMR, l.AuthTime = "", nil, time.Time{}
	return l, t, nil
}

// again finds out who the new tokens are of: by a new ID token, or else by
// UserInfo (OpenID Connect Core section 12.2).
func (p *Provider) again(ctx context.Context, k *known, issuer, subject string, t Tokens, fresh bool) (*Login, error) {
	if fresh {
		claims, err := p.checkIDToken(ctx, k, t.ID, expected{nonce: t.Nonce, orNone: true, access: t.Access, issuer: issuer, subject: subject})
		if err != nil {
			return nil, err
		}
		return p.login(ctx, k.meta, claims, t)
	}
	if k.meta.userInfo == "" {
		return &Login{Provider: p.o.Name, Issuer: issuer, Subject: subject, Tokens: t}, nil
	}
	claims, err := p.userInfo(ctx, k.meta, subject, t.Access)
	if err != nil {
		return nil, err
	}
	who, err := p.read(claims)
	if err != nil {
		return nil, err
	}
	claims = merge(map[string]any{"iss": issuer, "sub": subject}, claims)
	return p.newLogin(issuer, who, claims, t), nil
}

// renew uses a refresh token (RFC 6749 section 6).
func (p *Provider) renew(ctx context.Context, m *metadata, old Tokens) (Tokens, error) {
	t, err := p.grant(ctx, m, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {old.Refresh}})
	var refused *ProviderError
	switch {
	case errors.As(err, &refused) && refused.refusesPerson():
		return t, fmt.Errorf("%w: provider %s: %w", ErrRevoked, p.o.Name, err)
	case refused != nil: // about us, or the moment
		return t, unavailable("the token endpoint of provider %s: %w", p.o.Name, err)
	case err != nil:
		return t, err
	}
	if t.Refresh == "" {
		t.Refresh = old.Refresh
	}
	t.Nonce = old.Nonce
	return t, nil
}

// afterGrant says what an error means for a person whose grant was good a moment
// ago: a provider that refuses the token which it has just given takes it back,
// and one that gives a token which is no good is broken.
func (p *Provider) afterGrant(err error) error {
	var wrong *invalidError
	switch {
	case errors.Is(err, errTokenRefused):
		return fmt.Errorf("%w: provider %s: %w", ErrRevoked, p.o.Name, errTokenRefused)
	case errors.As(err, &wrong) && !wrong.other:
		return unavailable("provider %s: %s", p.o.Name, wrong.reason)
	}
	return err
}
