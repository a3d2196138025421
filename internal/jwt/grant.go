package jwt

import (
	"errors"
	"strings"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// Why an issuer's word is not enough.
var (
	errForm     = errors.New("it has not the form of a token")
	errOurs     = errors.New("it is an API key of this gateway, and no token")
	errInactive = errors.New("its issuer does not know it, or not any more")
	errToken    = errors.New("its token_type is not Bearer")
	errNoOpaque = errors.New("opaque tokens are not taken here")
)

// grant is a token that its issuer found good. All but clear is read-only.
type grant struct {
	identity *identity.Identity
	token    string // to ask again, for connections that stay open
	fresh    time.Time
	standing
}

// accept holds an answer against what we demand of tokens. The error is a
// refusal.
func (o *opaque) accept(claims map[string]any, token string, hash digest, now time.Time) (*grant, error) {
	if claims == nil {
		return nil, refused(errInactive)
	}
	g := &grant{token: token}
	issued, err := o.check(claims, g, now)
	if err == nil {
		g.identity, err = o.issuer.identity(claims, o.verifier.normalize)
	}
	if err != nil {
		sub, _ := claims["sub"].(string)
		return nil, o.issuer.refused(sub, err)
	}
	g.marks = marksOf(o.issuer.iss, hashText(hash), claims, issued)
	g.identity.Credential = opaquePrefix + hashText(hash)
	g.fresh = now.Add(o.introspector.cache)
	if exp, there, _ := moment(claims, "exp"); there && exp.Before(g.fresh) {
		g.fresh = exp
	}
	return g, nil
}

func (o *opaque) check(claims map[string]any, g *grant, now time.Time) (issued time.Time, err error) {
	if iss, there := claims["iss"]; there && iss != any(o.issuer.iss) {
		return issued, errForeign
	}
	if kind, there := claims["token_type"]; there {
		if s, _ := kind.(string); !strings.EqualFold(s, "Bearer") {
			return issued, errToken
		}
	}
	if err := checkKind(claims); err != nil {
		return issued, err
	}
	if g.span, issued, err = o.issuer.span(claims, false, now); err != nil {
		return issued, err
	}
	return issued, o.issuer.checkClaims(claims)
}
