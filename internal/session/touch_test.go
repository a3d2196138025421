package session

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

func TestTouch(t *testing.T) {
	ctx := context.Background()
	t.Run("at most once an interval, however many requests", func(t *testing.T) {
		w := newWorld(t, Options{})
		token, s := w.login()
		w.clock.pass(59 * time.Second)
		w.in(token, true)
		if n := w.store.writes.Load(); n != 0 {
			t.Fatalf("%d writes before the interval was over", n)
		}
		w.clock.pass(time.Second)
		for range 100 {
			w.in(token, true)
		}
		if n := w.store.writes.Load(); n != 1 {
			t.Errorf("%d writes, want 1", n)
		}
		got, err := w.Get(ctx, s.ID)
		if err != nil || !got.LastSeen.Equal(w.clock.Now()) || !got.Expires.Equal(s.Expires) {
			t.Errorf("%+v %v", got, err)
		}
	})
	t.Run("many requests at once start one", func(t *testing.T) {
		w := newWorld(t, Options{})
		token, _ := w.login()
		goOn := make(chan struct{})
		w.Manager.store = stuck{Store: w.store, until: goOn}
		w.clock.pass(time.Minute)
		for range 10 {
			if _, err := w.Identify(ctx, token); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(w.slots); n != 1 {
			t.Errorf("%d touches under way, want 1", n)
		}
		close(goOn)
		w.touches.Wait()
	})
	t.Run("a short idle time is touched more often", func(t *testing.T) {
		w := newWorld(t, Options{IdleTimeout: time.Minute})
		token, _ := w.login()
		w.clock.pass(6 * time.Second)
		w.in(token, true)
		if n := w.store.writes.Load(); n != 1 {
			t.Errorf("%d writes, want 1", n)
		}
	})
	t.Run("one that fails is made up for by the next request", func(t *testing.T) {
		w := newWorld(t, Options{})
		token, s := w.login()
		w.in(token, true)
		w.clock.pass(time.Minute)
		w.store.fail(store.ErrUnavailable)
		w.in(token, true) // from memory
		w.store.fail(nil)
		w.in(token, true)
		if got, err := w.Get(ctx, s.ID); err != nil || !got.LastSeen.Equal(w.clock.Now()) {
			t.Errorf("%+v %v", got, err)
		}
	})
	t.Run("two managers at once: one wins, both stay well", func(t *testing.T) {
		w := newWorld(t, Options{})
		other := w.another(Options{})
		token, _ := w.login()
		w.in(token, true)
		if _, err := other.Identify(ctx, token); err != nil {
			t.Fatal(err)
		}
		w.clock.pass(time.Minute)
		w.store.onSwap = func() {
			w.store.onSwap = nil
			if _, err := other.Identify(ctx, token); err != nil {
				t.Error(err)
			}
			other.touches.Wait()
		}
		w.in(token, true)
		w.in(token, true)
	})
	t.Run("a copy that missed another instance's touch refuses nobody", func(t *testing.T) {
		w := newWorld(t, Options{})
		token, _ := w.login()
		other := NewManager(deaf{w.store}, Options{Accounts: w.accounts, Clock: w.clock.Now})
		defer other.Close()
		if _, err := other.Identify(ctx, token); err != nil {
			t.Fatal(err)
		}
		w.clock.pass(time.Hour)
		w.in(token, true)
		w.clock.pass(time.Hour)
		if _, err := other.Identify(ctx, token); err != nil {
			t.Error(err)
		}
		w.in(token, true)
	})
	t.Run("a clock set back writes nothing older", func(t *testing.T) {
		w := newWorld(t, Options{})
		token, s := w.login()
		w.clock.pass(-30 * time.Minute)
		w.in(token, true)
		if got, err := w.Get(ctx, s.ID); err != nil || !got.LastSeen.Equal(s.LastSeen) {
			t.Errorf("%+v %v", got, err)
		}
	})
	t.Run("a session that is refused is not kept alive", func(t *testing.T) {
		w := newWorld(t, Options{})
		token, _ := w.login()
		w.accounts.change(func(u *identity.Account) { u.Disabled = true })
		w.clock.pass(time.Minute)
		w.in(token, false)
		if n := w.store.writes.Load(); n != 0 {
			t.Errorf("%d writes", n)
		}
	})
}

// TestClose runs in a bubble, where Wait knows when everybody is stuck.
func TestClose(t *testing.T) {
	w := newWorld(t, Options{})
	token, s := w.login()
	slow := w.another(Options{})
	synctest.Test(t, func(t *testing.T) {
		m := NewManager(w.store.Store, Options{Accounts: w.accounts, Clock: w.clock.Now})
		goOn := make(chan struct{})
		m.store = &watched{Store: stuck{Store: w.store.Store, until: goOn}}
		w.clock.pass(time.Minute)
		if _, err := m.Identify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		closed := make(chan struct{})
		go func() { m.Close(); close(closed) }()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("Close did not wait for the touch")
		default:
		}
		close(goOn)
		<-closed
		if !m.closed {
			t.Error("not closed")
		}
	})
	t.Run("afterwards it still answers, and touches no more", func(t *testing.T) {
		slow.Close()
		slow.Close()
		w.clock.pass(5 * time.Minute)
		writes := w.store.writes.Load()
		if _, err := slow.Identify(t.Context(), token); err != nil {
			t.Error(err)
		}
		slow.touches.Wait()
		if w.store.writes.Load() != writes {
			t.Error("a touch after Close")
		}
		if err := w.Revoke(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := slow.Identify(t.Context(), token); !errors.Is(err, identity.ErrUnknown) {
			t.Error(err)
		}
	})
}

// deaf is a store whose notices never arrive.
type deaf struct{ store.Store }

func (deaf) Watch(func(string)) (stop func()) { return func() {} }

// stuck is a store whose writes stop until they are let go, and then fail.
type stuck struct {
	store.Store
	until chan struct{}
}

func (s stuck) Swap(context.Context, string, []byte, []byte, time.Duration) (bool, error) {
	<-s.until
	return false, store.ErrUnavailable
}

// TestBoundedTouches: a store that hangs costs no more than a fixed number of
// goroutines, and no request waits for it.
func TestBoundedTouches(t *testing.T) {
	w := newWorld(t, Options{})
	tokens := make([]string, atOnce+50)
	for i := range tokens {
		tokens[i], _ = w.login()
	}
	goOn := make(chan struct{})
	w.Manager.store = stuck{Store: w.store, until: goOn}
	w.clock.pass(time.Minute)
	for _, token := range tokens {
		if _, err := w.Identify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.slots); n != atOnce {
		t.Errorf("%d touches are under way, want %d", n, atOnce)
	}
	close(goOn)
	w.touches.Wait()
	if n := len(w.slots); n != 0 {
		t.Errorf("%d slots are still taken", n)
	}
	// Those that failed and those that found no slot are made up for.
	w.Manager.store = w.store
	for _, token := range tokens {
		w.in(token, true)
	}
	if n := w.store.writes.Load(); n != int64(len(tokens)) {
		t.Errorf("%d were touched, want %d", n, len(tokens))
	}
}

func TestAlive(t *testing.T) {
	w := newWorld(t, Options{})
	token, s := w.login()
	id := w.in(token, true)
	alive := func(want bool) {
		t.Helper()
		if got, err := w.Alive(t.Context(), id); got != want || err != nil {
			t.Errorf("Alive = %v, %v; want %v", got, err, want)
		}
	}
	alive(true)
	t.Run("an open connection is not a request", func(t *testing.T) {
		w.clock.pass(30 * time.Minute)
		alive(true)
		w.touches.Wait()
		if n := w.store.writes.Load(); n != 0 {
			t.Errorf("%d writes", n)
		}
		w.clock.pass(31 * time.Minute)
		alive(false)
		w.clock.pass(-time.Hour)
	})
	t.Run("a new role does not end it, a disabled user does", func(t *testing.T) {
		w.accounts.change(func(u *identity.Account) { u.Roles = nil })
		alive(true)
		w.accounts.change(func(u *identity.Account) { u.Disabled = true })
		alive(false)
		w.accounts.change(func(u *identity.Account) { u.Disabled = false })
		alive(true)
		w.accounts.change(func(u *identity.Account) { u.Service = true })
		alive(false)
		w.accounts.change(func(u *identity.Account) { u.Service = false })
	})
	t.Run("not for other methods, nobody, or another user", func(t *testing.T) {
		for name, id := range map[string]*identity.Identity{
			"nil":          nil,
			"zero":         {},
			"a key":        {Method: identity.Key, ID: "usr_1", SessionID: s.ID},
			"no session":   {Method: identity.Session, ID: "usr_1"},
			"odd id":       {Method: identity.Session, ID: "usr_1", SessionID: "../user/alice"},
			"another user": {Method: identity.Session, ID: "usr_2", SessionID: s.ID},
		} {
			if got, err := w.Alive(t.Context(), id); got || err != nil {
				t.Errorf("%s: %v, %v", name, got, err)
			}
		}
	})
	t.Run("revoked", func(t *testing.T) {
		if err := w.Revoke(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		alive(false)
	})
}
