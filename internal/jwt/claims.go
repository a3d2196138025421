package jwt

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"time"
)

// Why a token is refused for what it says.
var (
	errExp      = errors.New("it has no exp that is a number")
	errTime     = errors.New("its nbf or iat is not a number")
	errSub      = errors.New("it has no sub that is a plain text")
	errAudience = errors.New("it is for another audience")
	errBound    = errors.New("it is bound to a key of its holder (cnf), which a bearer cannot show")
	errExpired  = errors.New("it has expired")
	errEarly    = errors.New("it does not count yet (nbf)")
	errFuture   = errors.New("it was issued in the future (iat)")
	errNotTaken = errors.New("its typ is not one that is taken from this issuer")
	errKind     = errors.New("it is an ID, refresh or logout token")
)

// span is when a token counts, the leeway included.
type span struct {
	from  time.Time // zero: from ever
	until time.Time // zero: no end is known
}

// covers returns nil, errEarly or errExpired.
func (s span) covers(now time.Time) error {
	switch {
	case !s.until.IsZero() && !now.Before(s.until):
		return errExpired
	case now.Before(s.from):
		return errEarly
	}
	return nil
}

// span reads exp, nbf and iat (RFC 7519 section 4.1). needed says whether there
// must be an exp.
func (i *issuer) span(claims map[string]any, needed bool, now time.Time) (s span, issued time.Time, err error) {
	exp, there, ok := moment(claims, "exp")
	if !ok || needed && !there {
		return s, issued, errExp
	}
	if there {
		s.until = exp.Add(i.leeway)
	}
	nbf, there, ok := moment(claims, "nbf")
	if !ok {
		return s, issued, errTime
	}
	if there {
		s.from = nbf.Add(-i.leeway)
	}
	issued, there, ok = moment(claims, "iat")
	switch {
	case !ok:
		return s, issued, errTime
	case there && now.Add(i.leeway).Before(issued):
		return s, issued, errFuture
	}
	return s, issued, s.covers(now)
}

// moment reads a NumericDate (RFC 7519 section 2). ok is false for one that is
// there and no number.
func moment(claims map[string]any, name string) (t time.Time, there, ok bool) {
	v, there := claims[name]
	if !there {
		return t, false, true
	}
	t, ok = numericDate(v)
	return t, true, ok
}

// farthest bounds times, in seconds: the year 9999. Beyond it they are all the
// same, and time.Time would not hold them.
const farthest = 253402300799

func numericDate(v any) (time.Time, bool) {
	var seconds float64
	switch v := v.(type) {
	case json.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return time.Unix(max(-farthest, min(n, farthest)), 0), true
		}
		f, err := strconv.ParseFloat(string(v), 64)
		if err != nil {
			return time.Time{}, false
		}
		seconds = f
	case float64:
		seconds = v
	default:
		return time.Time{}, false
	}
	if math.IsNaN(seconds) || math.IsInf(seconds, 0) {
		return time.Time{}, false
	}
	whole, part := math.Modf(max(-farthest, min(seconds, farthest)))
	return time.Unix(int64(whole), int64(part*1e9)), true
}

// checkClaims checks whom a token is for and what it is. The time has been
// checked already.
func (i *issuer) checkClaims(claims map[string]any) error {
	if _, bound := claims["cnf"]; bound {
		return errBound
	}
	if sub, _ := claims["sub"].(string); !plain(sub) || sub == "" {
		return errSub
	}
	if !i.meant(claims["aud"]) {
		return errAudience
	}
	return nil
}

// meant reports whether one of our audiences is in aud, which is a string or a
// list of strings (RFC 7519 section 4.1.3).
func (i *issuer) meant(aud any) bool {
	switch aud := aud.(type) {
	case string:
		return slices.Contains(i.audiences, aud)
	case []any:
		found := false
		for _, v := range aud {
			s, ok := v.(string)
			if !ok {
				return false
			}
			found = found || slices.Contains(i.audiences, s)
		}
		return found
	}
	return false
}

// checkType holds typ against what is taken from the issuer (RFC 8725 section
// 3.11), and a token whose typ tells nothing against what it looks like.
func (i *issuer) checkType(t *token) error {
	typ := t.header.typ
	if typ == "" {
		typ = plainType
	}
	if !slices.Contains(i.types, typ) {
		return errNotTaken
	}
	if typ == plainType {
		return checkKind(t.claims)
	}
	return nil
}

// otherKinds are claims that only ID tokens (OpenID Connect Core section 2,
// 3.3.2.11) and logout tokens (Back-Channel Logout section 2.4) have.
var otherKinds = []string{"nonce", "at_hash", "c_hash", "s_hash", "events"}

// checkKind refuses tokens that say, each issuer in its own way, that they are
// no access tokens: typ in the payload (Keycloak: ID, Refresh, Offline, Logout),
// token_use (Cognito: id; Hydra: refresh_token).
func checkKind(claims map[string]any) error {
	for _, name := range otherKinds {
		if _, there := claims[name]; there {
			return errKind
		}
	}
	if v, there := claims["typ"]; there && v != any("Bearer") {
		return errKind
	}
	if v, there := claims["token_use"]; there && v != any("access") && v != any("access_token") {
		return errKind
	}
	return nil
}
