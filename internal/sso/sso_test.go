package sso

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/store/bolt"
)

func open1(t testing.TB) store.Store {
	t.Helper()
	s, err := bolt.Open(t.Context(), filepath.Join(t.TempDir(), "gatehouse.db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// clock is set by hand.
type clock struct{ now time.Time }

func (c *clock) time() time.Time { return c.now }

const site = "https://app.example.com"

func issued(t testing.TB, c *Codes) (code, verifier string) {
	t.Helper()
	verifier, err := c.NewVerifier()
	if err != nil {
		t.Fatal(err)
	}
	code, err = c.Issue(t.Context(), Grant{Site: site, Challenge: Challenge(verifier), Session: "ses_1", Secret: []byte("the tokens' key")})
	if err != nil {
		t.Fatal(err)
	}
	return code, verifier
}

func TestCode(t *testing.T) {
	s := open1(t)
	c := NewCodes(s, nil, nil)
	code, verifier := issued(t, c)
	g, err := c.Redeem(t.Context(), code, site, verifier)
	if err != nil || g.Session != "ses_1" || string(g.Secret) != "the tokens' key" {
		t.Fatalf("%+v, %v", g, err)
	}
	if _, err := c.Redeem(t.Context(), code, site, verifier); !errors.Is(err, ErrBadCode) {
		t.Errorf("a second time: %v", err)
	}
}

func TestCodesThatCountForNothing(t *testing.T) {
	now := &clock{time.Date(2026, 11, 26, 10, 0, 0, 0, time.UTC)}
	for name, try := range map[string]func(c *Codes, code, verifier string) error{
		"another site": func(c *Codes, code, verifier string) error {
			_, err := c.Redeem(context.Background(), code, "https://app.example.com:8443", verifier)
			return err
		},
		"another browser": func(c *Codes, code, _ string) error {
			other, _ := c.NewVerifier()
			_, err := c.Redeem(context.Background(), code, site, other)
			return err
		},
		"no verifier": func(c *Codes, code, _ string) error {
			_, err := c.Redeem(context.Background(), code, site, "")
			return err
		},
		"the challenge in the place of the verifier": func(c *Codes, code, verifier string) error {
			_, err := c.Redeem(context.Background(), code, site, Challenge(verifier))
			return err
		},
		"too old": func(c *Codes, code, verifier string) error {
			now.now = now.now.Add(codeTTL)
			_, err := c.Redeem(context.Background(), code, site, verifier)
			return err
		},
		"made up": func(c *Codes, _, verifier string) error {
			made, _ := c.NewVerifier()
			_, err := c.Redeem(context.Background(), made, site, verifier)
			return err
		},
		"another spelling": func(c *Codes, code, verifier string) error {
			_, err := c.Redeem(context.Background(), code+"=", site, verifier)
			return err
		},
		"empty": func(c *Codes, _, verifier string) error {
			_, err := c.Redeem(context.Background(), "", site, verifier)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := NewCodes(open1(t), now.time, nil)
			code, verifier := issued(t, c)
			if err := try(c, code, verifier); !errors.Is(err, ErrBadCode) {
				t.Fatalf("%v", err)
			}
		})
	}
	t.Run("a try by somebody else uses it up", func(t *testing.T) {
		c := NewCodes(open1(t), nil, nil)
		code, verifier := issued(t, c)
		_, _ = c.Redeem(t.Context(), code, "https://evil.example", verifier)
		if _, err := c.Redeem(t.Context(), code, site, verifier); !errors.Is(err, ErrBadCode) {
			t.Errorf("%v", err)
		}
	})
}

func TestOneOfManyGetsTheCode(t *testing.T) {
	c := NewCodes(open1(t), nil, nil)
	code, verifier := issued(t, c)
	var won atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if _, err := c.Redeem(t.Context(), code, site, verifier); err == nil {
				won.Add(1)
			} else if !errors.Is(err, ErrBadCode) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d got it", won.Load())
	}
}

// TestStolenStore: neither the code nor what it hands over can be read there.
func TestStolenStore(t *testing.T) {
	s := open1(t)
	c := NewCodes(s, nil, nil)
	code, verifier := issued(t, c)
	entries, err := s.Scan(t.Context(), codePrefix, "", 10)
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	for _, secret := range []string{code, verifier, "the tokens' key"} {
		if strings.Contains(entries[0].Key, secret) || bytes.Contains(entries[0].Value, []byte(secret)) {
			t.Errorf("the store holds %q", secret)
		}
	}
}

func TestStoreDown(t *testing.T) {
	s := open1(t)
	c, sites := NewCodes(s, nil, nil), NewSites(s)
	code, verifier := issued(t, c)
	_ = s.Close()
	if _, err := c.Redeem(t.Context(), code, site, verifier); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	if _, err := c.Issue(t.Context(), Grant{Site: site, Challenge: Challenge("x"), Session: "ses_1"}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	if _, err := sites.Check(t.Context(), site); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

func TestIssueRefuses(t *testing.T) {
	c := NewCodes(open1(t), nil, nil)
	for _, g := range []Grant{{}, {Site: site, Session: "ses_1"}, {Site: site, Session: "ses_1", Challenge: "short"}, {Session: "ses_1", Challenge: Challenge("x")}, {Site: site, Challenge: Challenge("x")}} {
		if code, err := c.Issue(t.Context(), g); err == nil {
			t.Errorf("%+v got %q", g, code)
		}
	}
	if _, err := NewCodes(open1(t), nil, bytes.NewReader(nil)).Issue(t.Context(), Grant{Site: site, Session: "s", Challenge: Challenge("x")}); err == nil {
		t.Error("a code without randomness")
	}
}

func TestSites(t *testing.T) {
	s := NewSites(open1(t))
	if err := s.Announce(t.Context(), []string{"app.example.com", "*.apps.example.com", "localhost", "::1"}); err != nil {
		t.Fatal(err)
	}
	for origin, want := range map[string]string{
		"https://app.example.com": "https://app.example.com", "https://APP.example.com": "https://app.example.com",
		"https://app.example.com:443": "https://app.example.com", "https://app.example.com:8443": "https://app.example.com:8443",
		"https://one.apps.example.com": "https://one.apps.example.com", "http://localhost:8080": "http://localhost:8080", "http://[::1]:80": "http://[::1]",

		"https://example.com": "", "https://a.b.apps.example.com": "", "https://apps.example.com": "", "https://evil.example": "",
		"http://app.example.com": "", "https://app.example.com/": "", "https://app.example.com/x": "", "https://app.example.com?x": "", "https://app.example.com?": "",
		"https://app.example.com#": "", "https://u@app.example.com": "", "https://app.example.com:": "", "https://app.example.com.": "",
		"https://app.example.com\\.evil.example": "", "https://evil.example\\@app.example.com": "", "javascript:alert(1)": "", "//app.example.com": "",
		"app.example.com": "", "": "", "https://": "", "https://app.example.com\n": "", "https://app.example.com%00": "", "https://..": "", "https://*.apps.example.com": "",
		"https://app\u3002example.com": "", "https://" + strings.Repeat("a", 400): "",
	} {
		got, err := s.Check(t.Context(), origin)
		if want == "" && !errors.Is(err, ErrUnknownSite) || want != "" && (err != nil || got != want) {
			t.Errorf("%q: %q, %v; want %q", origin, got, err, want)
		}
	}
}

func TestOrigin(t *testing.T) {
	for _, c := range []struct{ scheme, host, want string }{
		{"https", "App.example.com", "https://app.example.com"}, {"https", "app.example.com:443", "https://app.example.com"},
		{"http", "localhost:8080", "http://localhost:8080"}, {"http", "app.example.com", ""}, {"https", "", ""}, {"https", "a/b", ""},
	} {
		if got, ok := Origin(c.scheme, c.host); got != c.want || ok != (c.want != "") {
			t.Errorf("%s %s: %q %v", c.scheme, c.host, got, ok)
		}
	}
}

// FuzzOrigin checks that what is taken for an origin is read by everybody as the
// host that was looked up.
func FuzzOrigin(f *testing.F) {
	for _, s := range []string{site, "http://localhost:1", "https://a\\b", "https://[::1]:2", "https://a?b", "https://%61"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		clean, host, ok := parseOrigin(text)
		if !ok {
			return
		}
		again, host2, ok := parseOrigin(clean)
		if !ok || again != clean || host2 != host {
			t.Fatalf("%q is %q, which is %q", text, clean, again)
		}
		rest := strings.TrimPrefix(strings.TrimPrefix(clean, "https://"), "http://")
		if !strings.HasPrefix(strings.TrimPrefix(rest, "["), host) || strings.ContainsAny(rest, "/\\@?# \t\r\n%") {
			t.Fatalf("%q became %q", text, clean)
		}
	})
}
