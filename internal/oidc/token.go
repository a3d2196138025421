package oidc

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/strictjson"
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
	header, err := strictjson.Object(string(decoded[0]))
	if err != nil {
		return nil, invalid("its header: " + err.Error())
	}
	if err := t.readHeader(header); err != nil {
		return nil, err
	}
	if t.claims, err = strictjson.Object(string(t.payload)); err != nil {
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
	case float64: // never infinite: strictjson saw to that
		return time.Unix(int64(math.Floor(max(-farthest, min(v, farthest)))), 0), true
	}
	return time.Time{}, false
}
