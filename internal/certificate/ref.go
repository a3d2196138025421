package certificate

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// fingerprintPrefix begins every fingerprint, and no name: a certificate could
// otherwise take the name that is another's fingerprint.
const fingerprintPrefix = "sha256:"

// parseRef brings what a certificate is bound by into its one stored form: a
// fingerprint, or a name in the form that source has it.
func parseRef(source Source, s string) (ref string, err error) {
	if hasFingerprintPrefix(s) {
		return parseFingerprint(s)
	}
	if _, err := parseFingerprint(s); err == nil {
		return "", &InvalidError{Field: "name", Reason: `has the form of a fingerprint: write "sha256:" before it`}
	}
	name, reason := cleanName(source, s)
	if reason != "" {
		return "", &InvalidError{Field: "name", Reason: reason}
	}
	return name, nil
}

// parseFingerprint takes 64 hex digits of either case, also as 32 pairs with
// colons between them, which is how other tools print them, with or without
// "sha256:" before.
func parseFingerprint(s string) (string, error) {
	if hasFingerprintPrefix(s) {
		s = s[len(fingerprintPrefix):]
	}
	const digits = 2 * sha256.Size
	var out [len(fingerprintPrefix) + digits]byte
	hex := append(out[:0], fingerprintPrefix...)
	colons := len(s) == digits+sha256.Size-1
	if len(s) != digits && !colons {
		return "", badFingerprint()
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case colons && i%3 == 2:
			if c != ':' {
				return "", badFingerprint()
			}
			continue
		case 'A' <= c && c <= 'F':
			c += 'a' - 'A'
		case ('a' > c || c > 'f') && ('0' > c || c > '9'):
			return "", badFingerprint()
		}
		hex = append(hex, c)
	}
	return string(hex), nil
}

func badFingerprint() error {
	return &InvalidError{Field: "fingerprint", Reason: `must be "sha256:" and 64 hex digits, with or without colons between pairs of them`}
}

func hasFingerprintPrefix(s string) bool {
	return len(s) >= len(fingerprintPrefix) && strings.EqualFold(s[:len(fingerprintPrefix)], fingerprintPrefix)
}

// key is where a record about ref is kept.
func key(kind, ref string) string {
	sum := sha256.Sum256([]byte(ref))
	return kind + "/" + hex.EncodeToString(sum[:])
}
