package portal

import (
	"context"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
)

func aPending() *pending {
	return &pending{
		Login: oidc.Pending{
			Provider: "acme", State: strings.Repeat("s", 43), Nonce: strings.Repeat("n", 43), Verifier: strings.Repeat("v", 43),
			RedirectURL: site + "/_gatehouse/oidc/acme/callback", Started: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
		},
		Step: stepReauth, UserID: "usr_1", back: `/x?q="a"&b=<c>`,
	}
}

func TestSealedLogins(t *testing.T) {
	h := newSSO(t, "acme")
	seal, err := h.portal.sealer(t.Context(), sealLogin)
	if err != nil {
		t.Fatal(err)
	}
	b := aPending()
	id := pendingID(b.Login.State)
	value, err := seal.sealPending(id, b)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := seal.openPending(id, value); !ok || !reflect.DeepEqual(got, b) {
		t.Errorf("what was sealed came back as %+v, %v", got, ok)
	}
	if again, err := seal.sealPending(id, b); err != nil || again == value {
		t.Errorf("the same twice: %v", err)
	}
	t.Run("any change is noticed", func(t *testing.T) {
		for i := range value {
			for _, c := range []byte{'A', 'B', '.', '0'} {
				if value[i] == c {
					continue
				}
				if _, ok := seal.openPending(id, value[:i]+string(c)+value[i+1:]); ok {
					t.Fatalf("byte %d changed to %c, and it opens", i, c)
				}
			}
		}
	})
	t.Run("it is of its name alone", func(t *testing.T) {
		if _, ok := seal.openPending("otherone", value); ok {
			t.Error("it opens under another name")
		}
	})
	t.Run("it is of its kind alone", func(t *testing.T) {
		other, err := h.portal.sealer(t.Context(), sealLogout)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := other.openPending(id, value); ok {
			t.Error("a login opens as another thing")
		}
	})
	t.Run("it is of its key alone", func(t *testing.T) {
		h.stateKey[31]++
		other, err := h.portal.sealer(t.Context(), sealLogin)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := other.openPending(id, value); ok {
			t.Error("it opens with another key")
		}
	})
	t.Run("too long a way back loses its query, then itself", func(t *testing.T) {
		for back, want := range map[string]string{
			"/x?q=" + strings.Repeat("y", 4000): "/x", "/" + strings.Repeat("y", 4000): "", "/x?q=" + strings.Repeat("y", 2000): "/x?q=" + strings.Repeat("y", 2000),
		} {
			b := aPending()
			b.back = back
			value, err := seal.sealPending(id, b)
			if err != nil || len(value) > cookie.MaxLogin {
				t.Fatalf("%d bytes, %v", len(value), err)
			}
			if got, ok := seal.openPending(id, value); !ok || got.back != want {
				t.Errorf("%.20s… came back as %.20s…", back, got.back)
			}
		}
		b := aPending()
		b.Login.RedirectURL = strings.Repeat("x", 5000)
		if value, err := seal.sealPending(id, b); err == nil {
			t.Errorf("a value of %d bytes", len(value))
		}
	})
	t.Run("what is left of a used one opens nothing", func(t *testing.T) {
		used := b.used()
		if used.Login.Verifier != "" || used.Login.Nonce != "" || !used.Used || used.back != b.back || used.Step != b.Step || used.UserID != b.UserID {
			t.Errorf("%+v", used)
		}
	})
}

// FuzzPendingCookie has strangers' bytes for a cookie, and strangers' texts for
// what is in it.
func FuzzPendingCookie(f *testing.F) {
	var key [32]byte
	key[0] = 1
	p := &Portal{o: Options{StateKey: constant(key)}}
	seal, err := p.sealer(f.Context(), sealLogin)
	if err != nil {
		f.Fatal(err)
	}
	value, err := seal.sealPending(pendingID(aPending().Login.State), aPending())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(value, "/x")
	f.Add("", "")
	f.Add("t.AAAA", "/\n{}")
	f.Add(strings.Repeat(".", 99), "/\x00")
	f.Fuzz(func(t *testing.T, value, back string) {
		for _, id := range []string{pendingID(aPending().Login.State), "", "x"} {
			if b, ok := seal.openPending(id, value); ok && !reflect.DeepEqual(b, aPending()) {
				t.Fatalf("%q opens as %+v", value, b)
			}
		}
		began(cookie.Login{Value: value})
		b := aPending()
		b.back = back
		id := pendingID(b.Login.State)
		made, err := seal.sealPending(id, b)
		if err != nil || len(made) > cookie.MaxLogin || strings.ContainsAny(made, "; ,\"\\\r\n") {
			t.Fatalf("%q, %v", made, err)
		}
		got, ok := seal.openPending(id, made)
		if !ok || !strings.HasPrefix(back, got.back) || len(back) < 2000 && got.back != back {
			t.Fatalf("%q came back as %+v, %v", back, got, ok)
		}
	})
}

// FuzzCallback comes back with strangers' parameters for a login that is really
// under way. No code among them is a good one, so nobody may be signed in.
func FuzzCallback(f *testing.F) {
	for _, seed := range []string{
		"state=STATE&code=x&iss=https://acme.example", "state=STATE&error=access_denied&error_description=<b>&iss=https://acme.example", "state=x", "",
		"state=STATE&state=STATE", "%zz", "state=STATE;code=x", "state=STATE&code=%00", "state=STATE&code=x&return_to=//evil.example", "error=\xff&state=STATE",
	} {
		f.Add(seed)
	}
	h := &house{}
	h.build(f, withProviders(f, h, []string{"acme"}, nil))
	f.Fuzz(func(t *testing.T, raw string) {
		b := h.browser()
		state := to(t, b.start("acme", "return_to", "/x"), "acme").Query().Get("state")
		r := httptest.NewRequest(http.MethodGet, site+"/_gatehouse/oidc/acme/callback", nil)
		r.URL.RawQuery = strings.ReplaceAll(raw, "STATE", state)
		w := b.do(r)
		if w.Code < 400 || w.Code == http.StatusInternalServerError || w.Header().Get("Location") != "" {
			t.Fatalf("%q: status %d, to %q", raw, w.Code, w.Header().Get("Location"))
		}
		if _, given := b.cookies[host.Session()]; given {
			t.Fatalf("%q: somebody is signed in", raw)
		}
		checkHTML(t, w.Body.String())
	})
}

func constant(key [32]byte) func(context.Context) ([32]byte, error) {
	return func(context.Context) ([32]byte, error) { return key, nil }
}
