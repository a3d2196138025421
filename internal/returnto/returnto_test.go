package returnto

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	for _, c := range []struct{ name, raw, want string }{
		{"root", "/", "/"},
		{"path and query", "/reports/2026?month=3&sort=a", "/reports/2026?month=3&sort=a"},
		{"fragment is dropped", "/reports#total", "/reports"},
		{"fragment after the query is dropped", "/r?q=1#x?y", "/r?q=1"},
		{"a URL in the query is the app's business", "/go?url=https://evil.example/", "/go?url=https://evil.example/"},
		{"colon and at sign in the path", "/a:b@c", "/a:b@c"},
		{"percent sign in a name", "/100%25", "/100%25"},
		{"encoded slash inside the path", "/files/a%2fb", "/files/a%2fb"},
		{"doubled slash inside the path", "/a//b", "/a//b"},
		{"line break in a query value", "/search?q=a%0d%0ab", "/search?q=a%0d%0ab"},
		{"dot segments that stay inside", "/a/../b", "/a/../b"},
		{"space is encoded", "/a b?c d", "/a%20b?c%20d"},
		{"non-ASCII is encoded", "/zürich?q=ü", "/z%C3%BCrich?q=%C3%BC"},
		{"empty query stays", "/a?", "/a?"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := Clean(c.raw)
			if !ok || got != c.want {
				t.Errorf("Clean(%q) = %q, %t; want %q", c.raw, got, ok, c.want)
			}
		})
	}
}

func TestOpenRedirectsAreRefused(t *testing.T) {
	for name, raw := range map[string]string{
		"empty":                             "",
		"absolute":                          "https://evil.example/",
		"scheme without slashes":            "https:evil.example",
		"javascript":                        "javascript:alert(1)",
		"javascript after a slash-less tab": "\tjavascript:alert(1)",
		"relative":                          "evil",
		"query only":                        "?x",
		"leading space":                     " //evil.example",
		"protocol relative":                 "//evil.example",
		"three slashes":                     "///evil.example",
		"backslash":                         `/\evil.example`,
		"two backslashes":                   `\\evil.example`,
		"backslash later":                   `/a\b`,
		"backslash in the query":            `/a?\\evil`,
		"tab between the slashes":           "/\t/evil.example",
		"newline between the slashes":       "/\n/evil.example",
		"carriage return":                   "/\r/evil.example",
		"NUL":                               "/\x00/evil",
		"DEL":                               "/\x7f/evil",
		"C1 next line":                      "/\u0085/evil",
		"line separator":                    "/\u2028/evil",
		"encoded tab":                       "/%09/evil.example",
		"encoded newline, header split":     "/%0d%0aLocation:%20//evil.example",
		"encoded slash":                     "/%2fevil.example",
		"encoded slashes":                   "/%2F%2Fevil.example",
		"encoded backslash":                 "/%5cevil.example",
		"encoded backslash later":           "/a%5cb",
		"twice encoded slash":               "/%252fevil.example",
		"twice encoded backslash":           "/%255cevil.example",
		"thrice encoded slash":              "/%25252fevil.example",
		"twice encoded slash beside a broken escape": "/%252fevil%25zz",
		"dot segment":              "/.//evil.example",
		"parent segment":           "/..//evil.example",
		"parent of a segment":      "/a/..//evil.example",
		"encoded dot segment":      "/%2e//evil.example",
		"encoded parent and slash": "/%2e%2e%2f/evil.example",
		"parent with a parameter":  "/..;x//evil.example",
		"broken escape":            "/%zz",
		"cut off escape":           "/a%2",
		"invalid UTF-8":            "/\xff",
		"encoded invalid UTF-8":    "/%ff",
		"userinfo":                 "//user@evil.example/",
		"too long":                 "/" + strings.Repeat("a", MaxLength),
		"too long once encoded":    "/" + strings.Repeat("ü", MaxLength/3),
	} {
		t.Run(name, func(t *testing.T) {
			if got, ok := Clean(raw); ok || got != "" {
				t.Errorf("Clean(%q) = %q, %t; want it refused", raw, got, ok)
			}
		})
	}
}

// FuzzClean checks that whatever passes stays on the host, for Go's resolver
// and for one that reads as browsers do, also when a server in between decodes
// the path once more.
func FuzzClean(f *testing.F) {
	for _, s := range []string{
		"/", "/a?b#c", "//evil", `/\evil`, "/\t/evil", "/%09/evil", "/%2f/evil", "/.//evil", "/a/..//evil",
		"https://evil/", "/%252fevil", "/zürich", "/..;/x", "/a//b", "/%2e%2e%2f%2fevil", "/@evil", "/:80/",
	} {
		f.Add(s)
	}
	base, err := url.Parse("https://app.example.com/_gatehouse/login")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, ok := Clean(raw)
		if !ok {
			if got != "" {
				t.Fatalf("Clean(%q) was refused but returned %q", raw, got)
			}
			return
		}
		if len(got) > MaxLength || !utf8.ValidString(got) {
			t.Fatalf("Clean(%q) = %q: too long or not UTF-8", raw, got)
		}
		if again, ok := Clean(got); !ok || again != got {
			t.Fatalf("Clean is not stable: %q, then %q, %t", got, again, ok)
		}
		ref, err := url.Parse(got)
		if err != nil {
			t.Fatalf("Clean(%q) = %q, which net/url refuses: %v", raw, got, err)
		}
		if u := base.ResolveReference(ref); u.Host != base.Host || u.Scheme != "https" || u.User != nil || u.Fragment != "" {
			t.Fatalf("Clean(%q) = %q leads to %s", raw, got, u)
		}
		stays(t, raw, got)
		path, _, _ := strings.Cut(got, "?")
		if decoded, err := url.PathUnescape(path); err == nil {
			stays(t, raw, decoded)
		}
	})
}

// stays fails the test when a browser would take path for another host: it
// strips tab, CR and LF, trims spaces, and takes "\" for "/" (URL Standard,
// "basic URL parser" and its relative slash state).
func stays(t *testing.T, raw, path string) {
	t.Helper()
	s := strings.NewReplacer("\t", "", "\r", "", "\n", "", `\`, "/").Replace(path)
	s = strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
	if !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") {
		t.Fatalf("Clean(%q): a browser reads %q as another host", raw, path)
	}
}
