// Package returnto keeps "take me back to where I was" on the site where it was
// said. It owns the one check that every return_to passes, written to fail on
// each trick by which a browser is led from a path to another host; it does not
// know which paths of a site are worth returning to.
package returnto

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxLength is the longest return_to that is honoured, in bytes, before and
// after escaping: it must fit into a URL beside other parameters.
const MaxLength = 2048

// maxDecodes bounds how often a path is percent-decoded in search of a trick:
// once for the browser's server, once more for an app that decodes again, and
// one to spare. What still has an escape after that may keep it: nobody decodes
// four times.
const maxDecodes = 3

// Clean returns raw as an absolute path with its query on this same site, ready
// for a Location header: the fragment is dropped, spaces and non-ASCII bytes are
// percent-encoded. ok is false for all that could be read as leading anywhere
// else, and for what is no path at all; the caller then goes to "/".
//
// Refused are: no leading slash (a scheme, userinfo or relative path), "//" and
// "/\" at the start, whether plain, percent-encoded, encoded twice or showing up
// once dot segments are resolved ("/.//host"), a backslash or control character
// anywhere (the WHATWG URL parser drops tab and newline and takes "\" for "/"),
// broken percent-encoding in the path, invalid UTF-8, and more than MaxLength
// bytes.
func Clean(raw string) (path string, ok bool) {
	if raw == "" || len(raw) > MaxLength || raw[0] != '/' || !plain(raw) {
		return "", false
	}
	raw, _, _ = strings.Cut(raw, "#")
	p, query, hasQuery := strings.Cut(raw, "?")
	if !staysHere(p) {
		return "", false
	}
	clean := escape(p)
	if hasQuery {
		clean += "?" + escape(query)
	}
	if len(clean) > MaxLength {
		return "", false
	}
	return clean, true
}

// staysHere reports whether a path starts with exactly one slash however often
// it is decoded and its dot segments are resolved.
func staysHere(p string) bool {
	for pass := range maxDecodes + 1 {
		if !plain(p) || strings.HasPrefix(p, "//") || strings.HasPrefix(resolve(p), "//") {
			return false
		}
		if strings.IndexByte(p, '%') < 0 {
			return true
		}
		next, broken := decode(p)
		if broken && pass == 0 {
			return false
		}
		p = next
	}
	return true
}

// decode percent-decodes s once; an escape that is none stays as it is, and
// broken says so ("/100%25" decodes to "/100%", which is not a trick).
func decode(s string) (out string, broken bool) {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		broken = true
		b.WriteByte('%')
	}
	return b.String(), broken
}

// plain reports whether s is valid UTF-8 without backslash, control character
// (C0, DEL, C1) or Unicode line and paragraph separator, which end a line for
// JavaScript.
func plain(s string) bool {
	for i, c := range s {
		switch {
		case c == utf8.RuneError:
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return false
			}
		case c < 0x20, c == '\\', c >= 0x7f && c < 0xa0, c == '\u2028', c == '\u2029':
			return false
		}
	}
	return true
}

// resolve removes dot segments as RFC 3986 section 5.2.4 does: empty segments
// stay, so that "/.//host" shows itself as "//host".
func resolve(p string) string {
	if !strings.Contains(p, "/.") {
		return p
	}
	var out []string
	for seg := range strings.SplitSeq(p[1:], "/") {
		// A path parameter does not hide a dot segment from some servers.
		name, _, _ := strings.Cut(seg, ";")
		switch name {
		case ".":
		case "..":
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
		default:
			out = append(out, seg)
		}
	}
	return "/" + strings.Join(out, "/")
}

// escape percent-encodes what may not stand in a header: spaces and all that is
// not ASCII.
func escape(s string) string {
	clean := true
	for i := range len(s) {
		if s[i] == ' ' || s[i] >= 0x80 {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	b.Grow(len(s) + 32)
	for i := range len(s) {
		if c := s[i]; c == ' ' || c >= 0x80 {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
