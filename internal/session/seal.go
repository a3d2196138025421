package session

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// maxSealed is how much a session keeps sealed, in bytes.
const maxSealed = 128 << 10

// What is sealed is bound to its session, and to what it is: the associated data
// of each kind begin with other words.
const (
	aboutTokens = "tokens of "
	aboutParent = "parent of "
)

// keyBytes makes AES-256.
const keyBytes = 32

// Key seals and opens what is kept in a session: AES-256-GCM, with a key made from
// the session's token by HKDF-SHA256. The store holds only the token's hash, so
// who steals it opens nothing. A Key is a secret like the token. It is not shown
// when printed; its zero value is no key.
type Key struct {
	secret *[keyBytes]byte // behind a pointer, which is all that is ever printed of a struct that holds a Key
}

// SealKey returns the key of the session that token stands for. ok is false for
// what was never a token. It also fits other secrets of that form: 256 random
// bits in base64url.
func SealKey(token string) (k Key, ok bool) {
	raw, err := tokenCoding.DecodeString(token)
	if len(token) != tokenLen || err != nil || len(raw) != tokenBytes {
		return Key{}, false
	}
	secret, err := hkdf.Key(sha256.New, raw, nil, "gatehouse session seal 1", keyBytes)
	if err != nil {
		return Key{}, false // not of SHA-256 and this length
	}
	return KeyFrom(secret)
}

// KeyFrom is the other way of Bytes. ok is false for what is no key.
func KeyFrom(raw []byte) (k Key, ok bool) {
	if len(raw) != keyBytes {
		return Key{}, false
	}
	secret := [keyBytes]byte(raw)
	return Key{secret: &secret}, true
}

// Valid reports whether k is a key.
func (k Key) Valid() bool { return k.secret != nil }

// Bytes returns the secret itself, to be sealed with another Key; nil of none.
func (k Key) Bytes() []byte {
	if !k.Valid() {
		return nil
	}
	return bytes.Clone(k.secret[:])
}

// Seal encrypts plain so that only Open with the same key and the same about
// gives it back. random gives the nonce: one that repeats itself gives away what
// is sealed.
func (k Key) Seal(random io.Reader, plain []byte, about string) ([]byte, error) {
	aead, err := k.aead()
	if err != nil {
		return nil, err
	}
	sealed := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	if _, err := io.ReadFull(random, sealed); err != nil {
		return nil, fmt.Errorf("no random bytes for a seal: %w", err)
	}
	return aead.Seal(sealed, sealed, plain, []byte(about)), nil
}

// Open decrypts what Seal returned, or returns ErrSealed.
func (k Key) Open(sealed []byte, about string) ([]byte, error) {
	aead, err := k.aead()
	if err != nil {
		return nil, err
	}
	if len(sealed) < aead.NonceSize() {
		return nil, ErrSealed
	}
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], []byte(about))
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

func (k Key) aead() (cipher.AEAD, error) {
	if !k.Valid() {
		return nil, errors.New("there is no key to the session")
	}
	block, err := aes.NewCipher(k.secret[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Format shows no secret, whatever the verb.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "***") }

// LogValue shows no secret.
func (Key) LogValue() slog.Value { return slog.StringValue("***") }

// MarshalJSON fails: a key is sealed with another one, and never written plain.
func (Key) MarshalJSON() ([]byte, error) {
	return nil, errors.New("the key of a session is not written down")
}

// Open returns the provider's tokens that are sealed in a session. The error is
// ErrNoTokens when it has none, and ErrSealed when this is not its key.
func (m *Manager) Open(k Key, s *Session) ([]byte, error) {
	if len(s.Sealed) == 0 || s.Parent != "" {
		return nil, ErrNoTokens
	}
	return k.Open(s.Sealed, aboutTokens+s.ID)
}

// OpenParent returns the key of the parent of a session, if Login.ParentKey was
// given. The errors are those of Open.
func (m *Manager) OpenParent(k Key, s *Session) (Key, error) {
	if len(s.Sealed) == 0 || s.Parent == "" {
		return Key{}, ErrNoTokens
	}
	raw, err := k.Open(s.Sealed, aboutParent+s.ID)
	if err != nil {
		return Key{}, err
	}
	parent, ok := KeyFrom(raw)
	if !ok {
		return Key{}, ErrSealed
	}
	return parent, nil
}

// Reseal puts new tokens into s in place of the old. It is for use in Update.
func (m *Manager) Reseal(k Key, s *Session, tokens []byte) (err error) {
	if len(tokens) > maxSealed {
		return ErrTooLarge
	}
	s.Sealed, err = k.Seal(m.rand, tokens, aboutTokens+s.ID)
	return err
}
