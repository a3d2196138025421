package gateway

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// A key is one reading while it is worked on: the path without its leading
// slash, decoded, with sep between segments, so that a slash in it is one that
// came from %2F. No path that passes holds a NUL of its own.
const sep = "\x00"

// segments splits a key or path; an empty last segment is a trailing slash and
// left out.
func segments(dst []string, key, by string) []string {
	key = strings.TrimSuffix(key, by)
	if key == "" {
		return dst
	}
	for s := range strings.SplitSeq(key, by) {
		dst = append(dst, s)
	}
	return dst
}

var transforms = []func(key string) (string, error){slashKey, paramsKey, dotsKey, mergeKey, cutKey, decodeKey}

// slashKey takes %2F for a slash.
func slashKey(key string) (string, error) { return strings.ReplaceAll(key, "/", sep), nil }

// paramsKey drops ";params" from each segment (RFC 3986 section 3.3; servlets).
func paramsKey(key string) (string, error) {
	if !strings.Contains(key, ";") {
		return key, nil
	}
	parts := strings.Split(key, sep)
	for i, p := range parts {
		parts[i], _, _ = strings.Cut(p, ";")
	}
	return strings.Join(parts, sep), nil
}

// dotsKey resolves "." and ".." (RFC 3986 section 5.2.4); ".." at the root stays
// at the root.
func dotsKey(key string) (string, error) {
	if !strings.Contains(key, ".") {
		return key, nil
	}
	parts := strings.Split(key, sep)
	out := make([]string, 0, len(parts))
	for i, p := range parts {
		last := i == len(parts)-1
		switch p {
		case "..":
			out = out[:max(len(out)-1, 0)]
		case ".":
		default:
			out = append(out, p)
			continue
		}
		if last {
			out = append(out, "") // a directory: keeps the slash at its end
		}
	}
	return strings.Join(out, sep), nil
}

// mergeKey takes several slashes for one.
func mergeKey(key string) (string, error) {
	if !strings.HasPrefix(key, sep) && !strings.Contains(key, sep+sep) {
		return key, nil
	}
	parts := strings.Split(key, sep)
	out := parts[:0]
	for i, p := range parts {
		if p != "" || i == len(parts)-1 {
			out = append(out, p)
		}
	}
	return strings.Join(out, sep), nil
}

// cutKey ends the path at a decoded "?" or "#", as rewriting servers did.
func cutKey(key string) (string, error) {
	if i := strings.IndexAny(key, "?#"); i >= 0 {
		return key[:i], nil
	}
	return key, nil
}

// decodeKey percent-decodes once more and checks the outcome. An escape that is
// none stays as it is.
func decodeKey(key string) (string, error) {
	out := key
	if strings.Contains(key, "%") {
		b := make([]byte, 0, len(key))
		for i := 0; i < len(key); i++ {
			c := key[i]
			if c == '%' && i+2 < len(key) && hexDigit(key[i+1]) && hexDigit(key[i+2]) {
				c = unhex(key[i+1])<<4 | unhex(key[i+2])
				if c == 0 {
					return "", fmt.Errorf("%w: it holds a NUL", errPath)
				}
				i += 2
			}
			b = append(b, c)
		}
		out = string(b)
	}
	if !utf8.ValidString(out) {
		return "", fmt.Errorf("%w: it is not valid UTF-8", errPath)
	}
	for _, c := range out {
		if c == '\\' || c != 0 && c < 0x20 || c >= 0x7f && c < 0xa0 {
			return "", fmt.Errorf("%w: it holds a backslash or a control character", errPath)
		}
	}
	return out, nil
}

func hexDigit(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}
