package key

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

const (
	prefix    = "gh_"
	idLen     = 12
	secretLen = 32 // × log2(62) = 190 bits
	sumLen    = 6  // 62⁶ is more than 2³²
	idEnd     = len(prefix) + idLen
	bodyLen   = idEnd + len("_") + secretLen
	textLen   = bodyLen + sumLen

	alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

	recordPrefix = "key/"
	ownerPrefix  = "keyof/"
	usePrefix    = "keyuse/"
	ratePrefix   = "keyrate/"
)

// Looks reports whether a text is meant as a key of ours, well formed or not, by
// its prefix. It is for telling keys from other bearer credentials, which never
// begin like that: a JWT begins with "eyJ".
func Looks(text string) bool { return strings.HasPrefix(text, prefix) }

// Parse returns the public id in the text of a key. ok is false for what was
// never a key, by its form or its checksum. It says nothing about whether there
// is such a key. A key has one spelling: nothing is trimmed or folded.
func Parse(text string) (id string, ok bool) {
	if _, r := parse(text); r != nil {
		return "", false
	}
	return strings.Clone(text[len(prefix):idEnd]), true // a part would keep the secret in memory
}

// parse returns the bytes of a well-formed key, or says why it is none. Bytes
// that are no key's are bounded by their number before they are looked at.
func parse(text string) ([]byte, *identity.Refusal) {
	if len(text) != textLen || text[:len(prefix)] != prefix || text[idEnd] != '_' ||
		!plain(text[len(prefix):idEnd]) || !plain(text[idEnd+1:]) {
		return nil, &identity.Refusal{Reason: "it does not have the form of a key"}
	}
	raw := []byte(text)
	if checksum(raw[:bodyLen]) != [sumLen]byte(raw[bodyLen:]) {
		return nil, &identity.Refusal{Reason: "the key's checksum is wrong: it was mistyped, or cut and joined"}
	}
	return raw, nil
}

// validID reports whether id has the form of one, so that odd input of people
// never becomes part of a store key.
func validID(id string) bool { return len(id) == idLen && plain(id) }

func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || '9' < c) && (c < 'A' || 'Z' < c) && (c < 'a' || 'z' < c) {
			return false
		}
	}
	return true
}

// checksum is the CRC-32 (IEEE 802.3) of what comes before it, in six digits of
// base 62.
func checksum(body []byte) (sum [sumLen]byte) {
	n := crc32.ChecksumIEEE(body)
	for i := sumLen - 1; i >= 0; i-- {
		sum[i] = alphabet[n%62]
		n /= 62
	}
	return sum
}

// mint makes the text of a key with a new secret.
func mint(rand io.Reader, id string) (string, error) {
	secret, err := random(rand, secretLen)
	if err != nil {
		return "", err
	}
	body := prefix + id + "_" + secret
	sum := checksum([]byte(body))
	return body + string(sum[:]), nil
}

// random returns n characters of the alphabet, each as likely as the others:
// bytes past the last whole multiple of 62 are thrown away.
func random(rand io.Reader, n int) (string, error) {
	const fair = 256 - 256%len(alphabet)
	out := make([]byte, 0, n)
	var buf [64]byte
	for range 64 { // a source that gives nothing else than what is thrown away is broken
		if _, err := io.ReadFull(rand, buf[:]); err != nil {
			return "", fmt.Errorf("no random bytes for a key: %w", err)
		}
		for _, b := range buf {
			if int(b) < fair {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
			if len(out) == n {
				return string(out), nil
			}
		}
	}
	return "", errors.New("no random bytes for a key: the source repeats itself")
}
