package jwt

import (
	"encoding/base64"
	"errors"
	"strings"

	"github.com/gatehouse-proxy/gatehouse/internal/strictjson"
)

const (
	// maxToken is the longest token that is looked at, in bytes.
	maxToken = 16 << 10
	// maxOpaque is the longest token that an issuer is asked about.
	maxOpaque = 4 << 10
)

// Why a token is refused before any cryptography.
var (
	errSize       = errors.New("it is empty or too long")
	errCharacters = errors.New("it has characters that no token has")
	errEncrypted  = errors.New("it is encrypted (JWE)")
	errSegments   = errors.New("it does not have three parts")
	errCoding     = errors.New("a part of it is not base64url in its only form")
	errAlg        = errors.New("its header has no alg")
	errKID        = errors.New("the kid in its header is not a text of sensible length")
	errTyp        = errors.New("the typ in its header is not a text")
	errNested     = errors.New("it has another token inside (cty)")
	errIss        = errors.New("it has no iss")
)

// token is a JWT in its parts. All of it is what somebody claims, until the
// signature is checked.
type token struct {
	input     string // what is signed: header and payload as sent
	signature []byte
	header    header
	payload   string // decoded
	claims    map[string]any
	issuer    string
}

// header is what counts of a JOSE header.
type header struct {
	alg string
	kid string // "" for none
	typ string // in small letters, without "application/"; "" for none
}

// looksLikeJWT reports whether a bearer value has the form of a JWT, well-formed
// or not: such a value is never sent to an issuer. Opaque tokens have one dot at
// most.
func looksLikeJWT(value string) bool { return strings.Count(value, ".") >= 2 }

// parse reads a token in compact form (RFC 7515 section 7.1), the only one that
// counts. The error says what is wrong with it and holds nothing of it.
func parse(value string, longest int) (*token, error) {
	if value == "" || len(value) > longest {
		return nil, errSize
	}
	first := strings.IndexByte(value, '.')
	last := strings.LastIndexByte(value, '.')
	switch strings.Count(value, ".") {
	case 2:
	case 4:
		return nil, errEncrypted
	default:
		return nil, errSegments
	}
	t := &token{input: value[:last]}
	head, err := decodePart(value[:first])
	if err != nil {
		return nil, err
	}
	if t.header, err = parseHeader(string(head)); err != nil {
		return nil, err
	}
	body, err := decodePart(value[first+1 : last])
	if err != nil {
		return nil, err
	}
	if t.signature, err = decodePart(value[last+1:]); err != nil {
		return nil, err
	}
	t.payload = string(body)
	if t.claims, err = strictjson.Object(t.payload); err != nil {
		return nil, err
	}
	if t.issuer, _ = t.claims["iss"].(string); t.issuer == "" {
		return nil, errIss
	}
	return t, nil
}

// decodePart decodes base64url without padding. A text whose last bits could be
// others and mean the same is refused, or one token would have many spellings.
// The decoder skips line breaks, so the alphabet is checked first.
func decodePart(s string) ([]byte, error) {
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && c != '-' && c != '_' {
			return nil, errCharacters
		}
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, errCoding
	}
	return b, nil
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// token68 reports whether a bearer value is made of the characters of RFC 6750
// section 2.1.
func token68(s string) bool {
	s = strings.TrimRight(s, "=")
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && strings.IndexByte("-._~+/", c) < 0 {
			return false
		}
	}
	return s != ""
}

// forbidden header parameters change how a token is to be read, or bring their
// own keys (RFC 8725 sections 3.6, 3.10; RFC 7797). We understand no extension,
// so any crit is one that must be refused (RFC 7515 section 4.1.11).
var forbidden = [...]struct {
	name string
	err  error
}{
	{"crit", errors.New("its header has crit")},
	{"b64", errors.New("its header has b64")},
	{"jwk", errors.New("its header brings its own key (jwk)")},
	{"jku", errors.New("its header brings its own keys (jku)")},
	{"x5u", errors.New("its header brings its own certificate (x5u)")},
	{"x5c", errors.New("its header brings its own certificate (x5c)")},
	{"enc", errEncrypted},
	{"zip", errors.New("it is compressed (zip)")},
}

func parseHeader(raw string) (h header, err error) {
	m, err := strictjson.Object(raw)
	if err != nil {
		return h, err
	}
	for _, f := range forbidden {
		if _, there := m[f.name]; there {
			return h, f.err
		}
	}
	if h.alg, _ = m["alg"].(string); h.alg == "" {
		return h, errAlg
	}
	if v, there := m["kid"]; there {
		if h.kid, _ = v.(string); h.kid == "" || len(h.kid) > maxKID {
			return h, errKID
		}
	}
	if v, there := m["typ"]; there {
		typ, _ := v.(string)
		if h.typ = mediaType(typ); h.typ == "" {
			return h, errTyp
		}
	}
	if v, there := m["cty"]; there {
		if cty, ok := v.(string); !ok || mediaType(cty) == plainType {
			return h, errNested
		}
	}
	return h, nil
}

// mediaType is a typ or cty as it is compared: without regard to case, and with
// "application/" meant where it is left out (RFC 7515 section 4.1.9).
func mediaType(s string) string { return strings.TrimPrefix(strings.ToLower(s), "application/") }
