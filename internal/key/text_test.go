package key

import (
	"crypto/rand"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
)

func TestForm(t *testing.T) {
	pattern := regexp.MustCompile(`^gh_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}$`)
	seen := map[string]bool{}
	for range 1000 {
		id, err := random(rand.Reader, idLen)
		if err != nil {
			t.Fatal(err)
		}
		text, err := mint(rand.Reader, id)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := Parse(text); !ok || got != id || !pattern.MatchString(text) || !Looks(text) {
			t.Fatalf("%q: %q, %v", text, got, ok)
		}
		if seen[text] {
			t.Fatal("the same key twice")
		}
		seen[text] = true
	}
}

// TestChecksum fixes the form for good: a key that was once given out must parse
// in every later version. The last six are the CRC-32 0xC2D89678, which zlib
// gives for what is before them, in base 62.
func TestChecksum(t *testing.T) {
	body := "gh_0123456789AB_" + strings.Repeat("x", 32)
	sum := checksum([]byte(body))
	if id, ok := Parse(body + string(sum[:])); !ok || id != "0123456789AB" {
		t.Errorf("%s%s: %q, %v", body, sum, id, ok)
	}
	if got, want := string(sum[:]), "3ZEHWK"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestLooks(t *testing.T) {
	for text, want := range map[string]bool{
		"gh_": true, "gh_x": true, "gh_\x00": true,
		"": false, "gh": false, "GH_x": false, " gh_x": false, "ghp_x": false, "eyJhbGciOiJIUzI1NiJ9": false,
	} {
		if Looks(text) != want {
			t.Errorf("Looks(%q) = %v", text, !want)
		}
	}
}

// forge gives a body the right checksum, as anybody can.
func forge(body string) string {
	sum := checksum([]byte(body))
	return body + string(sum[:])
}

func TestRandom(t *testing.T) {
	t.Run("each character as likely as the others", func(t *testing.T) {
		// All bytes equally often: what is made of them must be even.
		text, err := random(&counting{}, 62*32)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range alphabet {
			if n := strings.Count(text, string(c)); n != 32 {
				t.Errorf("%c: %d times, want 32", c, n)
			}
		}
	})
	t.Run("a source that fails", func(t *testing.T) {
		if text, err := random(strings.NewReader("short"), secretLen); text != "" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q, %v", text, err)
		}
	})
	t.Run("a source that only gives what is thrown away", func(t *testing.T) {
		if text, err := random(same(0xff), secretLen); text != "" || err == nil {
			t.Errorf("%q, %v", text, err)
		}
	})
}

// counting gives 0, 1, 2 … 255, 0 …
type counting struct{ next byte }

func (c *counting) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = c.next
		c.next++
	}
	return len(p), nil
}

// same gives one byte for ever.
type same byte

func (s same) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(s)
	}
	return len(p), nil
}

func FuzzParse(f *testing.F) {
	body := "gh_0123456789AB_" + strings.Repeat("x", 32)
	for _, s := range []string{"", "gh_", body, forge(body), forge(body) + "\n", " " + forge(body), strings.ToLower(forge(body)), forge(strings.Replace(body, "x", "\x00", 1))} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, ok := Parse(s)
		if !ok {
			if id != "" {
				t.Fatalf("%q: refused, and yet the id %q", s, id)
			}
			return
		}
		// One key, one spelling: its parts give it back.
		if again := forge(prefix + id + "_" + s[idEnd+1:bodyLen]); again != s || !Looks(s) || !validID(id) {
			t.Fatalf("%q is a spelling of %q", s, again)
		}
	})
}
