package oidc

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
)

const (
	// maxJWT is the longest ID or logout token that is looked at, in bytes.
	maxJWT = 64 << 10
	maxKID = 512
	// leeway is how far the provider's clock may be from ours.
	leeway = time.Minute
	// oldest is how long ago a token may have been issued when it first comes.
	oldest = 10 * time.Minute
)

// token is a JWT in its parts. All of it is what somebody claims, until the
// signature is checked.
type token struct {
	raw     string
	alg     string
	typ     string // in small letters, without "application/"; "" for none
	payload []byte
	claims  map[string]any
}

// parseToken reads a token in compact form (RFC 7515 section 7.1). The error says
// what is wrong with it and holds nothing of it.
func parseToken(raw string) (*token, error) {
	if raw == "" || len(raw) > maxJWT {
		return nil, invalid("it is empty or too long")
	}
	parts := strings.Split(raw, ".")
	switch len(parts) {
	case 3:
	case 5:
		return nil, invalid("it is encrypted (JWE)")
	default:
		return nil, invalid("it does not have three parts")
	}
	decoded := make([][]byte, len(parts))
	for i, part := range parts {
		var err error
		if strings.ContainsAny(part, "\r\n") { // which the decoder skips
			return nil, invalid("a part of it is not base64url")
		}
		// In its only form: else one token would have many spellings.
		if decoded[i], err = base64.RawURLEncoding.Strict().DecodeString(part); err != nil {
			return nil, invalid("a part of it is not base64url in its only form")
		}
	}
	t := &token{raw: raw, payload: decoded[1]}
	header, err := parseObject(decoded[0])
	if err != nil {
		return nil, invalid("its header: " + err.Error())
	}
	if err := t.readHeader(header); err != nil {
		return nil, err
	}
	if t.claims, err = parseObject(t.payload); err != nil {
		return nil, invalid(err.Error())
	}
	return t, nil
}

// forbidden header parameters change how a token is to be read, or bring their
// own keys (RFC 8725 sections 3.6, 3.10; RFC 7797). We understand no extension,
// so any crit is one that must be refused (RFC 7515 section 4.1.11).
var forbidden = []string{"crit", "b64", "jwk", "jku", "x5u", "x5c", "enc", "zip"}

func (t *token) readHeader(h map[string]any) error {
	for _, name := range forbidden {
		if _, there := h[name]; there {
			return invalid("its header has " + name)
		}
	}
	t.alg, _ = h["alg"].(string)
	if v, there := h["kid"]; there {
		if kid, _ := v.(string); kid == "" || len(kid) > maxKID {
			return invalid("the kid in its header is not a text of sensible length")
		}
	}
	if v, there := h["typ"]; there {
		typ, _ := v.(string)
		if t.typ = strings.TrimPrefix(strings.ToLower(typ), "application/"); t.typ == "" {
			return invalid("the typ in its header is not a text")
		}
	}
	return nil
}

// checkMeant checks who issued a token, for whom and when: a stranger's is not
// worth looking for keys (OpenID Connect Core section 3.1.3.7, 2, 3, 7, 9, 10).
func (p *Provider) checkMeant(t *token) error {
	if !slices.Contains(p.o.Algorithms, t.alg) {
		return invalid("its alg is not one that is allowed")
	}
	if iss, _ := t.claims["iss"].(string); iss == "" || !p.ours(iss) {
		return mixedUp("its iss is another")
	}
	audiences, ok := texts(t.claims["aud"])
	if !ok || !slices.Contains(audiences, p.o.ClientID) {
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
		return unavailable("the keys of provider %s: %s", p.o.Name, clean(keys.err.Error(), 200))
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
	switch v := v.(type) {
	case json.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return time.Unix(max(-farthest, min(n, farthest)), 0), true
		}
		f, err := strconv.ParseFloat(string(v), 64)
		return time.Unix(int64(max(-farthest, min(f, farthest))), 0), err == nil
	case float64: // never infinite: parseObject saw to that
		return time.Unix(int64(math.Floor(max(-farthest, min(v, farthest)))), 0), true
	}
	return time.Time{}, false
}
