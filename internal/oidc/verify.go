package oidc

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
)

// checkMeant checks who issued a token, for whom and when: a stranger's is not
// worth looking for keys (OpenID Connect Core section 3.1.3.7, 2, 3, 7, 9, 10).
func (p *Provider) checkMeant(t *token) error {
	if !slices.Contains(p.o.Algorithms, t.alg) {
		return invalid("its alg is not one that is allowed")
	}
	if iss, _ := t.claims["iss"].(string); iss == "" || !p.ours(iss) {
		return mixedUp("its iss is another")
	}
	if audiences, _ := texts(t.claims["aud"]); !slices.Contains(audiences, p.o.ClientID) {
		return mixedUp("it is for another audience")
	}
	now := p.o.Clock()
	exp, there, ok := moment(t.claims, "exp")
	switch {
	case !there || !ok:
		return invalid("it has no exp that is a number")
	case !now.Before(exp.Add(leeway)):
		return invalid("it has expired")
	}
	iat, there, ok := moment(t.claims, "iat")
	switch {
	case !there || !ok:
		return invalid("it has no iat that is a number")
	case now.Add(leeway).Before(iat):
		return invalid("it was issued in the future (iat)")
	case now.After(iat.Add(oldest + leeway)):
		return invalid("it was issued too long ago (iat)")
	}
	if nbf, _, ok := moment(t.claims, "nbf"); !ok || now.Add(leeway).Before(nbf) {
		return invalid("it does not count yet (nbf)")
	}
	return nil
}

// checkSignature lets check use a verifier, which checks the signature with the
// provider's keys, and once more issuer, audience and expiry. The token must be
// good in all else.
func (p *Provider) checkSignature(ctx context.Context, k *known, t *token, check func(context.Context, *gooidc.IDTokenVerifier) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	iss, _ := t.claims["iss"].(string)
	keys := &witness{KeySet: k.keys, payload: t.payload}
	err := check(ctx, gooidc.NewVerifier(iss, keys, &gooidc.Config{
		ClientID:             p.o.ClientID,
		SupportedSigningAlgs: p.o.Algorithms,
		Now:                  func() time.Time { return p.o.Clock().Add(-leeway) },
	}))
	switch {
	case err == nil || errors.Is(err, ErrInvalid):
		return err
	case errors.Is(keys.err, ErrUnavailable) || keys.err != nil && ctx.Err() != nil:
		// Its text may quote what the provider sent.
		said := strings.TrimPrefix(keys.err.Error(), ErrUnavailable.Error()+": ")
		return unavailable("the keys of provider %s: %s", p.o.Name, clean(said, 300))
	case keys.err != nil:
		return invalid("its signature is wrong")
	}
	return invalid("it is malformed")
}

// witness sees what a KeySet said, which the verifier turns into text.
type witness struct {
	KeySet
	payload []byte
	err     error
}

func (w *witness) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := w.KeySet.VerifySignature(ctx, jwt)
	if err == nil && !bytes.Equal(payload, w.payload) {
		err = errors.New("another payload was signed")
	}
	w.err = err
	return payload, err
}
