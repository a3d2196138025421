package password

import (
	"slices"
	"unicode/utf8"
)

// A list of whole leaked passwords misses what people do to get past it:
// "Password" becomes "P@ssw0rd2024!!". So a password is taken apart into the
// pieces that guessing programs try (words of the list, names, rows of keys,
// repeats) and weighed. A piece counts little, a character that is part of none
// counts 1. Three words of the list pass, two and a year do not; so do twelve
// characters without a pattern, and a shorter password may have hardly any.
const (
	weightWord   = 4
	weightName   = 2
	weightWalk   = 2
	weightRepeat = 1
	weightEnough = 12

	leastPiece = 3  // characters; two that match are chance
	mostPiece  = 64 // characters
)

// kind is what a piece of a password is.
type kind int

const (
	other kind = iota
	word
	name
	walk
	repeat
	kinds
)

// reasons are what a person reads when that kind makes up most of a password.
var reasons = [kinds]string{
	other:  "It is too easy to guess.",
	word:   "It is made of common passwords and words with little else, and those are guessed first.",
	name:   "It is mostly your name, your e-mail address or the name of this site.",
	walk:   "It is mostly a row of keys, letters or digits, and those are guessed first.",
	repeat: "It repeats the same few characters.",
}

const reasonListed = "It is on the list of commonly used passwords, and those are guessed first."

// guessable returns the reason to refuse a normalised password, or "". The
// second look is without separators, for "p-a-s-s-w-o-r-d" and for the sayings
// that the list holds as one word.
func guessable(pw string, about []string) string {
	names := nameSet(about)
	whole := lower(pw)
	for _, s := range []string{whole, bare(whole)} {
		if common().words[leet(s)] {
			return reasonListed
		}
		if reason := weigh(s, names); reason != "" {
			return reason
		}
	}
	return ""
}

// nameSet holds what stands for this person or this site, product included.
func nameSet(about []string) map[string]bool {
	set := map[string]bool{"gatehouse": true}
	for _, a := range about {
		for _, f := range fragments(a) {
			if utf8.RuneCountInString(f) >= leastPiece {
				set[leet(f)] = true
			}
		}
	}
	return set
}

// step is the lightest way found to spell the characters up to some place.
type step struct {
	weight int
	last   kind
	length int // of the last piece, in characters
}

// weigh finds the lightest way to put s together from pieces, and returns the
// reason to refuse s when that is too light for its length.
func weigh(s string, names map[string]bool) string {
	t := newText(s)
	n := len(t.chars)
	best := make([]step, n+1)
	for i := 1; i <= n; i++ {
		best[i] = step{best[i-1].weight + 1, other, 1}
		repeated := t.repeated(i)
		for length := leastPiece; length <= min(i, max(mostPiece, repeated)); length++ {
			k, w := repeat, weightRepeat
			if length > repeated { // only then: to look a piece up is what costs
				k, w = t.piece(i-length, i, names)
			}
			if k != other && best[i-length].weight+w < best[i].weight {
				best[i] = step{best[i-length].weight + w, k, length}
			}
		}
	}
	if best[n].weight >= min(weightEnough, n-1) {
		return ""
	}
	var covered [kinds]int
	for i := n; i > 0; i -= best[i].length {
		if best[i].last != other {
			covered[best[i].last] += best[i].length
		}
	}
	return reasons[slices.Index(covered[:], slices.Max(covered[:]))]
}
