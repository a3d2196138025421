package password

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// refusal is the reason why pw was refused, or "".
func refusal(t *testing.T, r Rules, pw string, about ...string) string {
	t.Helper()
	err := r.Check(pw, about...)
	if err == nil {
		return ""
	}
	var weak *WeakError
	if !errors.As(err, &weak) || weak.Reason == "" {
		t.Fatalf("%q: got %v, want a *WeakError with a reason", pw, err)
	}
	if len(pw) >= DefaultMinLength && strings.Contains(err.Error(), pw) {
		t.Errorf("the error for %q holds the password: %v", pw, err)
	}
	return weak.Reason
}

func TestGuessablePasswordsAreRefused(t *testing.T) {
	about := []string{"alice", "alice.smith@northwind.example", "Alice Smith", "reports.northwind.example"}
	for _, c := range []struct{ name, pw, reason string }{
		{"listed, with digits appended", "password1234567", reasons[word]},
		{"listed, in leetspeak", "P@ssw0rdP@ssw0rd", reasonListed},
		{"leetspeak and a year", "P455w0rd2024!!!!", ""},
		{"listed saying", "correcthorsebatterystaple", reasonListed},
		{"listed saying, with spaces", "correct horse battery staple", reasonListed},
		{"listed saying, with capitals and hyphens", "To-Be-Or-Not-To-Be", reasonListed},
		{"listed saying, with full-width letters", "ｔｈｉｓｉｓｍｙｐａｓｓｗｏｒｄ", reasonListed},
		{"listed saying, with accents", "thìsïsmýpàsswörd", reasonListed},
		{"a listed word three times", "dragondragondragon", ""},
		{"a listed word three times, in different spellings", "Dragon-dr4gon-DRAGON", ""},
		{"season and year, twice", "Summer2024Summer2025", ""},
		{"spelled out with hyphens", "p-a-s-s-w-o-r-d-1-2-3", ""},
		{"sentence and exclamation marks", "iloveyou!!!!!!!!!!!", ""},
		{"the same in Russian", "привет123456789", ""},
		{"one character", "aaaaaaaaaaaaaaaa", reasons[repeat]},
		{"one emoji", strings.Repeat("🙂", 15), reasons[repeat]},
		{"only spaces", strings.Repeat(" ", 20), reasons[repeat]},
		{"a cycle of three", "xq7xq7xq7xq7xq7", reasons[repeat]},
		{"a cycle of eight without a pattern", "k3#Vz9!pk3#Vz9!pk3#Vz9!p", reasons[repeat]},
		{"digits in order", "123456789012345", reasons[walk]},
		{"digits in order, backwards", "098765432109876", reasons[walk]},
		{"the alphabet", "abcdefghijklmno", reasons[walk]},
		{"the alphabet, backwards", "zyxwvutsrqponmlk", reasons[walk]},
		{"keyboard rows", "qwertyuiopasdfgh", reasons[walk]},
		{"keyboard columns", "1qaz2wsx3edc4rfv", reasons[walk]},
		{"shifted digits", "!@#$%^&*()!@#$%^", ""},
		{"French keyboard", "azertyuiopqsdfgh", reasons[walk]},
		{"Russian keyboard", "йцукенгшщзхъфыва", reasons[walk]},
		{"user name and digits", "alice1234567890", ""},
		{"user name, again and again", "AliceAliceAlice", ""},
		{"e-mail address", "alice.smith@northwind.example", reasons[name]},
		{"display name backwards in order", "SmithAliceSmith1", reasons[name]},
		{"site's name", "reports.northwind", reasons[name]},
		{"our own name", "Gatehouse2026!!!", ""},
		{"user name in leetspeak", "4l1c3-5m1th-2024", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := refusal(t, Rules{}, c.pw, about...)
			if got == "" {
				t.Fatalf("%q was accepted", c.pw)
			}
			if c.reason != "" && got != c.reason {
				t.Errorf("%q: reason %q, want %q", c.pw, got, c.reason)
			}
		})
	}
}

func TestShortGuessablePasswordsAreRefused(t *testing.T) {
	for _, pw := range []string{"password", "P@ssw0rd", "passw0rd!", "dragon12", "Qwerty123", "iloveyou", "12345678",
		"abcd1234", "letmein!", "trustno1", "changeme", "Football1", "aaaaaaaa", "1q2w3e4r", "gatehouse", "Bob-2024"} {
		if refusal(t, Rules{MinLength: LeastMinLength}, pw, "bob") == "" {
			t.Errorf("%q was accepted", pw)
		}
	}
}

func TestGoodPasswordsAreAccepted(t *testing.T) {
	for _, pw := range []string{
		"umbrella cactus violin thursday",
		"four penguins ate my homework",
		"lantern-gravel-otter-quilt",
		"lanterngravelotterquilt",
		"the cat sat on the mat and then the cat left",
		"blue tiger dances sunday",
		"Der Hund frisst gerne Äpfel",
		"我的猫喜欢在下雨天睡觉而不是出门去玩",
		"мой кот любит спать на клавиатуре",
		"मेरी बिल्ली बारिश में सोती है",
		"x7#Kq2!vR9$mTz4",
		"7hQ2kfw93mzLx0pB",
		"84726109385527146",
		"3f9c1d7be2a8405f6b",
		" leading and trailing count ",
		"alice keeps seventeen turtles",
	} {
		if reason := refusal(t, Rules{}, pw, "alice", "alice@example.com"); reason != "" {
			t.Errorf("%q was refused: %s", pw, reason)
		}
	}
	for _, pw := range []string{"xK9#mQ2v", "tq7!zcWp", "vR9$mTz4a"} {
		if reason := refusal(t, Rules{MinLength: LeastMinLength}, pw, "alice"); reason != "" {
			t.Errorf("%q was refused: %s", pw, reason)
		}
	}
}

func TestLength(t *testing.T) {
	pattern := "mQ7#vz!Kp2wR9$tX4&cL" // 20 without a pattern
	long := ""
	for i := 0; len(long) < MaxBytes; i++ {
		long += string("kqvz37#!mwTXrb9$"[(i*i+i/16)%16])
	}
	for _, c := range []struct {
		name, pw string
		rules    Rules
		accepted bool
	}{
		{"empty", "", Rules{}, false},
		{"fourteen characters", pattern[:14], Rules{}, false},
		{"fifteen characters", pattern[:15], Rules{}, true},
		{"the zero rules still ask for fifteen", pattern[:8], Rules{}, false},
		{"eight, where the configuration says so", pattern[:8], Rules{MinLength: 8}, true},
		{"fifteen bytes that are five characters", "猫犬鳥魚馬", Rules{}, false},
		{"fifteen characters outside ASCII", "猫犬鳥魚馬牛羊豚鹿熊虎狼狐兎亀", Rules{}, true},
		{"an accent typed apart counts with its letter", pattern[:14] + "e\u0301", Rules{}, true},
		{"an accent typed apart does not count by itself", pattern[:13] + "e\u0301", Rules{}, false},
		{"256 bytes", long, Rules{}, true},
		{"257 bytes", long + "x", Rules{}, false},
		{"a megabyte", strings.Repeat("mQ7#vz!K", 1<<17), Rules{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			reason := refusal(t, c.rules, c.pw)
			if (reason == "") != c.accepted {
				t.Errorf("%d bytes: accepted %v (%s), want %v", len(c.pw), reason == "", reason, c.accepted)
			}
		})
	}
}

func TestCharactersThatNoPasswordMayHave(t *testing.T) {
	const rest = "umbrella cactus violin"
	for name, pw := range map[string]string{
		"NUL":             rest + "\x00",
		"newline":         rest + "\n",
		"escape":          rest + "\x1b[2J",
		"invalid UTF-8":   rest + "\xff",
		"bidi override":   rest + "\u202e",
		"zero-width join": rest + "a\u200db",
		"byte order mark": "\ufeff" + rest,
	} {
		if reason := refusal(t, Rules{}, pw); !strings.Contains(reason, "character that not every keyboard") {
			t.Errorf("%s: got %q", name, reason)
		}
	}
}

func TestCommonListIsWellFormed(t *testing.T) {
	if n := len(common().words); n < 3500 {
		t.Errorf("the list has %d words; the file was cut", n)
	}
	for w := range common().words {
		if n := utf8.RuneCountInString(w); n > mostPiece {
			t.Errorf("%q is longer than any piece that is looked up", w)
		}
	}
}

func TestLongestPasswordIsWeighedQuickly(t *testing.T) {
	// U+FDFA comes apart into 18 characters: the longest text 256 bytes can become.
	for _, pw := range []string{strings.Repeat("ﷺ", 85), strings.Repeat("qwerty1!", 32), strings.Repeat("aaaaaaab", 32)} {
		start := time.Now()
		refusal(t, Rules{}, pw, strings.Repeat("alice.", 40))
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%d bytes took %v", len(pw), took)
		} else {
			t.Logf("%d bytes took %v", len(pw), took)
		}
	}
}

func FuzzRules(f *testing.F) {
	for _, s := range []string{"", "password1234567", "correct horse battery staple", "ﷺﷺﷺ", "a\u0301\u0301\u0301", "\xff\xfe", "11111111111111111", "İıſK"} {
		f.Add(s, "alice")
	}
	f.Fuzz(func(t *testing.T, pw, about string) {
		reason := refusal(t, Rules{MinLength: 8}, pw, about)
		if len(pw) > MaxBytes && reason == "" {
			t.Errorf("%d bytes were accepted", len(pw))
		}
	})
}
