package jwt

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// Identify returns who a token stands for. The result is shared, and the same
// pointer for the same token for as long as it is remembered.
//
// The error is identity.ErrUnknown, as an *identity.Refusal, for a token that
// does not count: malformed, forged, expired, revoked, of another kind or for
// somebody else. Who is filled in only when the signature was good. Any other
// error means that it could not be found out: the issuer's keys were never
// known, it cannot be asked, or the store is down.
func (v *Verifier) Identify(ctx context.Context, token string) (*identity.Identity, error) {
	switch {
	case len(token) > maxToken:
		return nil, refused(errSize)
	case looksLikeJWT(token):
		return v.identifyJWT(ctx, token)
	case v.opaque != nil:
		return v.opaque.identify(ctx, token)
	}
	return nil, refused(errSegments)
}

func (v *Verifier) identifyJWT(ctx context.Context, token string) (*identity.Identity, error) {
	k := digestOf(token)
	now := v.clock()
	before := v.memory.get(k)
	if before != nil {
		same, err := before.keysHold(ctx)
		if err != nil {
			return nil, err
		}
		if same {
			return v.again(ctx, before, now)
		}
	}
	good, err := v.verify(ctx, token, now)
	if err != nil {
		if before != nil && errors.Is(err, identity.ErrUnknown) {
			v.memory.remove(k)
		}
		return nil, err
	}
	if before != nil { // the same bytes: only the keys are others
		if good.identity.Signer == before.identity.Signer {
			good.identity = before.identity
		}
		v.memory.replace(k, good, len(token))
	} else {
		good = v.memory.add(k, good, len(token))
	}
	return v.again(ctx, good, v.clock()) // the keys may have been waited for
}

// keysHold reports whether a remembered token was verified by the keys that
// count now.
func (g *verified) keysHold(ctx context.Context) (bool, error) {
	if g.keys == nil {
		return true, nil
	}
	set, err := g.issuer.current(ctx)
	return set == g.keys, err
}

// again checks what can change about a token whose signature is good.
func (v *Verifier) again(ctx context.Context, g *verified, now time.Time) (*identity.Identity, error) {
	if err := g.covers(now); err != nil {
		return nil, g.issuer.refused(g.identity.Subject, err)
	}
	if revoked, err := v.revoked(ctx, &g.standing); err != nil {
		return nil, err
	} else if revoked {
		return nil, g.issuer.refused(g.identity.Subject, errRevoked)
	}
	return g.identity, nil
}

// verify does all that is done once for a token.
func (v *Verifier) verify(ctx context.Context, value string, now time.Time) (*verified, error) {
	t, err := parse(value, maxToken)
	if err != nil {
		return nil, refused(err)
	}
	i := v.byIssuer[t.issuer]
	if i == nil {
		return nil, refused(errForeign)
	}
	if i.verifiers[t.header.alg] == nil {
		return nil, refused(errNotAllowed)
	}
	if err := i.checkType(t); err != nil {
		return nil, refused(err)
	}
	signer, set, err := i.checkSignature(ctx, t)
	if err != nil {
		return nil, err
	}
	g, err := i.accept(t, now, v.normalize)
	if err != nil {
		sub, _ := t.claims["sub"].(string)
		return nil, i.refused(sub, err)
	}
	if g.keys = set; signer != nil {
		g.identity.Signer = signer.bare
	}
	return g, nil
}

// accept checks the claims of a token whose signature is good.
func (i *issuer) accept(t *token, now time.Time, normalize func(string) (string, error)) (*verified, error) {
	g := &verified{issuer: i}
	var issued time.Time
	var err error
	if g.span, issued, err = i.span(t.claims, true, now); err != nil {
		return nil, err
	}
	if err := i.checkClaims(t.claims); err != nil {
		return nil, err
	}
	if g.identity, err = i.identity(t.claims, normalize); err != nil {
		return nil, err
	}
	g.marks = marksOf(i.iss, t.hash(), t.claims, issued)
	g.identity.Credential = credential(&g.marks)
	return g, nil
}

// hash is the public name of a token that has no other. It leaves out the
// signature: of an ECDSA signature anybody can make a second one that is as
// good, and it must not be a way around a revocation.
func (t *token) hash() string { return hashText(digestOf(t.input)) }

func hashText(d digest) string { return base64.RawURLEncoding.EncodeToString(d[:]) }

const (
	jtiPrefix    = "jti:"
	hashPrefix   = "sha256:"
	opaquePrefix = "opaque:"
)

// credential is what logs call a token: its jti if that can be shown, else its
// hash.
func credential(m *Marks) string {
	const longest = 128
	odd := func(r rune) bool { return r <= ' ' || r > '~' }
	if m.JTI != "" && len(m.JTI) <= longest && !strings.ContainsFunc(m.JTI, odd) {
		return jtiPrefix + m.JTI
	}
	return hashPrefix + m.TokenHash
}

// Why a token is refused by what we know.
var (
	errForeign    = errors.New("its issuer is not one that is trusted here")
	errNotAllowed = errors.New("its algorithm is not allowed for its issuer")
	errRevoked    = errors.New("it has been revoked")
)

// refused is the refusal of a token of which nothing is known for sure.
func refused(reason error) error { return &identity.Refusal{Reason: reason.Error()} }

// refused is the refusal of a token that the issuer did issue.
func (i *issuer) refused(subject string, reason error) error {
	return &identity.Refusal{Reason: reason.Error(), Who: i.name + ":" + short(subject)}
}
