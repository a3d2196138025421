package user

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Longest name, label, scope, address and display name, in bytes of UTF-8.
const (
	maxName        = 128
	maxLabel       = 128
	maxScope       = 128
	maxEmail       = 254 // RFC 5321 section 4.5.3.1.3, less the angle brackets
	maxDisplayName = 256
)

// What a record may hold of scopes, and the bounds of a rate.
const (
	maxScopes   = 64
	maxRequests = 1_000_000
	minPer      = time.Second
	maxPer      = 24 * time.Hour
)

// NormalizeName returns the one spelling under which a user name is stored,
// looked up and counted: Unicode NFKC and case folding, so that "Alice",
// "ALICE" and "Ａlice" are one person to login, throttle and policy alike.
// Applying it again changes nothing. Errors are *InvalidError.
//
// It refuses what could not be told apart by eye or would break a format that
// the name travels in: spaces, control, format and other invisible characters,
// unassigned code points, the separators "/" (URLs) "," (header lists) and ":"
// (HTTP Basic, RFC 7617), the path segments "." and "..", and a leading
// combining mark. Look-alikes of different scripts are different names.
func NormalizeName(s string) (string, error) {
	if plain(s) {
		return checkName(s)
	}
	if !utf8.ValidString(s) {
		return "", badName("is not valid UTF-8")
	}
	// Normalising can grow a text (U+FDFA by 11 times), so bound it first.
	if len(s) > 4*maxName {
		return "", badName("is longer than 128 bytes")
	}
	// Folding can undo NFKC and the other way round; a few rounds settle it.
	for range 8 {
		next := norm.NFKC.String(fold(norm.NFKC.String(s)))
		if next == s {
			return checkName(s)
		}
		s = next
	}
	return "", badName("has no stable spelling")
}

// fold is Unicode's full case folding, which looks at one character at a time.
// Cherokee is done here: x/text turns its capitals and small letters into each
// other, where CaseFolding.txt turns all into capitals.
func fold(s string) string {
	var b strings.Builder
	full := cases.Fold()
	for _, r := range s {
		switch {
		case 0x13A0 <= r && r <= 0x13F5:
			b.WriteRune(r)
		case 0x13F8 <= r && r <= 0x13FD:
			b.WriteRune(r - 0x13F8 + 0x13F0)
		case 0xAB70 <= r && r <= 0xABBF:
			b.WriteRune(r - 0xAB70 + 0x13A0)
		default:
			b.WriteString(full.String(string(r)))
		}
	}
	return b.String()
}

// plain reports whether s is ASCII that folding and NFKC leave alone.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}

func checkName(s string) (string, error) {
	switch {
	case s == "":
		return "", badName("is empty")
	case len(s) > maxName:
		return "", badName("is longer than 128 bytes")
	case s == "." || s == "..":
		return "", badName("is a path segment with a meaning of its own")
	}
	for i, r := range s {
		switch {
		case r == '/' || r == ',' || r == ':':
			return "", badName("may not contain " + string(r))
		case unicode.IsSpace(r):
			return "", badName("may not contain spaces")
		case invisible(r):
			return "", badName("contains a character that cannot be seen or has no meaning")
		case i == 0 && unicode.IsMark(r):
			return "", badName("begins with a combining mark")
		}
	}
	return s, nil
}

func badName(reason string) error { return &InvalidError{Field: "username", Reason: reason} }

// invisible holds for controls, bidi and other format characters, code points
// that are private, unassigned or half of a pair, spaces other than ASCII's,
// and letters and marks that are rendered as nothing.
func invisible(r rune) bool {
	return !unicode.IsPrint(r) || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// NormalizeLabel returns the one spelling in which the name of a role or group is
// kept and compared: Unicode NFC.
func NormalizeLabel(s string) string { return norm.NFC.String(s) }

// CheckLabel says what is wrong with the name of a role or group, or returns
// nil. The comma is refused because headers carry lists of them, and a label
// that holds one would read as two. Errors are *InvalidError with field "label".
func CheckLabel(s string) error {
	bad := func(reason string) error { return &InvalidError{Field: "label", Reason: reason} }
	switch {
	case s == "":
		return bad("is empty")
	case len(s) > maxLabel:
		return bad("is longer than 128 bytes")
	case !utf8.ValidString(s):
		return bad("is not valid UTF-8")
	case strings.Contains(s, ","):
		return bad("may not contain a comma: lists in headers are separated by commas")
	case s[0] == ' ' || s[len(s)-1] == ' ':
		return bad("may not begin or end with a space")
	case strings.ContainsFunc(s, invisible):
		return bad("contains a character that cannot be seen or has no meaning")
	}
	return nil
}

// CheckScope says what is wrong with a scope, or returns nil: it is a
// scope-token of RFC 6749 section 3.3, printable ASCII without the space, which
// separates scopes, the quote and the backslash. The comma is refused because
// headers carry lists that are separated by it. Errors are *InvalidError with
// field "scope".
func CheckScope(s string) error {
	bad := func(reason string) error { return &InvalidError{Field: "scope", Reason: reason} }
	switch {
	case s == "":
		return bad("is empty")
	case len(s) > maxScope:
		return bad("is longer than 128 bytes")
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c == ',':
			return bad("may not contain a comma: lists in headers are separated by commas")
		case c <= ' ' || c > '~' || c == '"' || c == '\\':
			return bad(`may contain only printable ASCII without space, " and \`)
		}
	}
	return nil
}
