package gateway

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
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
