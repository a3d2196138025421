package oidc

import (
	"context"
	"crypto/subtle"
	"fmt"
	"slices"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
)

// expected is what an ID token has to fit, besides being a good one for us.
type expected struct {
	nonce   string // of the login
	orNone  bool   // it may have none, as after a refresh
	access  string // the access token that came with it
	started time.Time
	maxAge  *time.Duration
	acr     []string
	issuer  string // "": any of the provider's
	subject string // "": any
}

// checkIDToken checks an ID token in full (OpenID Connect Core section 3.1.3.7)
// and returns its claims.
func (p *Provider) checkIDToken(ctx context.Context, k *known, raw string, want expected) (map[string]any, error) {
	claims, err := p.idToken(ctx, k, raw, want)
	if err != nil {
		return nil, fmt.Errorf("the ID token of provider %s: %w", p.o.Name, err)
	}
	return claims, nil
}

func (p *Provider) idToken(ctx context.Context, k *known, raw string, want expected) (map[string]any, error) {
	t, err := parseToken(raw)
	if err != nil {
		return nil, err
	}
	if err := p.checkMeant(t); err != nil {
		return nil, err
	}
	if err := p.checkParty(t); err != nil {
		return nil, err
	}
	if err := checkSubject(t.claims); err != nil {
		return nil, err
	}
	if err := p.checkLogin(t.claims, want); err != nil {
		return nil, err
	}
	_, hashed := t.claims["at_hash"]
	err = p.checkSignature(ctx, k, t, func(ctx context.Context, v *gooidc.IDTokenVerifier) error {
		id, err := v.Verify(ctx, t.raw)
		if err == nil && hashed && id.VerifyAccessToken(want.access) != nil {
			err = invalid("its at_hash is not that of the access token")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if p.preset.admit != nil {
		if err := p.preset.admit(&p.o, t.claims); err != nil {
			return nil, err
		}
	}
	return t.claims, nil
}

// checkParty checks what kind of token it is, and who asked for it: of several
// audiences, azp has to say that it was us.
func (p *Provider) checkParty(t *token) error {
	if t.typ != "" && t.typ != "jwt" {
		return invalid("its typ is not that of an ID token")
	}
	if _, there := t.claims["events"]; there {
		return invalid("it is a logout token")
	}
	azp, there := t.claims["azp"]
	audiences, _ := texts(t.claims["aud"])
	if !there && len(audiences) > 1 {
		return mixedUp("it is for several audiences and does not say who asked for it (azp)")
	}
	if there && azp != any(p.o.ClientID) {
		return mixedUp("another client asked for it (azp)")
	}
	return nil
}

func checkSubject(claims map[string]any) error {
	if sub, _ := claims["sub"].(string); sub == "" || len(sub) > maxSubject || !plain(sub) {
		return invalid("it has no sub that is a plain text of up to 255 bytes")
	}
	return nil
}

// checkLogin checks that the token is the answer to our question.
func (p *Provider) checkLogin(claims map[string]any, want expected) error {
	if nonce, there := claims["nonce"]; there || !want.orNone {
		if given, _ := nonce.(string); want.nonce == "" || !same(given, want.nonce) {
			return mixedUp("its nonce is another")
		}
	}
	iss, _ := claims["iss"].(string)
	if want.issuer != "" && p.issuer(iss) != want.issuer {
		return mixedUp("its iss is another than at the login")
	}
	if want.subject != "" && claims["sub"] != any(want.subject) {
		return mixedUp("its sub is another than at the login")
	}
	at, there, ok := moment(claims, "auth_time")
	switch {
	case !ok:
		return invalid("its auth_time is no number")
	case there && p.o.Clock().Add(leeway).Before(at):
		return invalid("its auth_time is in the future")
	case want.maxAge == nil:
	case !there:
		return invalid("it has no auth_time, which max_age asked for")
	case at.Before(want.started.Add(-*want.maxAge - leeway)):
		return invalid("the person proved who they are longer ago than max_age allows")
	}
	acr, ok := stringIn(claims, "acr")
	switch {
	case !ok || !plain(acr):
		return invalid("its acr is no text")
	case len(want.acr) > 0 && !slices.Contains(want.acr, acr):
		return invalid("its acr is none of those that were asked for")
	}
	if sid, ok := stringIn(claims, "sid"); !ok || len(sid) > maxSubject || !plain(sid) {
		return invalid("its sid is no plain text")
	}
	return nil
}

// same compares what must not be guessed.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
