package config

import (
	"fmt"
	"strings"
)

// Unknown is the sentence for a word that is none of those allowed: which one
// was probably meant, and all that may be written.
func Unknown(kind, word string, allowed []string) string {
	meant := ""
	if near := nearest(word, allowed); near != "" {
		meant = fmt.Sprintf(" (did you mean %s?)", near)
	}
	return fmt.Sprintf("unknown %s %q%s: write %s", kind, word, meant, List(allowed))
}

// List joins words for a sentence: "a", "a or b", "a, b or c".
func List(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// nearest returns the allowed word that is fewest edits away from word: one for
// short words, two for longer ones. "" when there is none.
func nearest(word string, allowed []string) string {
	if len(word) > 40 {
		return ""
	}
	limit := 1
	if len(word) > 4 {
		limit = 2
	}
	found := ""
	for _, a := range allowed {
		if d := distance(strings.ToLower(word), strings.ToLower(a)); d <= limit {
			limit, found = d-1, a
		}
	}
	return found
}

// distance is the number of letters to insert, drop, change or swap with their
// neighbour to turn a into b (optimal string alignment).
func distance(a, b string) int {
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}
