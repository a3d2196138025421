package strictjson

import (
	"strconv"
	"strings"
	"unicode/utf16"
)

// unescape resolves the escapes of a JSON string (RFC 8259 section 7). Half a
// surrogate pair is an error: replaced, as others do, it would make two names
// one.
func unescape(s string) (string, error) {
	var b strings.Builder
	b.Grow(len(s))
	for s != "" {
		plain, rest, found := strings.Cut(s, `\`)
		b.WriteString(plain)
		if !found {
			break
		}
		if rest == "" {
			return "", ErrSyntax
		}
		c := rest[0]
		s = rest[1:]
		switch c {
		case '"', '\\', '/':
			b.WriteByte(c)
		case 'b':
			b.WriteByte('\b')
		case 'f':
			b.WriteByte('\f')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'u':
			r, size, err := codePoint(s)
			if err != nil {
				return "", err
			}
			b.WriteRune(r)
			s = s[size:]
		default:
			return "", ErrSyntax
		}
	}
	return b.String(), nil
}

// codePoint reads the digits after a \u, and the other half of a pair; size is
// how many bytes that took.
func codePoint(s string) (r rune, size int, err error) {
	r, ok := hex4(s)
	if !ok {
		return 0, 0, ErrSyntax
	}
	if !utf16.IsSurrogate(r) {
		return r, 4, nil
	}
	if len(s) < 10 || s[4:6] != `\u` {
		return 0, 0, ErrText
	}
	low, ok := hex4(s[6:])
	if !ok {
		return 0, 0, ErrSyntax
	}
	const notAPair = '\uFFFD'
	if r = utf16.DecodeRune(r, low); r == notAPair {
		return 0, 0, ErrText
	}
	return r, 10, nil
}

func hex4(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(s[:4], 16, 16)
	return rune(n), err == nil
}
