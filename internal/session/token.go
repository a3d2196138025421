package session

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
)

const (
	tokenBytes = 32
	tokenLen   = 43 // of base64url without padding
	idPrefix   = "ses_"
	idLen      = len(idPrefix) + 52 // of base32 without padding

	keyPrefix   = "session/"
	indexPrefix = "session-of/"
)

var (
	tokenCoding = base64.RawURLEncoding.Strict()
	idCoding    = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
)

// key is a session's store key, made without an allocation.
type key [len(keyPrefix) + idLen]byte

func (k *key) id() []byte { return k[len(keyPrefix):] }

// keyOf is the store key of a valid id.
func keyOf(id string) (k key) {
	copy(k[copy(k[:], keyPrefix):], id)
	return k
}

func newToken(rand io.Reader) (string, error) {
	var raw [tokenBytes]byte
	if _, err := io.ReadFull(rand, raw[:]); err != nil {
		return "", fmt.Errorf("no random bytes for a session: %w", err)
	}
	return tokenCoding.EncodeToString(raw[:]), nil
}

// parseToken returns the store key that a token leads to. ok is false for what
// was never a token: it needs no look-up.
func parseToken(token string) (k key, ok bool) {
	if len(token) != tokenLen {
		return k, false
	}
	var text [tokenLen]byte
	copy(text[:], token)
	// Decoding finds foreign characters and spare bits; it also skips line
	// breaks, which then leaves too few bytes.
	var raw [tokenBytes]byte
	if n, err := tokenCoding.Decode(raw[:], text[:]); err != nil || n != tokenBytes {
		return k, false
	}
	sum := sha256.Sum256(text[:])
	copy(k[:], keyPrefix+idPrefix)
	idCoding.Encode(k[len(keyPrefix)+len(idPrefix):], sum[:])
	return k, true
}

// ID returns the public id of the session that token stands for: "ses_" and the
// token's SHA-256. It says nothing about whether there is such a session.
func ID(token string) string {
	sum := sha256.Sum256([]byte(token))
	return idPrefix + idCoding.EncodeToString(sum[:])
}

// validID reports whether id has the form of one, so that odd input of people
// never becomes part of a key.
func validID(id string) bool {
	rest, ok := strings.CutPrefix(id, idPrefix)
	if !ok || len(id) != idLen {
		return false
	}
	_, err := idCoding.DecodeString(rest)
	return err == nil
}
