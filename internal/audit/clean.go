package audit

import (
	"fmt"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"
)

// longest is how much of one text a line holds, in bytes. What is longer ends
// in "…".
const longest = 256

// mask stands for a value that may be a secret.
const mask = "***"

// secretWords are in the names of attributes that no line may show.
var secretWords = []string{"password", "passwd", "secret", "token", "cookie", "authorization", "credential", "private_key", "api_key"}

// Clean makes text that a stranger wrote safe in any log format and on any
// terminal: control, format and other invisible characters (escape sequences,
// line breaks, bidi overrides) are written as \u followed by their code, bytes
// that are no UTF-8 as \x, and a backslash as two, so that none of it can be
// forged. It is bounded in length.
func Clean(s string) string {
	var b strings.Builder
	fits := 0 // how much can stay if a "…" must follow
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		piece := s[i : i+size]
		switch {
		case r == utf8.RuneError && size == 1:
			piece = fmt.Sprintf(`\x%02x`, s[i])
		case r == '\\':
			piece = `\\`
		case r != ' ' && !unicode.IsGraphic(r) || r != ' ' && unicode.IsSpace(r):
			piece = fmt.Sprintf(`\u%04x`, r)
		}
		if b.Len()+len(piece) > longest {
			return b.String()[:fits] + "…"
		}
		b.WriteString(piece)
		if b.Len() <= longest-len("…") {
			fits = b.Len()
		}
		i += size
	}
	return b.String()
}

// safe masks what is named like a secret and cleans text, in groups too.
func safe(a slog.Attr) slog.Attr {
	name := strings.ToLower(a.Key)
	for _, w := range secretWords {
		if strings.Contains(name, w) {
			return slog.String(a.Key, mask)
		}
	}
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		return slog.String(a.Key, Clean(v.String()))
	case slog.KindGroup:
		inner := make([]slog.Attr, 0, len(v.Group()))
		for _, in := range v.Group() {
			inner = append(inner, safe(in))
		}
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(inner...)}
	case slog.KindAny:
		if list, ok := v.Any().([]string); ok {
			clean := make([]string, 0, min(len(list), longestList))
			for _, s := range list[:min(len(list), longestList)] {
				clean = append(clean, Clean(s))
			}
			return slog.Any(a.Key, clean)
		}
		return slog.String(a.Key, Clean(fmt.Sprint(v.Any()))) // errors and others, as text
	}
	return slog.Attr{Key: a.Key, Value: v} // numbers, times, booleans
}

// longestList is how many entries of a list (a user's roles) a line holds.
const longestList = 64
