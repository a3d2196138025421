package optest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
)

// sign makes a JWT; "none" and HS256 (with the client's secret) too, which no
// client may take. header is laid over the usual one. The lock is held.
func (o *OP) sign(alg string, header, claims map[string]any) string {
	full := map[string]any{"alg": alg, "typ": "JWT"}
	var key *Key
	if alg != "none" && alg != "HS256" {
		key = o.key(alg)
		full["kid"] = key.ID
	}
	head, _ := json.Marshal(overlay(full, header)) // made of what JSON can hold
	body, _ := json.Marshal(claims)
	input := b64(head) + "." + b64(body)
	return input + "." + b64(o.signature(alg, key, []byte(input)))
}

func (o *OP) signature(alg string, key *Key, input []byte) []byte {
	digest := sha256.Sum256(input)
	var out []byte
	var err error
	switch alg {
	case "none":
	case "HS256":
		m := hmac.New(sha256.New, []byte(o.Client.Secret))
		m.Write(input)
		out = m.Sum(nil)
	case "EdDSA":
		out, err = key.pair.Sign(nil, input, crypto.Hash(0))
	case "ES256":
		r, s, failed := ecdsa.Sign(rand.Reader, key.pair.(*ecdsa.PrivateKey), digest[:])
		if out, err = make([]byte, 64), failed; err == nil {
			r.FillBytes(out[:32])
			s.FillBytes(out[32:])
		}
	case "PS256":
		out, err = key.pair.Sign(rand.Reader, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
	default:
		out, err = key.pair.Sign(rand.Reader, digest[:], crypto.SHA256)
	}
	if err != nil {
		panic(err) // the keys are our own
	}
	return out
}

// spoil changes a signature.
func spoil(token string) string {
	at := strings.LastIndexByte(token, '.') + 1
	signature, _ := decode(token[at:]) // we made it
	if len(signature) > 0 {
		signature[len(signature)/2] ^= 1
	}
	return token[:at] + b64(signature)
}

// hash is at_hash (OpenID Connect Core section 3.1.3.6).
func hash(alg, access string) string {
	if alg == "EdDSA" {
		sum := sha512.Sum512([]byte(access))
		return b64(sum[:32])
	}
	sum := sha256.Sum256([]byte(access))
	return b64(sum[:16])
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// Verify reads a JWT of one of our clients; ok is false if its signature is not
// of this key.
func Verify(token string, public crypto.PublicKey) (header, claims map[string]any, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, nil, false
	}
	decoded := make([][]byte, 3)
	for i, part := range parts {
		var err error
		if decoded[i], err = decode(part); err != nil {
			return nil, nil, false
		}
	}
	for i, to := range []*map[string]any{&header, &claims} {
		d := json.NewDecoder(bytes.NewReader(decoded[i]))
		d.UseNumber()
		if d.Decode(to) != nil {
			return nil, nil, false
		}
	}
	alg, _ := header["alg"].(string)
	return header, claims, verified(alg, public, []byte(parts[0]+"."+parts[1]), decoded[2])
}

func verified(alg string, public crypto.PublicKey, input, signature []byte) bool {
	sum256, sum384, sum512 := sha256.Sum256(input), sha512.Sum384(input), sha512.Sum512(input)
	switch p := public.(type) {
	case *rsa.PublicKey:
		if alg == "PS256" {
			return rsa.VerifyPSS(p, crypto.SHA256, sum256[:], signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
		return alg == "RS256" && rsa.VerifyPKCS1v15(p, crypto.SHA256, sum256[:], signature) == nil
	case *ecdsa.PublicKey:
		digest := map[string][]byte{"ES256": sum256[:], "ES384": sum384[:], "ES512": sum512[:]}[alg]
		half := (p.Curve.Params().BitSize + 7) / 8
		if digest == nil || len(signature) != 2*half {
			return false
		}
		return ecdsa.Verify(p, digest, new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:]))
	case ed25519.PublicKey:
		return alg == "EdDSA" && ed25519.Verify(p, input, signature)
	}
	return false
}

func decode(s string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(s) }

func s256(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return b64(sum[:])
}
