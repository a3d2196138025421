package jwt

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// Limits of RSA keys, in bits: below, they can be broken (RFC 7518 section 3.3);
// above, they cost more than they give.
const (
	minRSA = 2048
	maxRSA = 8192
)

// maxKID is the longest kid, in bytes.
const maxKID = 512

// errPrivate tells of a key that should never have come here.
var errPrivate = errors.New("it holds a private key")

// key is one public key that may verify.
type key struct {
	id     string // kid; "" for none
	alg    string // the only algorithm it is for; "" for all that fit its kind
	kind   kind
	public any    // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
	bare   string // tells it from every other key, whatever its id and alg
	print  string // tells it from every other key, its id and alg included
}

// fits reports whether a signature of algorithm may be checked with the key: a
// key never serves an algorithm of another kind (RFC 8725 section 3.1).
func (k *key) fits(algorithm string) bool {
	return k.kind == kinds[algorithm] && (k.alg == "" || k.alg == algorithm)
}

// newKey checks a public key and finds its kind. The error completes "a key was
// skipped: …".
func newKey(id, alg string, public any) (*key, error) {
	k := &key{id: id, alg: alg, public: public}
	switch p := public.(type) {
	case *rsa.PublicKey:
		k.kind = kindRSA
		switch bits := p.N.BitLen(); {
		case bits < minRSA || bits > maxRSA:
			return nil, fmt.Errorf("it is an RSA key of %d bits: %d to %d are allowed", bits, minRSA, maxRSA)
		case p.N.Bit(0) == 0 || p.E < 3 || p.E&1 == 0 || p.E > 1<<31-1:
			return nil, errors.New("it is an RSA key with unsafe numbers")
		}
	case *ecdsa.PublicKey:
		switch p.Curve {
		case elliptic.P256():
			k.kind = kindP256
		case elliptic.P384():
			k.kind = kindP384
		case elliptic.P521():
			k.kind = kindP521
		default:
			return nil, errors.New("its curve is not supported")
		}
		if _, err := p.ECDH(); err != nil { // the point is on the curve, and not at infinity
			return nil, errors.New("it is no point of its curve")
		}
	case ed25519.PublicKey:
		k.kind = kindEd25519
		if len(p) != ed25519.PublicKeySize {
			return nil, errors.New("it is an Ed25519 key of the wrong length")
		}
	default:
		return nil, errors.New("its type is not supported")
	}
	if alg != "" && kinds[alg] != k.kind {
		return nil, errors.New("its alg does not fit it, or is not supported")
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, errors.New("it cannot be encoded")
	}
	sum := sha256.Sum256(der)
	k.bare = hex.EncodeToString(sum[:])
	k.print = fmt.Sprintf("%s %q %q", k.bare, alg, id)
	return k, nil
}

// privateMembers are in no public key (RFC 7518 section 6).
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// parseJWK makes a key of one member of a JWKS.
func parseJWK(m map[string]any) (*key, error) {
	for _, name := range privateMembers {
		if _, there := m[name]; there {
			return nil, errPrivate
		}
	}
	id, err := text(m, "kid")
	if err != nil {
		return nil, err
	}
	if len(id) > maxKID {
		return nil, fmt.Errorf("its kid is longer than %d bytes", maxKID)
	}
	alg, err := text(m, "alg")
	if err != nil {
		return nil, err
	}
	if alg == string(kindEd25519) { // its fully specified name (RFC 9864)
		alg = "EdDSA"
	}
	if err := forVerifying(m); err != nil {
		return nil, err
	}
	public, err := material(m)
	if err != nil {
		return nil, err
	}
	return newKey(id, alg, public)
}

// forVerifying checks what the key says it is for (RFC 7517 sections 4.2, 4.3).
func forVerifying(m map[string]any) error {
	use, err := text(m, "use")
	if err != nil {
		return err
	}
	if use != "" && use != "sig" {
		return errors.New("its use is not sig")
	}
	ops, there := m["key_ops"]
	if !there {
		return nil
	}
	if list, ok := ops.([]any); ok && slices.Contains(list, any("verify")) {
		return nil
	}
	return errors.New("its key_ops are not for verifying")
}

// material lets jwk decode the members that make the key, and nothing else: what
// more an issuer writes (certificates, names) has no part in it.
func material(m map[string]any) (any, error) {
	kty, err := text(m, "kty")
	if err != nil {
		return nil, err
	}
	names := map[string][]string{"RSA": {"n", "e"}, "EC": {"crv", "x", "y"}, "OKP": {"crv", "x"}}[kty]
	if names == nil {
		return nil, errors.New("its kty is not supported")
	}
	only := map[string]string{"kty": kty}
	for _, name := range names {
		value, _ := m[name].(string)
		if _, err := base64.RawURLEncoding.DecodeString(value); value == "" || name != "crv" && err != nil {
			return nil, fmt.Errorf("its %s is missing or not base64url", name)
		}
		if name == "e" && len(value) > 8 { // jwk would cut off what does not fit
			return nil, errors.New("its e is too large")
		}
		only[name] = value
	}
	raw, err := json.Marshal(only)
	if err != nil {
		return nil, errors.New("it cannot be encoded")
	}
	parsed, err := jwk.ParseKey(raw)
	if err != nil {
		return nil, errors.New("it is malformed, or its curve is not supported")
	}
	var public any
	if err := parsed.Raw(&public); err != nil {
		return nil, errors.New("it is malformed, or its curve is not supported")
	}
	return public, nil
}

// text returns a member that must be a string if it is there; "" when it is not.
func text(m map[string]any, name string) (string, error) {
	v, there := m[name]
	s, ok := v.(string)
	if there && !ok {
		return "", fmt.Errorf("its %s is not a string", name)
	}
	return s, nil
}
