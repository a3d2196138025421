package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

// onSite is a session on a site, under the portal's.
func (w *world) onSite(parent *Session, change ...func(*Login)) (token string, s *Session) {
	w.t.Helper()
	l := Login{Username: "alice", UserID: "usr_1", Epoch: 1, Parent: parent.ID, Site: "https://app.example.org", ClientIP: "192.0.2.1"}
	for _, fn := range change {
		fn(&l)
	}
	return w.create(l)
}

func TestSessionsOfSites(t *testing.T) {
	w := newWorld(t, Options{})
	portal, parent := w.create(provided(func(l *Login) { l.AuthTime = w.clock.Now().Add(-time.Minute) }))
	token, s := w.onSite(parent, func(l *Login) { l.AMR, l.Provider = []string{"made", "up"}, "github" })
	t.Run("they are of the same login", func(t *testing.T) {
		id, of := w.in(token, true), w.in(portal, true)
		if id.SessionID != s.ID || id.ID != of.ID || id.Provider != "google" || id.Issuer != google || id.Subject != "1001" ||
			!slices.Equal(id.Roles, of.Roles) || !slices.Equal(id.Groups, of.Groups) || id.Claims["hd"] != "example.com" ||
			!slices.Equal(id.AMR, of.AMR) || !id.AuthTime.Equal(of.AuthTime) || of.SessionID != parent.ID {
			t.Errorf("%+v\n%+v", id, of)
		}
		if again := w.in(token, true); again != id {
			t.Error("the identity was built anew though nothing changed")
		}
	})
	t.Run("what the provider says newly of it holds on the site at once", func(t *testing.T) {
		if _, err := w.Update(t.Context(), parent.ID, func(s *Session) error { s.Roles, s.Claims = []string{"viewer"}, nil; return nil }); err != nil {
			t.Fatal(err)
		}
		if id := w.in(token, true); !slices.Equal(id.Roles, []string{"clerk", "viewer"}) || id.Claims != nil {
			t.Errorf("%+v", id)
		}
	})
	t.Run("lists mark them", func(t *testing.T) {
		list, err := w.List(t.Context(), "alice", "", 10)
		if err != nil || len(list) != 2 {
			t.Fatal(list, err)
		}
		for _, got := range list {
			if got.Provider != "google" || got.ACR != "urn:mfa" || !slices.Equal(got.AMR, []string{"pwd", "otp"}) || !got.AuthTime.Equal(parent.AuthTime) {
				t.Errorf("%+v", got)
			}
			if (got.ID == s.ID) != (got.Parent == parent.ID) || (got.ID == s.ID) != (got.Site == "https://app.example.org") {
				t.Errorf("%+v", got)
			}
		}
	})
	t.Run("asking costs no read while nothing changed", func(t *testing.T) {
		id := w.in(token, true)
		before := w.store.reads.Load()
		w.in(token, true)
		if alive, err := w.Alive(t.Context(), id); !alive || err != nil {
			t.Error(alive, err)
		}
		if _, err := w.Recall(t.Context(), s.ID); err != nil {
			t.Error(err)
		}
		if n := w.store.reads.Load() - before; n != 0 {
			t.Errorf("%d reads", n)
		}
	})
	t.Run("of a login with a password, too", func(t *testing.T) {
		_, local := w.login()
		token, _ := w.onSite(local)
		if id := w.in(token, true); id.Provider != identity.Local || id.Subject != "usr_1" || !slices.Equal(id.AMR, []string{"pwd"}) {
			t.Errorf("%+v", id)
		}
	})
}

func TestSessionsOfSitesEndWithTheirParent(t *testing.T) {
	ctx := context.Background()
	for name, end := range map[string]func(w *world, parent *Session){
		"it is revoked": func(w *world, parent *Session) {
			if err := w.Revoke(ctx, parent.ID); err != nil {
				w.t.Error(err)
			}
		},
		"its session at the provider ends": func(w *world, _ *Session) {
			if _, err := w.RevokeProviderSession(ctx, google, "sid-1"); err != nil {
				w.t.Error(err)
			}
		},
		"it is replaced by another login": func(w *world, parent *Session) {
			if _, _, err := w.Create(ctx, provided(func(l *Login) { l.Replaces = w.tokens[parent.ID] })); err != nil {
				w.t.Error(err)
			}
		},
		"it becomes another user's": func(w *world, parent *Session) {
			w.rewrite(parent.ID, `"user_id":"usr_1"`, `"user_id":"usr_2"`)
		},
		"it becomes another epoch's": func(w *world, parent *Session) { w.rewrite(parent.ID, `"epoch":1`, `"epoch":0`) },
		"it becomes a site's itself": func(w *world, parent *Session) {
			w.rewrite(parent.ID, `"checked"`, `"parent":"`+ID("another")+`","checked"`)
		},
		"a copy of another one lies in its place": func(w *world, parent *Session) {
			w.rewrite(parent.ID, parent.ID, ID("another"))
		},
		"its user is disabled":     func(w *world, _ *Session) { w.accounts.change(func(u *identity.Account) { u.Disabled = true }) },
		"its user ends all logins": func(w *world, _ *Session) { w.accounts.change(func(u *identity.Account) { u.Epoch++ }) },
		"it is idle for too long":  func(w *world, _ *Session) { w.clock.pass(62 * time.Minute) },
		"its limits became tighter": func(w *world, _ *Session) {
			w.usual.lifetime = time.Minute
			w.near.Close() // as the next configuration sees it
			w.clock.pass(2 * time.Minute)
		},
		"the whole record disappears": func(w *world, parent *Session) { _, _ = w.store.Delete(ctx, keyPrefix+parent.ID) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Options{})
			portal, parent := w.create(provided())
			w.tokens = map[string]string{parent.ID: portal}
			token, s := w.onSite(parent)
			id := w.in(token, true)
			end(w, parent)
			w.in(token, false)
			if alive, err := w.Alive(ctx, id); alive || err != nil {
				t.Error("alive:", alive, err)
			}
			if got, err := w.Get(ctx, s.ID); !errors.Is(err, ErrNotFound) {
				t.Error("got:", got, err)
			}
			if got, err := w.Recall(ctx, s.ID); !errors.Is(err, ErrNotFound) {
				t.Error("recalled:", got, err)
			}
			if got, err := w.Update(ctx, s.ID, func(*Session) error { return nil }); !errors.Is(err, ErrNotFound) {
				t.Error("updated:", got, err)
			}
			list, err := w.List(ctx, "alice", "", 10)
			if err != nil || slices.ContainsFunc(list, func(l *Session) bool { return l.ID == s.ID }) {
				t.Error("listed:", list, err)
			}
		})
	}
	t.Run("but not the other way round", func(t *testing.T) {
		w := newWorld(t, Options{})
		portal, parent := w.create(provided())
		one, s := w.onSite(parent)
		two, _ := w.onSite(parent)
		if err := w.Revoke(ctx, s.ID); err != nil {
			t.Fatal(err)
		}
		w.in(one, false)
		w.in(two, true)
		w.in(portal, true)
	})
	t.Run("nobody is out while it cannot be asked", func(t *testing.T) {
		w := newWorld(t, Options{})
		_, parent := w.create(provided())
		token, s := w.onSite(parent)
		id := w.in(token, true)
		w.near.Close()
		w.store.onGet = func(key string) error {
			if key == keyPrefix+parent.ID {
				return store.ErrUnavailable
			}
			return nil
		}
		for what, err := range map[string]error{
			"Identify": second(w.Identify(ctx, token)), "Alive": second(w.Alive(ctx, id)), "Get": second(w.Get(ctx, s.ID)),
			"Recall": second(w.Recall(ctx, s.ID)), "List": second(w.List(ctx, "alice", "", 10)),
		} {
			if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, identity.ErrUnknown) || errors.Is(err, ErrNotFound) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
	t.Run("a parent that cannot be read is an error", func(t *testing.T) {
		w := newWorld(t, Options{})
		_, parent := w.create(provided())
		token, _ := w.onSite(parent)
		if err := w.store.Put(ctx, keyPrefix+parent.ID, []byte("{"), 0); err != nil {
			t.Fatal(err)
		}
		if id, err := w.Identify(ctx, token); id != nil || err == nil || errors.Is(err, identity.ErrUnknown) || !strings.Contains(err.Error(), parent.ID) {
			t.Error(id, err)
		}
	})
}

// rewrite changes a stored session past this package.
func (w *world) rewrite(id, old, text string) {
	w.t.Helper()
	raw, found, err := w.store.Get(context.Background(), keyPrefix+id)
	changed := strings.ReplaceAll(string(raw), old, text)
	if err != nil || !found || changed == string(raw) {
		w.t.Fatalf("%s: %v", raw, err)
	}
	if err := w.store.Put(context.Background(), keyPrefix+id, []byte(changed), 0); err != nil {
		w.t.Fatal(err)
	}
}

func TestParentsThatAreNone(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, Options{})
	w.accounts.set(identity.Account{ID: "usr_2", Username: "bob", Epoch: 1})
	_, alices := w.create(provided())
	_, bobs := w.create(provided(func(l *Login) { l.Username, l.UserID = "bob", "usr_2" }))
	_, site := w.onSite(alices)
	_, gone := w.create(provided())
	if err := w.Revoke(ctx, gone.ID); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Login){
		"another user's":               func(l *Login) { l.Parent = bobs.ID },
		"the same name, another user":  func(l *Login) { l.UserID = "usr_9" },
		"another epoch":                func(l *Login) { l.Epoch = 2 },
		"a site's session":             func(l *Login) { l.Parent = site.ID },
		"one that is over":             func(l *Login) { l.Parent = gone.ID },
		"one that never was":           func(l *Login) { l.Parent = ID("never") },
		"no id of a session":           func(l *Login) { l.Parent = "../user/alice" },
		"its own, which is not known":  func(l *Login) { l.Parent = strings.Repeat("a", 4000) },
		"the cookie instead of the id": func(l *Login) { l.Parent = strings.Repeat("A", 43) },
	} {
		t.Run(name, func(t *testing.T) {
			l := Login{Username: "alice", UserID: "usr_1", Epoch: 1, Parent: alices.ID}
			change(&l)
			if token, s, err := w.Create(ctx, l); token != "" || s != nil || !errors.Is(err, ErrParent) {
				t.Error(token, s, err)
			}
		})
	}
	t.Run("one that cannot be looked up", func(t *testing.T) {
		w.store.fail(store.ErrUnavailable)
		defer w.store.fail(nil)
		_, _, err := w.Create(ctx, Login{Username: "alice", UserID: "usr_1", Epoch: 1, Parent: alices.ID})
		if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, ErrParent) {
			t.Error(err)
		}
	})
	if list, err := w.List(ctx, "", "", 10); err != nil || len(list) != 3 {
		t.Error(list, err)
	}
}

func TestTimesOfSessionsOfSites(t *testing.T) {
	ctx := context.Background()
	t.Run("they end with their parent at the latest", func(t *testing.T) {
		w := newWorld(t, Options{})
		portal, parent := w.create(provided())
		for range 23 {
			w.clock.pass(time.Hour)
			w.in(portal, true)
		}
		_, s := w.onSite(parent)
		if !s.Expires.Equal(parent.Expires) {
			t.Errorf("%v, the parent's is %v", s.Expires, parent.Expires)
		}
		for _, e := range w.entries(indexKey("alice", s.ID)) {
			if e.Expires.After(parent.Expires.Add(time.Second)) {
				t.Errorf("it is listed until %v", e.Expires)
			}
		}
	})
	t.Run("who is busy on a site is so at the portal", func(t *testing.T) {
		w := newWorld(t, Options{})
		_, parent := w.create(provided())
		token, _ := w.onSite(parent)
		for range 5 {
			w.clock.pass(50 * time.Minute)
			w.in(token, true)
			w.touches.Wait()
		}
		if got, err := w.Get(ctx, parent.ID); err != nil || !got.LastSeen.Equal(w.clock.Now()) {
			t.Error(got, err)
		}
	})
	t.Run("with no more writes than before: one a session and interval", func(t *testing.T) {
		w := newWorld(t, Options{})
		_, parent := w.create(provided())
		token, _ := w.onSite(parent)
		w.clock.pass(2 * time.Minute)
		before := w.store.writes.Load()
		for range 50 {
			w.in(token, true)
		}
		if n := w.store.writes.Load() - before; n != 2 {
			t.Errorf("%d writes, want one of each", n)
		}
	})
	t.Run("an open connection is no request, to neither", func(t *testing.T) {
		w := newWorld(t, Options{})
		_, parent := w.create(provided())
		token, _ := w.onSite(parent)
		id := w.in(token, true)
		w.clock.pass(30 * time.Minute)
		before := w.store.writes.Load()
		if alive, err := w.Alive(ctx, id); !alive || err != nil {
			t.Error(alive, err)
		}
		w.touches.Wait()
		if n := w.store.writes.Load() - before; n != 0 {
			t.Errorf("%d writes", n)
		}
	})
	t.Run("a refused one keeps no parent alive", func(t *testing.T) {
		w := newWorld(t, Options{})
		_, parent := w.create(provided())
		token, _ := w.onSite(parent)
		w.clock.pass(10 * time.Minute)
		w.accounts.change(func(u *identity.Account) { u.Disabled = true })
		before := w.store.writes.Load()
		w.in(token, false)
		w.touches.Wait()
		if n := w.store.writes.Load() - before; n != 0 {
			t.Errorf("%d writes", n)
		}
	})
}

func (w *world) entries(prefix string) []store.Entry {
	w.t.Helper()
	list, err := w.store.Scan(context.Background(), prefix, "", 100)
	if err != nil || len(list) == 0 {
		w.t.Fatal(list, err)
	}
	return list
}

// TestKeyOfTheParent: the cookie of a site leads to the tokens of the portal's
// session, and the store alone does not.
func TestKeyOfTheParent(t *testing.T) {
	w := newWorld(t, Options{})
	portal, parent := w.create(provided())
	token, s := w.onSite(parent, func(l *Login) { l.ParentKey = sealKey(t, portal) })
	k, err := w.OpenParent(sealKey(t, token), s)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := w.Open(k, parent); err != nil || string(plain) != string(provided().Tokens) {
		t.Error(plain, err)
	}
	t.Run("it is no token, and opens with the right cookie only", func(t *testing.T) {
		if _, err := w.Open(sealKey(t, token), s); !errors.Is(err, ErrNoTokens) {
			t.Error(err)
		}
		if _, err := w.OpenParent(sealKey(t, portal), s); !errors.Is(err, ErrSealed) {
			t.Error(err)
		}
	})
	t.Run("tokens in its place are no key", func(t *testing.T) {
		c := *s
		if err := w.Reseal(sealKey(t, token), &c, []byte(fmt.Sprintf("%032d", 7))); err != nil {
			t.Fatal(err)
		}
		if k, err := w.OpenParent(sealKey(t, token), &c); !errors.Is(err, ErrSealed) || k.Valid() {
			t.Error(err)
		}
	})
}

func TestParentAndOwnerCostOneRoundTrip(t *testing.T) {
	w := newWorld(t, Options{})
	b := &brief{Store: w.store}
	m := NewManager(b, Options{Accounts: w.accounts, Clock: w.clock.Now})
	t.Cleanup(m.Close)
	_, parent := w.create(provided())
	token, s := w.onSite(parent)
	if _, err := m.Identify(context.Background(), token); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Millisecond) // the copies are no longer good
	asked := make(chan struct{}, 1)
	ahead := &parentFirst{Store: w.store, child: keyPrefix + s.ID, parent: keyPrefix + parent.ID, asked: asked}
	b.Store = ahead
	if _, err := m.Identify(context.Background(), token); err != nil {
		t.Fatal(err)
	}
	if ahead.late {
		t.Error("the parent was asked for only after the session had been read")
	}
}

// parentFirst answers for a session only once its parent is being asked for.
type parentFirst struct {
	store.Store
	child, parent string
	asked         chan struct{}
	late          bool
}

func (p *parentFirst) Get(ctx context.Context, key string) ([]byte, bool, error) {
	switch key {
	case p.parent:
		select {
		case p.asked <- struct{}{}:
		default:
		}
	case p.child:
		select {
		case <-p.asked:
		case <-time.After(5 * time.Second):
			p.late = true
		}
	}
	return p.Store.Get(ctx, key)
}
