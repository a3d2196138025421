package key

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/store/bolt"
)

// write writes the uses that m has counted, as it does by itself once a minute,
// and returns how many could not be.
func (w *world) write(m *Manager) (failed int) {
	w.t.Helper()
	for i := range m.uses.parts {
		n, _ := m.writeUses(context.Background(), &m.uses.parts[i], nil)
		failed += n
	}
	return failed
}

func (w *world) used(m *Manager, id string, uses int64, last time.Time) {
	w.t.Helper()
	k, err := m.Get(context.Background(), id)
	if err != nil || k.Uses != uses || !k.LastUsed.Equal(last) {
		w.t.Errorf("%+v, %v, want %d uses, the last at %v", k, err, uses, last)
	}
}

func TestUses(t *testing.T) {
	t.Run("shown before they are written, and after", func(t *testing.T) {
		w := newWorld(t, Options{})
		other := w.another(Options{})
		text, k := w.make()
		for range 3 {
			w.clock.pass(time.Second)
			w.in(text)
		}
		last := w.clock.Now()
		before := w.store.writes.Load()
		w.used(w.Manager, k.ID, 3, last)
		w.used(other, k.ID, 0, time.Time{})
		if n := w.store.writes.Load() - before; n != 0 {
			t.Errorf("%d writes", n)
		}
		w.write(w.Manager)
		w.used(w.Manager, k.ID, 3, last)
		w.used(other, k.ID, 3, last)
		if list, err := w.List(t.Context(), "alice", "", 10); err != nil || len(list) != 1 || list[0].Uses != 3 {
			t.Error(list, err)
		}
	})
	t.Run("one write for many uses, none for none", func(t *testing.T) {
		w := newWorld(t, Options{})
		text, _ := w.make()
		for range 100 {
			w.in(text)
		}
		before := w.store.writes.Load()
		w.write(w.Manager)
		w.write(w.Manager)
		if n := w.store.writes.Load() - before; n != 1 {
			t.Errorf("%d writes", n)
		}
	})
	t.Run("what was refused or throttled is no use", func(t *testing.T) {
		w := newWorld(t, Options{})
		text, k := w.make(func(n *New) { n.Rate = identity.Rate{Requests: 1, Per: time.Hour} })
		w.in(text)
		at := w.clock.Now()
		w.clock.pass(time.Second)
		if _, _, err := w.Identify(t.Context(), text, home); err == nil {
			t.Fatal("not throttled")
		}
		w.out(forge(text[:40] + "00000000"))
		w.accounts.change(func(a *identity.Account) { a.Disabled = true })
		w.out(text)
		w.used(w.Manager, k.ID, 1, at)
	})
	t.Run("two managers at once: both counts are kept", func(t *testing.T) {
		w := newWorld(t, Options{})
		other := w.another(Options{})
		text, k := w.make()
		var all sync.WaitGroup
		for _, m := range []*Manager{w.Manager, other} {
			all.Go(func() {
				for range 50 {
					for range 10 {
						if _, _, err := m.Identify(context.Background(), text, home); err != nil {
							t.Error(err)
							return
						}
					}
					w.write(m)
				}
			})
		}
		all.Wait()
		w.used(w.Manager, k.ID, 1000, w.clock.Now())
	})
	t.Run("overtaken between read and write", func(t *testing.T) {
		w := newWorld(t, Options{})
		other := w.another(Options{})
		text, k := w.make()
		for _, m := range []*Manager{w.Manager, other} {
			if _, _, err := m.Identify(t.Context(), text, home); err != nil {
				t.Fatal(err)
			}
		}
		w.store.onCreate = func(string) { w.store.onCreate = nil; w.write(other) }
		w.write(w.Manager)
		w.used(w.Manager, k.ID, 2, w.clock.Now())
		for _, m := range []*Manager{w.Manager, other} {
			if _, _, err := m.Identify(t.Context(), text, home); err != nil {
				t.Fatal(err)
			}
		}
		w.store.onSwap = func(string) { w.store.onSwap = nil; w.write(other) }
		w.write(w.Manager)
		w.used(w.Manager, k.ID, 4, w.clock.Now())
	})
	t.Run("a write that fails is made up for by the next", func(t *testing.T) {
		w := newWorld(t, Options{})
		text, k := w.make()
		w.in(text)
		w.store.fail(store.ErrUnavailable)
		if n := w.write(w.Manager); n != 1 {
			t.Errorf("%d failed", n)
		}
		w.in(text) // from memory
		w.store.fail(nil)
		w.used(w.Manager, k.ID, 2, w.clock.Now())
		if n := w.write(w.Manager); n != 0 {
			t.Errorf("%d failed", n)
		}
		w.used(w.another(Options{}), k.ID, 2, w.clock.Now())
	})
	t.Run("a clock that is set back makes the last use no earlier", func(t *testing.T) {
		w := newWorld(t, Options{})
		text, k := w.make()
		w.in(text)
		last := w.clock.Now()
		w.write(w.Manager)
		w.clock.pass(-time.Hour)
		w.in(text)
		w.used(w.Manager, k.ID, 2, last)
		w.write(w.Manager)
		w.used(w.Manager, k.ID, 2, last)
	})
	t.Run("they last as long as the key is listed, also when it is rotated and unused", func(t *testing.T) {
		w := newWorld(t, Options{})
		text, k := w.make()
		w.in(text)
		at := w.clock.Now()
		w.write(w.Manager)
		w.clock.pass(80 * day)
		w.rotate(k.ID, 0)
		w.clock.pass(89 * day)
		w.used(w.Manager, k.ID, 1, at)
		w.clock.pass(31 * day)
		for _, prefix := range []string{"key/", "keyof/", "keyuse/"} {
			if list, err := w.store.Scan(t.Context(), prefix, "", 10); err != nil || len(list) != 0 {
				t.Error(list, err)
			}
		}
	})
	t.Run("a count that cannot be read is an error that names it, and begins anew", func(t *testing.T) {
		w := newWorld(t, Options{})
		text, k := w.make()
		for _, raw := range []string{"", "{", "[]", `{"uses":-5}`, `{"uses":"5"}`} {
			if err := w.store.Put(t.Context(), "keyuse/"+k.ID, []byte(raw), 0); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Get(t.Context(), k.ID); err == nil || !strings.Contains(err.Error(), `"keyuse/`+k.ID+`"`) {
				t.Errorf("%q: %v", raw, err)
			}
			w.in(text) // a count decides nothing
			if n := w.write(w.Manager); n != 0 {
				t.Errorf("%q: not written", raw)
			}
			w.used(w.Manager, k.ID, 1, w.clock.Now())
		}
		if !strings.Contains(w.log.String(), "counted anew") {
			t.Error(w.log.String())
		}
	})
}

func TestClose(t *testing.T) {
	t.Run("writes what is counted, and counts no more", func(t *testing.T) {
		w := newWorld(t, Options{})
		other := w.another(Options{})
		text, k := w.make()
		w.in(text)
		w.Close()
		w.Close()
		w.used(other, k.ID, 1, w.clock.Now())
		w.in(text) // a request that outlives a reload
		w.used(w.Manager, k.ID, 1, w.clock.Now())
		if err := other.Revoke(t.Context(), k.ID); err != nil {
			t.Fatal(err)
		}
		w.out(text)
	})
	t.Run("says what is lost", func(t *testing.T) {
		w := newWorld(t, Options{})
		text, _ := w.make()
		w.in(text)
		w.store.fail(store.ErrUnavailable)
		w.Close()
		if log := w.log.String(); !strings.Contains(log, "level=WARN") || !strings.Contains(log, "keys=1") {
			t.Error(log)
		}
	})
}

// hanging is a store whose reads can be made to hang until their context ends.
type hanging struct {
	store.Store
	now atomic.Bool
}

func (h *hanging) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if !h.now.Load() {
		return h.Store.Get(ctx, key)
	}
	<-ctx.Done()
	return nil, false, errors.Join(store.ErrUnavailable, ctx.Err())
}

// TestWriter runs in bubbles, where the clock stands until everybody waits.
func TestWriter(t *testing.T) {
	manager := func(t *testing.T) (m *Manager, s *hanging, texts, ids []string) {
		file, err := bolt.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), bolt.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = file.Close() })
		a := &accounts{of: map[string]*identity.Account{}}
		a.set(identity.Account{ID: "usr_1", Username: "alice", Scopes: []string{"x"}})
		s = &hanging{Store: file}
		m = NewManager(s, Options{Accounts: a})
		for range 40 {
			text, k, err := m.Create(t.Context(), New{Owner: "alice", Scopes: []string{"x"}})
			if err != nil {
				t.Fatal(err)
			}
			texts, ids = append(texts, text), append(ids, k.ID)
		}
		return m, s, texts, ids
	}
	use := func(t *testing.T, m *Manager, texts []string) {
		for _, text := range texts {
			if _, _, err := m.Identify(t.Context(), text, home); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Run("each key within a minute, and not more often", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m, _, texts, ids := manager(t)
			defer m.Close()
			use(t, m, texts)
			time.Sleep(writeEvery + time.Second)
			synctest.Wait()
			for _, id := range ids {
				if u, _, err := m.readUse(t.Context(), id); err != nil || u.Uses != 1 || m.uses.pending(id).Uses != 0 {
					t.Errorf("%+v, %v", u, err)
				}
			}
		})
	})
	t.Run("a store that hangs holds Close up for ten seconds at most", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m, s, texts, _ := manager(t)
			use(t, m, texts)
			s.now.Store(true)
			time.Sleep(writeEvery / 2) // the writer is stuck at some part
			start := time.Now()
			m.Close()
			if took := time.Since(start); took > 2*writeWithin {
				t.Errorf("%v", took)
			}
		})
	})
}
