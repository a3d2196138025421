package password

import (
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
)

// MaxBytes is how long a new password may be, in bytes as it was typed. All of
// it counts: nothing is cut off.
const MaxBytes = 256

// maxTyped bounds what is normalised when somebody logs in. It is larger than
// MaxBytes, because another keyboard may spell the same password in more bytes
// (letters and accents apart): one of MaxBytes at most three times as long.
const maxTyped = 4 * MaxBytes

// normalize applies the OpaqueString profile of RFC 8265 section 4.2, so that
// one password typed on two keyboards is one string: Unicode NFC, every kind of
// space an ASCII space. Case and spaces at the ends are kept.
func normalize(pw string) (string, bool) {
	if pw == "" || len(pw) > maxTyped || !utf8.ValidString(pw) {
		return "", false
	}
	s, err := precis.OpaqueString.String(pw)
	return s, err == nil && s != ""
}
