package jwt

import (
	"fmt"
	"strings"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// kind is what a key is, as far as algorithms care: its type and, for curves,
// which.
type kind string

// The kinds of keys that some algorithm can use. X25519 cannot sign; Ed448 and
// secp256k1 are in no algorithm that we take.
const (
	kindRSA     kind = "RSA"
	kindP256    kind = "P-256"
	kindP384    kind = "P-384"
	kindP521    kind = "P-521"
	kindEd25519 kind = "Ed25519"
	kindSecret  kind = "oct" // of an HMAC; never in a key set
)

// kinds has every algorithm that can be allowed, and the one kind of key that
// fits it. "none" is not among them, in any case.
var kinds = map[string]kind{
	"RS256": kindRSA, "RS384": kindRSA, "RS512": kindRSA,
	"PS256": kindRSA, "PS384": kindRSA, "PS512": kindRSA,
	"ES256": kindP256, "ES384": kindP384, "ES512": kindP521,
	"EdDSA": kindEd25519,
	"HS256": kindSecret, "HS384": kindSecret, "HS512": kindSecret,
}

// secretLength is the least length of the key of an HMAC: that of its hash (RFC
// 7518 section 3.2).
var secretLength = map[string]int{"HS256": 32, "HS384": 48, "HS512": 64}

// verifiers makes the check of each algorithm that an issuer allows.
func verifiers(algorithms []string, secret []byte) (map[string]jws.Verifier, error) {
	out := make(map[string]jws.Verifier, len(algorithms))
	for _, a := range algorithms {
		k, known := kinds[a]
		switch {
		case strings.EqualFold(a, "none"):
			return nil, fmt.Errorf("algorithm none means unsigned tokens")
		case !known:
			return nil, fmt.Errorf("algorithm %.40q is not known", a)
		case k == kindSecret && secret == nil:
			return nil, fmt.Errorf("algorithm %s needs a secret", a)
		case k != kindSecret && secret != nil:
			return nil, fmt.Errorf("algorithm %s does not go with a secret", a)
		case k == kindSecret && len(secret) < secretLength[a]:
			return nil, fmt.Errorf("algorithm %s needs a secret of %d bytes or more", a, secretLength[a])
		}
		v, err := jws.NewVerifier(jwa.SignatureAlgorithm(a))
		if err != nil {
			return nil, fmt.Errorf("algorithm %s: %w", a, err)
		}
		out[a] = v
	}
	return out, nil
}
