package portal

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// The kinds of what is sealed.
const (
	sealLogin  = "login 1"
	sealLogout = "logout 1"
)

// sealer seals what we give to browsers and take back. Each kind has a key of its
// own, so that none passes for another.
type sealer struct{ aead cipher.AEAD }

// sealer makes the one for a kind from the key that all instances share.
func (p *Portal) sealer(ctx context.Context, kind string) (*sealer, error) {
	key, err := p.o.StateKey(ctx)
	if err != nil {
		return nil, fmt.Errorf("the key for logins: %w", err)
	}
	if key == [32]byte{} {
		return nil, errors.New("the key for logins is empty")
	}
	own, err := hkdf.Key(sha256.New, key[:], nil, "gatehouse portal "+kind, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(own)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &sealer{aead}, nil
}

func (s *sealer) seal(plain []byte, about string) string {
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, plain, []byte(about)))
}

func (s *sealer) open(text, about string) (plain []byte, ok bool) {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, false
	}
	plain, err = s.aead.Open(nil, nil, sealed, []byte(about))
	return plain, err == nil
}
