package password

import (
	_ "embed"
	"strings"
	"sync"
)

// text is a folded password with what its pieces are looked up by: as it is for
// rows of keys, and with leet undone for words, each with the byte offset of
// every character.
type text struct {
	chars           []rune
	plain, leet     string
	plainAt, leetAt []int
	tails           []int // tails[j]: how much of the end of chars[:i] is also at the end of chars[:j]
}

func newText(s string) *text {
	t := &text{chars: []rune(s), plain: s, leet: leet(s)}
	t.plainAt, t.leetAt = offsets(t.plain), offsets(t.leet)
	t.tails = make([]int, len(t.chars)+1)
	return t
}

func offsets(s string) []int {
	at := make([]int, 0, len(s)+1)
	for i := range s {
		at = append(at, i)
	}
	return append(at, len(s))
}

// piece says what the characters from i to j are, and what they weigh.
func (t *text) piece(i, j int, names map[string]bool) (kind, int) {
	folded := t.leet[t.leetAt[i]:t.leetAt[j]]
	switch plain := t.plain[t.plainAt[i]:t.plainAt[j]]; {
	case names[folded]:
		return name, weightName
	case year(plain) || strings.Contains(common().rows, plain):
		return walk, weightWalk
	case common().words[folded]:
		return word, weightWord
	}
	return other, 0
}

// repeated is how many of the last characters before i are there once before,
// be it overlapping: so "abcabcabc" repeats six. It must be asked for each i
// from 1 on in turn.
func (t *text) repeated(i int) int {
	longest := 0
	for j := i - 1; j >= 0; j-- { // downwards: tails[j-1] is still that of i-1
		if j > 0 && t.chars[i-1] == t.chars[j-1] {
			t.tails[j] = t.tails[j-1] + 1
		} else {
			t.tails[j] = 0
		}
		longest = max(longest, t.tails[j])
	}
	return longest
}

// year reports whether s is a year of living memory.
func year(s string) bool {
	return len(s) == 4 && (s[:2] == "19" || s[:2] == "20") && strings.Trim(s[2:], "0123456789") == ""
}

// rows are what fingers and lips run along, in both directions: digits, the
// alphabet, and keyboards (QWERTY with its columns and shifted digits, QWERTZ,
// AZERTY, Russian). The digits come twice, for runs that go past the end.
const rows = `01234567890123456789
abcdefghijklmnopqrstuvwxyz
qwertyuiop[]
asdfghjkl;'
zxcvbnm,./
!@#$%^&*()_+
!"§$%&/()=
qwertzuiopu
yxcvbnm
azertyuiop
qsdfghjklm
wxcvbn
1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p
qazwsxedcrfvtgbyhnujmikolp
1q2w3e4r5t6y7u8i9o0p
q1w2e3r4t5y6u7i8o9p0
1a2s3d4f5g6h7j8k9l
a1b2c3d4e5f6g7h8i9j0
1a2b3c4d5e6f7g8h9i0j
zaq12wsxcde34rfv
!qaz@wsx#edc$rfv
йцукенгшщзхъ
фывапролджэ
ячсмитьбю
абвгдеёжзийклмнопрстуфхцчшщъыьэюя
`

//go:embed common.txt
var commonText string

// table is what every password is compared with.
type table struct {
	words map[string]bool // folded by lower and leet
	rows  string          // folded by lower, one a line, forwards and backwards
}

// common reads the embedded list once, when the first password is chosen.
var common = sync.OnceValue(func() table {
	t := table{words: make(map[string]bool)}
	for line := range strings.Lines(commonText) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		for w := range strings.FieldsSeq(line) {
			t.words[leet(lower(w))] = true
		}
	}
	forwards := []rune(lower(rows))
	backwards := make([]rune, 0, len(forwards))
	for i := range forwards {
		backwards = append(backwards, forwards[len(forwards)-1-i])
	}
	t.rows = string(forwards) + string(backwards)
	return t
})
