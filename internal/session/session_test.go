package session

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/store/bolt"
)

// world is a store, a clock, one user and a manager over them.
type world struct {
	*Manager
	t        testing.TB
	store    *watched
	clock    *clock
	accounts *accounts
	tokens   map[string]string // by the id of their session, where a test asks for it
}

func newWorld(t testing.TB, o Options) *world {
	t.Helper()
	c := &clock{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	file, err := bolt.Open(context.Background(), filepath.Join(t.TempDir(), "test.db"), bolt.Options{Clock: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	w := &world{t: t, store: &watched{Store: file}, clock: c, accounts: &accounts{of: map[string]*identity.Account{}}}
	w.accounts.set(identity.Account{ID: "usr_1", Username: "alice", Email: "alice@example.com", Roles: []string{"clerk"}, Epoch: 1})
	w.Manager = w.another(o)
	return w
}

// another is one more manager over the same store: another site, or the next
// configuration.
func (w *world) another(o Options) *Manager {
	o.Accounts, o.Clock = w.accounts, w.clock.Now
	m := NewManager(w.store, o)
	w.t.Cleanup(m.Close)
	return m
}

func (w *world) login() (token string, s *Session) {
	w.t.Helper()
	token, s, err := w.Create(context.Background(), Login{Username: "alice", UserID: "usr_1", Epoch: 1, AMR: []string{"pwd"}})
	if err != nil {
		w.t.Fatal(err)
	}
	return token, s
}

// in says that token lets in, or does not. Touches it started are waited for.
func (w *world) in(token string, want bool) *identity.Identity {
	w.t.Helper()
	id, err := w.Identify(context.Background(), token)
	w.touches.Wait()
	switch {
	case want && (err != nil || !id.Authenticated()):
		w.t.Errorf("refused: %v, %v", id, err)
	case !want && (id != nil || !errors.Is(err, identity.ErrUnknown)):
		w.t.Errorf("not refused as unknown: %v, %v", id, err)
	}
	return id
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// accounts answers as a user.Directory does: the same pointer until a change.
type accounts struct {
	mu  sync.Mutex
	of  map[string]*identity.Account
	err error
}

func (a *accounts) Account(_ context.Context, name string) (*identity.Account, bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	got, found := a.of[name]
	return got, found, a.err
}

func (a *accounts) set(u identity.Account) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.of[u.Username] = &u
}

func (a *accounts) change(fn func(*identity.Account)) {
	u := *a.of["alice"]
	fn(&u)
	a.set(u)
}

// watched is a store whose calls are counted and can be held up or fail.
type watched struct {
	store.Store
	reads, writes atomic.Int64
	mu            sync.Mutex
	err           error
	onSwap        func()
	onGet         func(key string) error
	onCreate      func(key string)
}

func (s *watched) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *watched) fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *watched) Get(ctx context.Context, key string) ([]byte, bool, error) {
	s.reads.Add(1)
	if err := s.fault(); err != nil {
		return nil, false, err
	}
	if s.onGet != nil {
		if err := s.onGet(key); err != nil {
			return nil, false, err
		}
	}
	return s.Store.Get(ctx, key)
}

func (s *watched) Create(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if s.onCreate != nil {
		s.onCreate(key)
	}
	return s.Store.Create(ctx, key, value, ttl)
}

func (s *watched) Delete(ctx context.Context, key string) (bool, error) {
	s.writes.Add(1)
	if err := s.fault(); err != nil {
		return false, err
	}
	return s.Store.Delete(ctx, key)
}

func (s *watched) Take(ctx context.Context, key string) ([]byte, bool, error) {
	s.writes.Add(1)
	if err := s.fault(); err != nil {
		return nil, false, err
	}
	return s.Store.Take(ctx, key)
}

func (s *watched) Swap(ctx context.Context, key string, old, value []byte, ttl time.Duration) (bool, error) {
	s.writes.Add(1)
	if s.onSwap != nil {
		s.onSwap()
	}
	if err := s.fault(); err != nil {
		return false, err
	}
	return s.Store.Swap(ctx, key, old, value, ttl)
}

func TestLogin(t *testing.T) {
	w := newWorld(t, Options{})
	token, s := w.login()
	if len(token) != 43 || s.ID != ID(token) || !validID(s.ID) || s.Remember ||
		s.Idle != time.Hour || !s.Expires.Equal(s.Created.Add(24*time.Hour)) {
		t.Errorf("%q %+v", token, s)
	}
	t.Run("the token says who it is", func(t *testing.T) {
		id := w.in(token, true)
		if id.Method != identity.Session || id.Provider != identity.Local || id.ID != "usr_1" || id.Subject != "usr_1" ||
			id.Username != "alice" || id.Email != "alice@example.com" || !slices.Equal(id.Roles, []string{"clerk"}) ||
			!slices.Equal(id.AMR, []string{"pwd"}) || !id.AuthTime.Equal(s.AuthTime) || id.SessionID != s.ID {
			t.Errorf("%+v", id)
		}
		if again := w.in(token, true); again != id {
			t.Error("the identity was built anew though nothing changed")
		}
	})
	t.Run("the token is nowhere in the store", func(t *testing.T) {
		for _, prefix := range []string{"session/", "session-of/"} {
			entries, err := w.store.Scan(t.Context(), prefix, "", 10)
			if err != nil || len(entries) != 1 {
				t.Fatal(entries, err)
			}
			for _, e := range entries {
				if strings.Contains(e.Key, token) || strings.Contains(string(e.Value), token) {
					t.Errorf("%s: %s", e.Key, e.Value)
				}
			}
		}
	})
	t.Run("two logins never share a token", func(t *testing.T) {
		if other, _ := w.login(); other == token {
			t.Error("the same token twice")
		}
	})
	t.Run("what a stranger's browser says is bounded", func(t *testing.T) {
		_, s, err := w.Create(t.Context(), Login{Username: "alice", UserID: "usr_1", Epoch: 1, UserAgent: string(slices.Repeat([]byte("\xc3\xa9"), 5000)), ClientIP: "192.0.2.1"})
		if err != nil || len(s.UserAgent) != 512 || s.ClientIP != "192.0.2.1" {
			t.Errorf("%d %v", len(s.UserAgent), err)
		}
	})
	t.Run("a login of nobody", func(t *testing.T) {
		for _, l := range []Login{{}, {Username: "alice"}, {UserID: "usr_1"}} {
			if token, _, err := w.Create(t.Context(), l); err == nil || token != "" {
				t.Errorf("%+v made %q", l, token)
			}
		}
	})
	t.Run("a random source that repeats itself", func(t *testing.T) {
		m := w.another(Options{Rand: zeros{}})
		l := Login{Username: "alice", UserID: "usr_1", Epoch: 1}
		if _, _, err := m.Create(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		if token, _, err := m.Create(t.Context(), l); err == nil || token != "" {
			t.Error("two people share a session")
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestEnds(t *testing.T) {
	t.Run("absolute, however busy", func(t *testing.T) {
		w := newWorld(t, Options{})
		token, _ := w.login()
		for range 47 {
			w.clock.pass(30 * time.Minute)
			w.in(token, true)
		}
		w.clock.pass(30*time.Minute - time.Nanosecond)
		w.in(token, true)
		w.clock.pass(time.Nanosecond)
		w.in(token, false)
	})
	t.Run("idle: never before its time, at most an interval after", func(t *testing.T) {
		// The last request may fall anywhere between two touches.
		for after := time.Duration(0); after <= 3*time.Minute; after += 20 * time.Second {
			w := newWorld(t, Options{})
			token, _ := w.login()
			w.clock.pass(after)
			w.in(token, true)
			w.clock.pass(time.Hour)
			w.in(token, true)
			w.clock.pass(time.Hour + time.Minute)
			w.in(token, false)
		}
	})
	t.Run("a store that keeps its time, asked by an instance that knows nothing", func(t *testing.T) {
		w := newWorld(t, Options{})
		token, _ := w.login()
		w.clock.pass(50 * time.Minute)
		w.in(token, true)
		w.clock.pass(time.Hour)
		fresh := w.another(Options{})
		if _, err := fresh.Identify(t.Context(), token); err != nil {
			t.Error(err)
		}
		fresh.touches.Wait()
		w.clock.pass(time.Hour + time.Minute)
		fresh = w.another(Options{})
		if _, err := fresh.Identify(t.Context(), token); !errors.Is(err, identity.ErrUnknown) {
			t.Error(err)
		}
	})
	t.Run("a clock that is set back does not bring it to life", func(t *testing.T) {
		w := newWorld(t, Options{})
		token, s := w.login()
		w.in(token, true)
		w.clock.pass(25 * time.Hour)
		w.in(token, false)
		w.clock.pass(-24 * time.Hour)
		w.in(token, false)
		if err := w.Revoke(t.Context(), s.ID); !errors.Is(err, ErrNotFound) {
			t.Error("it is still in the store:", err)
		}
		fresh := w.another(Options{})
		if _, err := fresh.Identify(t.Context(), token); !errors.Is(err, identity.ErrUnknown) {
			t.Error(err)
		}
	})
	t.Run("one that is over costs a stranger's requests no writes", func(t *testing.T) {
		w := newWorld(t, Options{})
		token, _ := w.login()
		w.in(token, true)
		w.clock.pass(25 * time.Hour)
		w.in(token, false)
		writes := w.store.writes.Load()
		for range 10 {
			w.in(token, false)
		}
		if n := w.store.writes.Load() - writes; n != 0 {
			t.Errorf("%d writes", n)
		}
	})
	t.Run("remember me", func(t *testing.T) {
		w := newWorld(t, Options{RememberMe: 30 * 24 * time.Hour})
		l := Login{Username: "alice", UserID: "usr_1", Epoch: 1, Remember: true}
		token, s, err := w.Create(t.Context(), l)
		if err != nil || !s.Remember || s.Idle != 30*24*time.Hour {
			t.Fatalf("%+v %v", s, err)
		}
		w.clock.pass(29 * 24 * time.Hour)
		w.in(token, true)
		w.clock.pass(24 * time.Hour)
		w.in(token, false)
	})
	t.Run("remember me where it is off", func(t *testing.T) {
		w := newWorld(t, Options{})
		_, s, err := w.Create(t.Context(), Login{Username: "alice", UserID: "usr_1", Epoch: 1, Remember: true})
		if err != nil || s.Remember || s.Idle != time.Hour || !s.Expires.Equal(s.Created.Add(24*time.Hour)) {
			t.Errorf("%+v %v", s, err)
		}
	})
	t.Run("tighter limits hold for sessions that exist", func(t *testing.T) {
		w := newWorld(t, Options{RememberMe: 30 * 24 * time.Hour})
		token, s, err := w.Create(t.Context(), Login{Username: "alice", UserID: "usr_1", Epoch: 1, Remember: true})
		if err != nil {
			t.Fatal(err)
		}
		w.clock.pass(11 * time.Minute)
		w.in(token, true)
		tight := w.another(Options{IdleTimeout: 10 * time.Minute, Lifetime: 30 * time.Minute})
		w.clock.pass(10 * time.Minute)
		got, err := tight.Get(t.Context(), s.ID)
		if err != nil || got.Idle != 10*time.Minute || !got.Expires.Equal(s.Created.Add(30*time.Minute)) {
			t.Errorf("%+v %v", got, err)
		}
		w.clock.pass(9 * time.Minute)
		if _, err := tight.Get(t.Context(), s.ID); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		if _, err := tight.Identify(t.Context(), token); !errors.Is(err, identity.ErrUnknown) {
			t.Error(err)
		}
	})
}

// TestTheUser: what the user's record says is in force on the very next request.
func TestTheUser(t *testing.T) {
	story := func(name string, change func(*accounts), after func(w *world, token string)) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Options{})
			token, _ := w.login()
			w.in(token, true)
			change(w.accounts)
			after(w, token)
		})
	}
	refused := func(w *world, token string) { w.in(token, false) }
	story("disabled", func(a *accounts) { a.change(func(u *identity.Account) { u.Disabled = true }) }, refused)
	story("deleted", func(a *accounts) { delete(a.of, "alice") }, refused)
	story("deleted and made again under the same name", func(a *accounts) { a.change(func(u *identity.Account) { u.ID = "usr_2" }) }, refused)
	story("signed out everywhere", func(a *accounts) { a.change(func(u *identity.Account) { u.Epoch++ }) }, refused)
	story("an epoch from a restored backup", func(a *accounts) { a.change(func(u *identity.Account) { u.Epoch-- }) }, refused)
	story("a record of somebody else", func(a *accounts) { a.of["alice"] = &identity.Account{ID: "usr_1", Username: "bob", Epoch: 1} }, refused)
	story("a service in the place of a person", func(a *accounts) { a.change(func(u *identity.Account) { u.Service = true }) }, refused)
	story("another scope", func(a *accounts) { a.change(func(u *identity.Account) { u.Scopes = []string{"reports:read"} }) }, func(w *world, token string) {
		if id := w.in(token, true); !slices.Equal(id.Scopes, []string{"reports:read"}) {
			w.t.Errorf("%v", id.Scopes)
		}
	})
	story("another role", func(a *accounts) { a.change(func(u *identity.Account) { u.Roles = []string{"admin"} }) }, func(w *world, token string) {
		if id := w.in(token, true); !slices.Equal(id.Roles, []string{"admin"}) {
			w.t.Errorf("%v", id.Roles)
		}
	})
	story("a directory that cannot be asked", func(a *accounts) { a.err = store.ErrUnavailable }, func(w *world, token string) {
		id, err := w.Identify(w.t.Context(), token)
		if id != nil || !errors.Is(err, store.ErrUnavailable) || errors.Is(err, identity.ErrUnknown) {
			w.t.Errorf("%v %v", id, err)
		}
	})
}
