package jwt

import (
	"context"
	"encoding/base64"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// standing is what can change about a good token: it comes to its end, or is
// revoked.
type standing struct {
	span
	marks Marks
	clear atomic.Pointer[index] // of the revocations, none of which means it
}

// revoked reports whether a token is revoked, at little cost while no revocation
// was added.
func (v *Verifier) revoked(ctx context.Context, s *standing) (bool, error) {
	if v.revocations == nil {
		return false, nil
	}
	last := s.clear.Load()
	by, revoked, err := v.revocations.check(ctx, &s.marks, last)
	if err == nil && !revoked && by != last {
		s.clear.Store(by)
	}
	return revoked, err
}

// Alive reports whether the token of an identity that Identify returned still
// counts: it has not expired and is not revoked, and its issuer still has the key
// that signed it; the issuer of an opaque token still says so. It is for connections that outlive their request
// (WebSocket). It is false for identities that did not come from a token.
func (v *Verifier) Alive(ctx context.Context, id *identity.Identity) (bool, error) {
	if !id.Authenticated() || id.Method != identity.JWT {
		return false, nil
	}
	i := v.byName[id.Provider]
	if i == nil || i.iss != id.Issuer {
		return false, nil
	}
	if name, ok := strings.CutPrefix(id.Credential, opaquePrefix); ok {
		return v.opaque.alive(ctx, i, name)
	}
	hash, found := strings.CutPrefix(id.Credential, hashPrefix)
	if !found {
		hash = ""
	}
	s, issued, err := i.span(id.Claims, true, v.clock())
	if err != nil {
		return false, nil //nolint:nilerr // it has expired, or was never a token
	}
	if id.Signer != "" {
		if signs, err := i.signsWith(ctx, id.Signer); err != nil || !signs {
			return false, err
		}
	}
	revoked, err := v.revoked(ctx, &standing{span: s, marks: marksOf(i.iss, hash, id.Claims, issued)})
	return err == nil && !revoked, err
}

// Description is what a token says of itself. Nothing of it is verified.
type Description struct {
	Issuer    string // iss
	JTI       string
	SID       string
	Subject   string
	IssuedAt  time.Time // zero: not told
	Expires   time.Time // zero: not told
	TokenHash string    // names the token when there is no JTI; "" else

	leeway time.Duration
}

// Describe reads a token without verifying it, so that an administrator who has
// one can revoke it. The error is identity.ErrUnknown for what is no token of a
// trusted issuer.
func (v *Verifier) Describe(value string) (Description, error) {
	if !looksLikeJWT(value) {
		return v.opaque.describe(value)
	}
	t, err := parse(value, maxToken)
	if err != nil {
		return Description{}, refused(err)
	}
	i := v.byIssuer[t.issuer]
	if i == nil {
		return Description{}, refused(errForeign)
	}
	d := Description{Issuer: i.iss, leeway: i.leeway}
	if d.JTI, _ = t.claims["jti"].(string); d.JTI == "" {
		d.TokenHash = t.hash()
	}
	d.SID, _ = t.claims["sid"].(string)
	d.Subject, _ = t.claims["sub"].(string)
	if d.IssuedAt, _, _ = moment(t.claims, "iat"); !d.IssuedAt.IsZero() {
		d.IssuedAt = d.IssuedAt.UTC()
	}
	if d.Expires, _, _ = moment(t.claims, "exp"); !d.Expires.IsZero() {
		d.Expires = d.Expires.UTC()
	}
	return d, nil
}

// Revocation is the one that revokes just this token, kept until it has expired.
func (d Description) Revocation() Revocation {
	r := Revocation{Issuer: d.Issuer, JTI: d.JTI, TokenHash: d.TokenHash}
	if !d.Expires.IsZero() {
		r.Until = d.Expires.Add(d.leeway)
	}
	return r
}

// fromHashText is the other way of hashText.
func fromHashText(s string) (d digest, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(raw) != len(d) {
		return d, false
	}
	return digest(raw), true
}
