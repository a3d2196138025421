package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of the algorithms
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"
)

// assertionLife is how long a client assertion counts.
const assertionLife = time.Minute

// signer makes client assertions.
type signer struct {
	key  crypto.Signer
	alg  string
	kid  string
	hash crypto.Hash
	size int // of r and s each, for ECDSA
}

func newSigner(key crypto.Signer, kid, alg string) (*signer, error) {
	s := &signer{key: key, kid: kid, hash: crypto.SHA256}
	switch public := key.Public().(type) {
	case *rsa.PublicKey:
		if public.N.BitLen() < 2048 {
			return nil, errors.New("the private key is an RSA key of less than 2048 bits")
		}
		s.alg = "RS256"
		if alg == "PS256" {
			s.alg = alg
		}
	case *ecdsa.PublicKey:
		switch public.Curve {
		case elliptic.P256():
			s.alg = "ES256"
		case elliptic.P384():
			s.alg, s.hash = "ES384", crypto.SHA384
		case elliptic.P521():
			s.alg, s.hash = "ES512", crypto.SHA512
		}
		s.size = (public.Curve.Params().BitSize + 7) / 8
	case ed25519.PublicKey:
		s.alg, s.hash = "EdDSA", 0
	}
	switch {
	case s.alg == "":
		return nil, errors.New("the private key is of a kind that cannot be used: take RSA, P-256, P-384, P-521 or Ed25519")
	case alg != "" && alg != s.alg:
		return nil, fmt.Errorf("algorithm %.40q does not fit the private key, which is for %s", alg, s.alg)
	}
	return s, nil
}

// ParsePrivateKey reads a private key in PEM: PKCS #8, or the older forms of RSA
// and EC keys.
func ParsePrivateKey(data []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(data)
	if block == nil {
		return nil, errors.New("there is no private key in PEM form")
	}
	if more, _ := pem.Decode(rest); more != nil {
		return nil, errors.New("there is more than the private key")
	}
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return nil, errors.New("the PEM block is no private key, or an encrypted one")
	}
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, errors.New("the private key is damaged or of a kind that cannot be used") // the reason could hold parts of it
	}
	return signer, nil
}

// assertion is a JWT by which the provider knows us (RFC 7523 section 3).
func (p *Provider) assertion(audience string) (string, error) {
	jti, err := p.random()
	if err != nil {
		return "", err
	}
	now := p.o.Clock()
	header := map[string]any{"alg": p.signer.alg, "typ": "JWT"}
	if p.signer.kid != "" {
		header["kid"] = p.signer.kid
	}
	return p.signer.sign(p.o.Rand, header, map[string]any{
		"iss": p.o.ClientID, "sub": p.o.ClientID, "aud": audience, "jti": jti,
		"iat": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	})
}

func (s *signer) sign(rand io.Reader, header, claims map[string]any) (string, error) {
	var input string
	for i, part := range []map[string]any{header, claims} {
		raw, err := json.Marshal(part)
		if err != nil {
			return "", fmt.Errorf("making a client assertion: %w", err)
		}
		if i > 0 {
			input += "."
		}
		input += base64.RawURLEncoding.EncodeToString(raw)
	}
	message, options := []byte(input), crypto.SignerOpts(s.hash)
	if s.hash != 0 {
		h := s.hash.New()
		h.Write(message)
		message = h.Sum(nil)
	}
	if s.alg == "PS256" {
		options = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: s.hash}
	}
	signature, err := s.key.Sign(rand, message, options)
	if err == nil && s.size > 0 {
		signature, err = s.raw(signature)
	}
	if err != nil {
		return "", fmt.Errorf("signing a client assertion: %w", err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// raw turns the signature of a crypto.Signer into that of RFC 7518 section 3.4.
func (s *signer) raw(der []byte) ([]byte, error) {
	var pair struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(der, &pair)
	fits := func(n *big.Int) bool { return n.Sign() > 0 && n.BitLen() <= 8*s.size }
	if err != nil || len(rest) > 0 || !fits(pair.R) || !fits(pair.S) {
		return nil, errors.New("the key made no proper signature")
	}
	out := make([]byte, 2*s.size)
	pair.R.FillBytes(out[:s.size])
	pair.S.FillBytes(out[s.size:])
	return out, nil
}
