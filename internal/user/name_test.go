package user

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode"
)

func TestNormalizeName(t *testing.T) {
	same := map[string]string{
		"alice":                  "alice",
		"Alice":                  "alice",
		"ＡＬＩＣＥ":                  "alice", // full width
		"ﬁona":                   "fiona", // ligature
		"Straße":                 "strasse",
		"STRASSE":                "strasse",
		"Zoe\u0308":              "zoë", // decomposed
		"ΣΊΣΥΦΟΣ":                "σίσυφοσ",
		"σίσυφος":                "σίσυφοσ", // final sigma
		"ᏸ":                      "Ᏸ",       // Cherokee folds to upper case
		"①":                      "1",
		"a.b-c_d+e@f.org":        "a.b-c_d+e@f.org",
		`CORP\alice`:             `corp\alice`,
		"李雷":                     "李雷",
		"नेहा":                   "नेहा",
		"İlknur":                 "i̇lknur", // dotted capital I keeps its dot
		strings.Repeat("a", 128): strings.Repeat("a", 128),
	}
	for in, want := range same {
		t.Run(in, func(t *testing.T) {
			if got, err := NormalizeName(in); err != nil || got != want {
				t.Errorf("NormalizeName(%q) = %q, %v; want %q", in, got, err, want)
			}
		})
	}
	refused := map[string]string{
		"empty":                          "",
		"too long":                       strings.Repeat("a", 129),
		"too long once normalised":       strings.Repeat("\uFDFA", 10),
		"far too long":                   strings.Repeat("ß", 1<<20),
		"not UTF-8":                      "al\xffice",
		"half a surrogate pair":          "al\xed\xa0\x80ice",
		"a space":                        "alice smith",
		"a no-break space":               "alice\u00a0smith",
		"an ideographic space":           "alice\u3000smith",
		"a line break":                   "alice\nbob",
		"a NUL":                          "alice\x00",
		"a delete":                       "alice\x7f",
		"a C1 control":                   "alice\u0085",
		"a slash":                        "alice/admin",
		"a full-width slash":             "alice／admin",
		"care of":                        "℅", // NFKC: c/o
		"a comma":                        "alice,admin",
		"a full-width comma":             "alice，admin",
		"a colon, which Basic cannot":    "alice:secret",
		"a full-width colon":             "alice：secret",
		"a right-to-left override":       "alice\u202egnp",
		"a left-to-right mark":           "alice\u200e",
		"a zero-width space":             "al\u200bice",
		"a zero-width joiner":            "al\u200dice",
		"a byte order mark":              "\ufeffalice",
		"a soft hyphen":                  "al\u00adice",
		"a tag character":                "alice\U000E0041",
		"a variation selector":           "alice\ufe0f",
		"a combining grapheme joiner":    "al\u034fice",
		"a Hangul filler":                "alice\u3164",
		"an invisible Khmer vowel":       "alice\u17b4",
		"a private character":            "alice\ue000",
		"an unassigned character":        "alice\u0378",
		"a non-character":                "alice\uffff",
		"a leading combining mark":       "\u0301alice",
		"the folder itself":              ".",
		"the folder above":               "..",
		"the folder above, in one glyph": "‥",
	}
	for name, in := range refused {
		t.Run(name, func(t *testing.T) {
			got, err := NormalizeName(in)
			var bad *InvalidError
			if got != "" || !errors.As(err, &bad) || bad.Field != "username" || bad.Reason == "" {
				t.Errorf("NormalizeName(%q) = %q, %v; want an *InvalidError", in, got, err)
			}
		})
	}
}

// TestEveryCharacter walks through Unicode, as no fuzzer would in a year.
func TestEveryCharacter(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if unicode.Is(unicode.Unified_Ideograph, r) || 0xAC00 <= r && r <= 0xD7A3 || unicode.Is(unicode.Co, r) {
			continue // nine in ten, without case and all alike
		}
		name, err := NormalizeName("a" + string(r))
		if err != nil {
			if strings.Contains(err.Error(), "stable") {
				t.Errorf("%U: %v", r, err)
			}
			continue
		}
		if again, err := NormalizeName(name); err != nil || again != name {
			t.Errorf("%U: %q, then %q, %v", r, name, again, err)
		}
		// Case is no difference. Only to package unicode is i the small İ.
		small, err := NormalizeName("a" + string(unicode.ToLower(r)))
		if r != 'İ' && (err != nil || small != name) {
			t.Errorf("%U: %q, but in lower case %q, %v", r, name, small, err)
		}
	}
}

func FuzzNormalizeName(f *testing.F) {
	for _, s := range []string{
		"alice", "ＡＬＩＣＥ", "ﬁ", "ß", "ẞ", "ᾳ", "ΐ", "ŉ", "İ", "ǰ", "Σς", "℅", "ᏸ", "Å", "\u0345", "\u1e9b\u0323",
		"a\u0345\u0301", "㎢", "ﷺ", "\u034f", "..", "\xff", "a b", "ℌ", "ᴬ", "Ω", "ꭰ", "\u13a0\u0301",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := NormalizeName(s)
		if err != nil {
			if name != "" {
				t.Fatalf("%q: refused, and yet %q", s, name)
			}
			return
		}
		if again, err := NormalizeName(name); err != nil || again != name {
			t.Fatalf("%q became %q, and that %q, %v", s, name, again, err)
		}
		if len(name) == 0 || len(name) > maxName || strings.ContainsAny(name, "/,: \x00") {
			t.Fatalf("%q became %q", s, name)
		}
		for _, r := range name {
			if unicode.IsSpace(r) || unicode.Is(unicode.C, r) {
				t.Fatalf("%q became %q with %U", s, name, r)
			}
		}
		// Who types it in capitals is the same person, where capitals are a
		// matter of case alone.
		if up, err := NormalizeName(strings.ToUpper(name)); ascii(name) && (err != nil || up != name) {
			t.Fatalf("%q in capitals became %q, %v", name, up, err)
		}
	})
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

func TestLabels(t *testing.T) {
	for _, ok := range []string{"admin", "Domain Users", "finance:read", "/org/team", "équipe", strings.Repeat("a", 128)} {
		if err := CheckLabel(ok); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
	for name, bad := range map[string]string{
		"empty": "", "comma": "a,admin", "leading space": " admin", "trailing space": "admin ", "control": "a\nb",
		"DEL": "a\x7f", "too long": strings.Repeat("a", 129), "not UTF-8": "\xff", "zero width": "ad\u200bmin", "no-break space": "a\u00a0b",
	} {
		var invalid *InvalidError
		if err := CheckLabel(bad); !errors.As(err, &invalid) {
			t.Errorf("%s: CheckLabel(%q) = %v", name, bad, err)
		}
	}
	got, err := cleanLabels("role", []string{"b", "a", "b", "cafe\u0301"})
	if err != nil || !slices.Equal(got, []string{"a", "b", "café"}) {
		t.Errorf("not sorted, without duplicates, in one spelling: %q, %v", got, err)
	}
}

func TestEmail(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "Alice@Example.COM": "Alice@example.com", "a+b@sub.example.org": "a+b@sub.example.org",
		"o'hara@example.org": "o'hara@example.org", "jörg@BÜCHER.example": "jörg@bücher.example", "root@localhost": "root@localhost",
		"a@ｅｘａｍｐｌｅ.com": "a@example.com",
	} {
		if got, err := cleanEmail(in); err != nil || got != want {
			t.Errorf("cleanEmail(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, bad := range []string{
		"alice", "@example.com", "alice@", "a@b@example.com", "a b@example.com", "a@exa mple.com", "a@example.com\r\nBcc: x@y.z",
		`"a@evil.com"@example.com`, "a,b@example.com", "Alice <a@example.com>", "a@.com", "a@example.com.", "a@ex..com", "a@-x.com",
		"a@[127.0.0.1]", "a@exam_ple.com", "a@example.com\x00", "a\u202e@example.com", "\xff@example.com", "a@b@", "a＠example.com",
		strings.Repeat("a", 250) + "@b.cd", "a@example.com%2fx", "a@example.com?x",
	} {
		var invalid *InvalidError
		if got, err := cleanEmail(bad); !errors.As(err, &invalid) {
			t.Errorf("cleanEmail(%q) = %q, %v; want it refused", bad, got, err)
		}
	}
}

func TestDisplayName(t *testing.T) {
	for in, want := range map[string]string{"": "", " Alice ": "Alice", "Zoe\u0308": "Zoë", "می\u200cخواهم": "می\u200cخواهم", "O’Hara, Jr.": "O’Hara, Jr."} {
		if got, err := cleanDisplayName(in); err != nil || got != want {
			t.Errorf("cleanDisplayName(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, bad := range []string{"a\nb", "a\x00", "a\u202eb", "a\u2028b", "\xff", strings.Repeat("a", 257)} {
		if got, err := cleanDisplayName(bad); err == nil {
			t.Errorf("cleanDisplayName(%q) = %q; want it refused", bad, got)
		}
	}
}
