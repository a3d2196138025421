package gateway

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of what a path may look like.
const (
	// maxPath is the longest path with more than one reading, and of any path, in
	// bytes: what servers of apps take as a whole request line.
	maxPath = 8 << 10
	// maxReadings is how many ways to read a path are decided, one by one.
	maxReadings = 16
)

// errPath is a path that is refused with 400, whoever asks.
var errPath = errors.New("bad path")

// Reading is one way in which an app may read a path.
type Reading struct {
	Path     string   // decoded, with a leading slash
	Segments []string // without an empty one at the end; a literal %2F stays inside its segment
}

// Readings returns every way in which an app may read an escaped path, the plain
// decoding first. Apps and the servers under them differ in whether %2F is a
// slash, whether "//" is one slash, whether "." and ".." are resolved (also as
// "..;x"), whether ";params" belong to the path, whether a path is decoded twice,
// and whether a decoded "?" or "#" ends it; the result is closed under all of
// these. The error is for paths that have no leading slash, hold a control
// character, a backslash or invalid UTF-8 in any reading, are over-long, or have
// more readings than anybody means.
func Readings(escaped string) ([]Reading, error) {
	if !strings.HasPrefix(escaped, "/") {
		return nil, fmt.Errorf("%w: it does not start with a slash", errPath)
	}
	if len(escaped) > maxPath {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", errPath, maxPath)
	}
	first, err := decodeKey(strings.ReplaceAll(escaped[1:], "/", sep))
	if err != nil {
		return nil, err
	}
	keys := []string{first}
	for next := 0; next < len(keys); next++ {
		for _, transform := range transforms {
			key, err := transform(keys[next])
			if err != nil {
				return nil, err
			}
			if slices.Contains(keys, key) {
				continue
			}
			if len(keys) == maxReadings {
				return nil, fmt.Errorf("%w: it can be read in more than %d ways", errPath, maxReadings)
			}
			keys = append(keys, key)
		}
	}
	readings := make([]Reading, len(keys))
	for i, key := range keys {
		readings[i] = Reading{
			Path:     "/" + strings.ReplaceAll(key, sep, "/"),
			Segments: segments(nil, key, sep),
		}
	}
	return readings, nil
}

// plainPath reports whether u has exactly one reading, its Path as it stands. It
// may say no to a path that has one, never yes to a path that has more.
func plainPath(u *url.URL) bool {
	p := u.Path
	if u.RawPath != "" || p == "" || p[0] != '/' || len(p) > maxPath {
		return false
	}
	for i := range len(p) {
		if !plainByte[p[i]] {
			return false
		}
		if p[i] != '/' || i+1 == len(p) {
			continue
		}
		if next := p[i+1]; next == '/' || next == '.' && dotSegment(p[i+1:]) {
			return false
		}
	}
	return true
}

// plainByte is true for the bytes that mean the same to everybody.
var plainByte = func() (t [256]bool) {
	for c := 0x20; c < 0x7f; c++ {
		t[c] = strings.IndexByte(`%;\?#`, byte(c)) < 0
	}
	return t
}()

func dotSegment(s string) bool {
	s, _, _ = strings.Cut(s, "/")
	return s == "." || s == ".."
}

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
