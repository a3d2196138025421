package session

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func sealKey(t testing.TB, token string) Key {
	t.Helper()
	k, ok := SealKey(token)
	if !ok || !k.Valid() {
		t.Fatal("no key")
	}
	return k
}

// TestStolenStoreOpensNoTokens: with all that the store holds of a session, but
// without its cookie.
func TestStolenStoreOpensNoTokens(t *testing.T) {
	w := newWorld(t, Options{})
	token, s := w.create(provided())
	tokens := provided().Tokens
	t.Run("the cookie opens them", func(t *testing.T) {
		got, _, err := w.Lookup(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := w.Open(sealKey(t, token), got); err != nil || !bytes.Equal(plain, tokens) {
			t.Errorf("%s %v", plain, err)
		}
	})
	t.Run("nothing of them is in the store", func(t *testing.T) {
		for _, prefix := range []string{"session/", "session-of/", sidPrefix} {
			entries, err := w.store.Scan(t.Context(), prefix, "", 10)
			if err != nil || len(entries) == 0 {
				t.Fatal(entries, err)
			}
			for _, e := range entries {
				for _, secret := range []string{token, "access-secret", "refresh-secret", string(sealKey(t, token).Bytes())} {
					if strings.Contains(e.Key, secret) || bytes.Contains(e.Value, []byte(secret)) {
						t.Errorf("%s: %s", e.Key, e.Value)
					}
				}
			}
		}
	})
	t.Run("what the store knows is no key", func(t *testing.T) {
		for _, guess := range []string{s.ID, strings.TrimPrefix(s.ID, idPrefix), s.ID[len(s.ID)-43:], s.UserID, ""} {
			if k, ok := SealKey(guess); ok {
				if _, err := w.Open(k, s); !errors.Is(err, ErrSealed) {
					t.Errorf("%q: %v", guess, err)
				}
			}
		}
		if _, err := w.Open(Key{}, s); err == nil {
			t.Error("no key at all opens it")
		}
	})
	t.Run("another session's cookie is no key, and one sealed text does not fit another session", func(t *testing.T) {
		other, o := w.create(provided())
		if _, err := w.Open(sealKey(t, other), s); !errors.Is(err, ErrSealed) {
			t.Error(err)
		}
		moved := *o
		moved.Sealed = s.Sealed
		for _, k := range []Key{sealKey(t, token), sealKey(t, other)} {
			if _, err := w.Open(k, &moved); !errors.Is(err, ErrSealed) {
				t.Error(err)
			}
		}
	})
	t.Run("a changed bit, a cut, nothing", func(t *testing.T) {
		k := sealKey(t, token)
		for i := range s.Sealed {
			c := *s
			c.Sealed = bytes.Clone(s.Sealed)
			c.Sealed[i] ^= 1
			if _, err := w.Open(k, &c); !errors.Is(err, ErrSealed) {
				t.Fatalf("byte %d: %v", i, err)
			}
		}
		for _, n := range []int{1, 11, 12, 27, len(s.Sealed) - 1} {
			c := *s
			c.Sealed = s.Sealed[:n]
			if _, err := w.Open(k, &c); !errors.Is(err, ErrSealed) {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
		c := *s
		c.Sealed = nil
		if _, err := w.Open(k, &c); !errors.Is(err, ErrNoTokens) {
			t.Error(err)
		}
	})
	t.Run("sealed twice, it never looks the same", func(t *testing.T) {
		k, c := sealKey(t, token), *s
		if err := w.Reseal(k, &c, tokens); err != nil || bytes.Equal(c.Sealed, s.Sealed) {
			t.Error(err)
		}
		if plain, err := w.Open(k, &c); err != nil || !bytes.Equal(plain, tokens) {
			t.Error(plain, err)
		}
		if err := w.Reseal(k, &c, make([]byte, maxSealed+1)); !errors.Is(err, ErrTooLarge) {
			t.Error(err)
		}
		if err := w.Reseal(Key{}, &c, tokens); err == nil {
			t.Error("sealed with no key")
		}
	})
	t.Run("who has no tokens has none", func(t *testing.T) {
		local, l := w.login()
		if _, err := w.Open(sealKey(t, local), l); !errors.Is(err, ErrNoTokens) {
			t.Error(err)
		}
		if _, err := w.OpenParent(sealKey(t, local), l); !errors.Is(err, ErrNoTokens) {
			t.Error(err)
		}
		if _, err := w.OpenParent(sealKey(t, token), s); !errors.Is(err, ErrNoTokens) {
			t.Error(err)
		}
	})
}

func TestKeys(t *testing.T) {
	token := strings.Repeat("_-", 21) + "A"
	k := sealKey(t, token)
	t.Run("of what was never a token", func(t *testing.T) {
		for _, bad := range []string{"", token[:42], token + "A", strings.Repeat("A", 42) + "B", token[:42] + "\n", strings.Repeat("+", 43)} {
			if k, ok := SealKey(bad); ok || k.Valid() || k.Bytes() != nil {
				t.Errorf("%q is one", bad)
			}
		}
		for _, bad := range [][]byte{nil, {}, make([]byte, 31), make([]byte, 33)} {
			if _, ok := KeyFrom(bad); ok {
				t.Errorf("%d bytes are one", len(bad))
			}
		}
	})
	t.Run("there and back", func(t *testing.T) {
		again, ok := KeyFrom(k.Bytes())
		sealed, err := k.Seal(rand.Reader, []byte("x"), "about")
		if !ok || err != nil {
			t.Fatal(err)
		}
		if plain, err := again.Open(sealed, "about"); err != nil || string(plain) != "x" {
			t.Error(plain, err)
		}
		if _, err := again.Open(sealed, "about another"); !errors.Is(err, ErrSealed) {
			t.Error(err)
		}
		k.Bytes()[0] ^= 1 // a copy
		if _, err := k.Open(sealed, "about"); err != nil {
			t.Error(err)
		}
	})
	t.Run("it is no part of the token", func(t *testing.T) {
		raw, err := tokenCoding.DecodeString(token)
		if err != nil || bytes.Equal(raw, k.Bytes()) {
			t.Error(err)
		}
	})
	t.Run("it is never shown", func(t *testing.T) {
		hidden := struct{ key Key }{k}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", k)
		shown := log.String() + fmt.Sprintf("%v %+v %#v %s %x %d %v %+v", k, k, k, k, k, k, hidden, &hidden)
		for _, form := range []string{"%s", "%x", "%d", "%v"} {
			if text := strings.Trim(fmt.Sprintf(form, k.Bytes()), "[]"); strings.Contains(shown, text) {
				t.Errorf("%s: %s", form, shown)
			}
		}
		if raw, err := json.Marshal(Login{ParentKey: k}); err == nil {
			t.Errorf("%s", raw)
		}
	})
	t.Run("no random bytes, no seal", func(t *testing.T) {
		if sealed, err := k.Seal(strings.NewReader("short"), []byte("x"), ""); sealed != nil || err == nil {
			t.Error(sealed, err)
		}
	})
}
