package session

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

func TestMadeUpTokens(t *testing.T) {
	w := newWorld(t, Options{})
	token, s := w.login()
	for name, bad := range map[string]string{
		"empty":                        "",
		"short":                        token[:42],
		"long":                         token + "A",
		"very long":                    strings.Repeat("A", 1<<20),
		"the public id":                s.ID,
		"the store's key":              "session/" + s.ID,
		"ordinary base64":              "+/" + token[2:],
		"padded":                       token[:42] + "=",
		"a line break that is skipped": token[:21] + "\n" + token[22:],
		"spare bits set":               strings.Repeat("A", 42) + "B",
		"a NUL":                        "\x00" + token[1:],
		"a path":                       "../../user/alice" + token[16:],
		"not UTF-8":                    "\xff" + token[1:],
	} {
		t.Run(name, func(t *testing.T) {
			before := w.store.reads.Load()
			w.in(bad, false)
			if n := w.store.reads.Load() - before; n != 0 {
				t.Errorf("%d store reads for what was never a token", n)
			}
		})
	}
	t.Run("well formed, but never issued", func(t *testing.T) {
		w.in(strings.Repeat("A", 43), false)
	})
	t.Run("another case is another token", func(t *testing.T) {
		w.in(strings.Map(func(r rune) rune {
			switch {
			case 'a' <= r && r <= 'z':
				return r - 'a' + 'A'
			case 'A' <= r && r <= 'Z':
				return r - 'A' + 'a'
			}
			return r
		}, token[:42])+token[42:], false)
	})
}

func FuzzToken(f *testing.F) {
	for _, s := range []string{"", strings.Repeat("A", 43), strings.Repeat("A", 42) + "B", strings.Repeat("_-", 21) + "A", strings.Repeat("A", 42) + "\n", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, ok := parseToken(s)
		if !ok {
			if len(k.id()) > 0 && k != (key{}) {
				t.Fatalf("%q: refused, and yet a key", s)
			}
			return
		}
		if string(k[:]) != "session/"+ID(s) || !validID(ID(s)) || store.CheckKey(string(k[:])) != nil {
			t.Fatalf("%q leads to %q, its id is %q", s, k, ID(s))
		}
		// One token, one spelling: decoding and encoding gives it back.
		raw, err := tokenCoding.DecodeString(s)
		if err != nil || len(raw) != tokenBytes || tokenCoding.EncodeToString(raw) != s {
			t.Fatalf("%q is a spelling of %x", s, raw)
		}
	})
}

func TestFixation(t *testing.T) {
	ctx := context.Background()
	victim := Login{Username: "alice", UserID: "usr_1", Epoch: 1}
	t.Run("a session planted before the login is worth nothing after it", func(t *testing.T) {
		w := newWorld(t, Options{})
		w.accounts.set(identity.Account{ID: "usr_9", Username: "mallory", Epoch: 1})
		planted, _, err := w.Create(ctx, Login{Username: "mallory", UserID: "usr_9", Epoch: 1})
		if err != nil {
			t.Fatal(err)
		}
		w.in(planted, true)
		l := victim
		l.Replaces = planted
		token, _, err := w.Create(ctx, l)
		if err != nil || token == planted {
			t.Fatal(token, err)
		}
		w.in(planted, false)
		if id := w.in(token, true); id.Username != "alice" {
			t.Error(id.Username)
		}
	})
	t.Run("a made-up value is not taken over", func(t *testing.T) {
		w := newWorld(t, Options{})
		for _, planted := range []string{strings.Repeat("A", 43), "x", "../x"} {
			l := victim
			l.Replaces = planted
			token, _, err := w.Create(ctx, l)
			if err != nil || token == planted {
				t.Fatal(token, err)
			}
			w.in(planted, false)
		}
	})
	t.Run("if the old one cannot be ended there is no new one", func(t *testing.T) {
		w := newWorld(t, Options{})
		old, _ := w.login()
		w.store.fail(store.ErrUnavailable)
		l := victim
		l.Replaces = old
		if token, s, err := w.Create(ctx, l); token != "" || s != nil || !errors.Is(err, store.ErrUnavailable) {
			t.Error(token, s, err)
		}
		w.store.fail(nil)
		if list, err := w.List(ctx, "", "", 10); err != nil || len(list) != 1 {
			t.Error(list, err)
		}
	})
}

func TestRevoked(t *testing.T) {
	ctx := context.Background()
	t.Run("refused on the next request, by every manager of the store", func(t *testing.T) {
		w := newWorld(t, Options{})
		other := w.another(Options{})
		token, s := w.login()
		w.in(token, true)
		if _, err := other.Identify(ctx, token); err != nil {
			t.Fatal(err)
		}
		if err := w.Revoke(ctx, s.ID); err != nil {
			t.Fatal(err)
		}
		w.in(token, false)
		if _, err := other.Identify(ctx, token); !errors.Is(err, identity.ErrUnknown) {
			t.Error(err)
		}
		if err := w.Revoke(ctx, s.ID); !errors.Is(err, ErrNotFound) {
			t.Error("twice:", err)
		}
		if entries, err := w.store.Scan(ctx, "session-of/", "", 10); err != nil || len(entries) != 0 {
			t.Error("it is still listed:", entries, err)
		}
	})
	t.Run("while a touch is under way: the touch does not bring it back", func(t *testing.T) {
		w := newWorld(t, Options{})
		token, s := w.login()
		w.clock.pass(2 * time.Minute)
		w.store.onSwap = func() {
			w.store.onSwap = nil
			if err := w.Revoke(ctx, s.ID); err != nil {
				t.Error(err)
			}
		}
		w.in(token, true) // this request came before the revocation
		if w.store.onSwap != nil {
			t.Fatal("there was no touch")
		}
		w.in(token, false)
		if _, found, err := w.store.Get(ctx, "session/"+s.ID); found || err != nil {
			t.Error("it is in the store again", err)
		}
	})
	t.Run("while it is being read: the read is not remembered", func(t *testing.T) {
		w := newWorld(t, Options{})
		token, s := w.login()
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 200 {
					_, err := w.Identify(ctx, token)
					if err != nil && !errors.Is(err, identity.ErrUnknown) {
						t.Error(err)
					}
				}
			})
		}
		if err := w.Revoke(ctx, s.ID); err != nil {
			t.Fatal(err)
		}
		w.in(token, false)
		all.Wait()
		w.in(token, false)
	})
	t.Run("odd ids reach no key", func(t *testing.T) {
		w := newWorld(t, Options{})
		for _, id := range []string{"", "ses_", "../user/alice", "ses_" + strings.Repeat("A", 52), strings.Repeat("a", 2000)} {
			before := w.store.writes.Load() + w.store.reads.Load()
			if err := w.Revoke(ctx, id); !errors.Is(err, ErrNotFound) {
				t.Errorf("Revoke(%.20q): %v", id, err)
			}
			if _, err := w.Get(ctx, id); !errors.Is(err, ErrNotFound) {
				t.Errorf("Get(%.20q): %v", id, err)
			}
			if w.store.writes.Load()+w.store.reads.Load() != before {
				t.Errorf("%.20q reached the store", id)
			}
		}
	})
}

func TestStoreDown(t *testing.T) {
	w := newWorld(t, Options{})
	token, s := w.login()
	w.store.fail(store.ErrUnavailable)
	for name, err := range map[string]error{
		"Identify": second(w.Identify(t.Context(), token)),
		"Get":      second(w.Get(t.Context(), s.ID)),
		"Alive":    second(w.Alive(t.Context(), &identity.Identity{Method: identity.Session, ID: "usr_1", SessionID: s.ID})),
		"Revoke":   w.Revoke(t.Context(), s.ID),
	} {
		if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, identity.ErrUnknown) || errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.store.fail(nil)
	w.in(token, true)
}

func second[T any](_ T, err error) error { return err }

func TestDamagedRecords(t *testing.T) {
	w := newWorld(t, Options{})
	token, s := w.login()
	for name, raw := range map[string]string{
		"empty": "", "cut off": `{"id":"` + s.ID + `","user`, "null": "null", "no user": `{"id":"` + s.ID + `"}`,
		"no provider": `{"id":"` + s.ID + `","username":"alice","user_id":"usr_1","epoch":1,"expires":"2030-01-01T00:00:00Z","idle_ns":9e15}`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := w.store.Put(t.Context(), "session/"+s.ID, []byte(raw), 0); err != nil {
				t.Fatal(err)
			}
			id, err := w.Identify(t.Context(), token)
			if id != nil || err == nil || errors.Is(err, identity.ErrUnknown) || !strings.Contains(err.Error(), "session/"+s.ID) {
				t.Errorf("%v %v", id, err)
			}
		})
	}
	t.Run("a session without its times is over", func(t *testing.T) {
		raw := `{"id":"` + s.ID + `","username":"alice","user_id":"usr_1","provider":"local","epoch":1}`
		if err := w.store.Put(t.Context(), "session/"+s.ID, []byte(raw), 0); err != nil {
			t.Fatal(err)
		}
		w.in(token, false)
	})
	t.Run("a copy of a session under another token's key", func(t *testing.T) {
		_, mine := w.login()
		raw, _, err := w.store.Get(t.Context(), "session/"+mine.ID)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.store.Put(t.Context(), "session/"+s.ID, raw, 0); err != nil {
			t.Fatal(err)
		}
		w.in(token, false)
	})
	t.Run("it can be revoked all the same", func(t *testing.T) {
		if err := w.store.Put(t.Context(), "session/"+s.ID, []byte("{"), 0); err != nil {
			t.Fatal(err)
		}
		if err := w.Revoke(t.Context(), s.ID); err != nil {
			t.Error(err)
		}
	})
}
