package password

import (
	"strings"
	"unicode"

	"golang.org/x/text/runes"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"
)

// lower undoes what people do to letters: wide and styled forms, accents, case.
// What it returns is for comparison only.
func lower(s string) string {
	chain := transform.Chain(norm.NFKD, runes.Remove(runes.In(unicode.Mn)), norm.NFC)
	folded, _, err := transform.String(chain, s)
	if err != nil { // none of the chain refuses valid UTF-8
		folded = s
	}
	return strings.ToLower(folded)
}

// leet folds digits and signs that stand for letters into one letter, character
// by character. 1, ! and | may be i or l, so l becomes i as well.
func leet(s string) string { return strings.Map(leetRune, s) }

func leetRune(r rune) rune {
	switch r {
	case '0':
		return 'o'
	case '1', '!', '|', 'l':
		return 'i'
	case '2':
		return 'z'
	case '3', '€':
		return 'e'
	case '4', '@':
		return 'a'
	case '5', '$':
		return 's'
	case '7', '+':
		return 't'
	case '8':
		return 'b'
	case '9', '6':
		return 'g'
	}
	return r
}

// bare drops what people put between words.
func bare(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" -_.,:;/'", r) {
			return -1
		}
		return r
	}, s)
}

// fragments are the forms in which a word about somebody may show up in a
// password: each run of letters and digits, and all of them as one.
func fragments(s string) []string {
	s = lower(s)
	parts := strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return append(parts, bare(s), strings.Join(parts, ""))
}
