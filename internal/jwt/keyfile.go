package jwt

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// parseKeyFile reads public keys that an operator put into a file: a JWKS, or
// PEM with public keys and certificates. Whoever puts a private key there has
// made a mistake that they should hear of.
func parseKeyFile(data []byte) (*Set, []skipped, error) {
	data = bytes.TrimSpace(data)
	if !bytes.HasPrefix(data, []byte("{")) {
		set, err := parsePEM(data)
		return set, nil, err
	}
	set, out, err := parseJWKS(data)
	for _, s := range out {
		if s.reason == errPrivate.Error() {
			return nil, nil, fmt.Errorf("%w: put only public keys there", errPrivate)
		}
	}
	return set, out, err
}

func parsePEM(data []byte) (*Set, error) {
	if bytes.Contains(data, []byte("PRIVATE KEY-----")) {
		return nil, fmt.Errorf("%w: put only public keys there", errPrivate)
	}
	var keys []*key
	begun := bytes.Count(data, []byte("-----BEGIN "))
	for len(data) > 0 {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		k, err := parseBlock(block)
		if err != nil {
			return nil, err
		}
		if keys = append(keys, k); len(keys) > maxKeys {
			return nil, fmt.Errorf("it has more than %d keys", maxKeys)
		}
		data = rest
	}
	if len(keys) == 0 {
		return nil, errors.New("it is neither a JWKS nor PEM with public keys or certificates")
	}
	if len(keys) != begun { // a damaged block is passed over by pem.Decode
		return nil, fmt.Errorf("only %d of its %d PEM blocks can be read", len(keys), begun)
	}
	return newSet(keys), nil
}

func parseBlock(b *pem.Block) (*key, error) {
	var public any
	var err error
	switch {
	case b.Type == "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(b.Bytes)
	case b.Type == "RSA PUBLIC KEY":
		public, err = x509.ParsePKCS1PublicKey(b.Bytes)
	case b.Type == "CERTIFICATE":
		var c *x509.Certificate
		if c, err = x509.ParseCertificate(b.Bytes); err == nil {
			public = c.PublicKey
		}
	default:
		return nil, fmt.Errorf("it has a PEM block %.40q: public keys and certificates are possible", b.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("its PEM block %s cannot be read: %w", b.Type, err)
	}
	k, err := newKey("", "", public)
	if err != nil {
		return nil, fmt.Errorf("a key cannot be used: %w", err)
	}
	return k, nil
}
