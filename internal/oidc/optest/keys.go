package optest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"math/big"
	"sync"
)

// Key is a key that the provider signs with.
type Key struct {
	ID   string
	pair crypto.Signer
}

// FirstKey is the RSA key that every provider begins with; making one takes a
// while.
var FirstKey = sync.OnceValue(func() *Key { return newKey("first", "RS256") })

func newKey(id, alg string) *Key {
	k := &Key{ID: id}
	var err error
	switch alg {
	case "ES256":
		k.pair, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, k.pair, err = ed25519.GenerateKey(rand.Reader)
	default:
		k.pair, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		panic(err) // there are no random numbers
	}
	return k
}

// Rotate makes a new key for an algorithm, which signs from now on. The old ones
// stay published, or not.
func (o *OP) Rotate(alg string, keepOld bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !keepOld {
		o.keys = nil
	}
	o.rotate(alg)
}

func (o *OP) rotate(alg string) {
	o.keys = append(o.keys, newKey(fmt.Sprintf("key-%s", random()[:8]), alg))
}

// key is the last one for an algorithm; the first look makes it.
func (o *OP) key(alg string) *Key {
	for i := len(o.keys) - 1; i >= 0; i-- {
		if o.keys[i].fits(alg) {
			return o.keys[i]
		}
	}
	o.rotate(alg)
	return o.keys[len(o.keys)-1]
}

func (k *Key) fits(alg string) bool {
	switch k.pair.Public().(type) {
	case *ecdsa.PublicKey:
		return alg == "ES256"
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return alg == "RS256" || alg == "PS256"
}

// jwks publishes the keys.
func (o *OP) jwks() map[string]any {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, alg := range []string{o.knobs.IDTokenAlg, o.knobs.LogoutTokenAlg} {
		if alg == "ES256" || alg == "EdDSA" {
			o.key(alg)
		}
	}
	keys := []any{}
	for _, k := range o.knobs.ExtraKeys {
		keys = append(keys, k)
	}
	for _, k := range o.keys {
		keys = append(keys, k.JWK(!o.knobs.OmitKIDs))
	}
	return map[string]any{"keys": keys}
}

// JWK is the public part (RFC 7517).
func (k *Key) JWK(kid bool) map[string]any {
	j := map[string]any{"use": "sig"}
	if kid {
		j["kid"] = k.ID
	}
	switch p := k.pair.Public().(type) {
	case *rsa.PublicKey:
		j["kty"], j["n"], j["e"] = "RSA", b64(p.N.Bytes()), b64(big.NewInt(int64(p.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := p.Bytes()
		if err != nil {
			panic(err) // it was made here
		}
		j["kty"], j["crv"], j["x"], j["y"] = "EC", "P-256", b64(point[1:33]), b64(point[33:])
	case ed25519.PublicKey:
		j["kty"], j["crv"], j["x"] = "OKP", "Ed25519", b64(p)
	}
	return j
}
