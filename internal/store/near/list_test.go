package near

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/store/bolt"
	"github.com/gatehouse-proxy/gatehouse/internal/store/redis"
	"github.com/gatehouse-proxy/gatehouse/internal/store/storetest"
)

// shared is a scripted store with all that a List uses, and any number of
// watchers. Its writes can be made to fail, before or after they happen.
type shared struct {
	*scripted
	watchers store.Watchers
	scans    atomic.Int64
	onScan   func() error // called with the page already read
	onWrite  func(key string) (after error)
}

func newShared(pairs ...string) *shared {
	s := &shared{scripted: newScripted(pairs...)}
	s.notify = s.watchers.Tell
	return s
}

func (s *shared) Watch(fn func(string)) func() { return s.watchers.Add(fn) }

func (s *shared) Scan(_ context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	s.scans.Add(1)
	s.mu.Lock()
	var page []store.Entry
	for _, key := range slices.Sorted(maps.Keys(s.data)) {
		if strings.HasPrefix(key, prefix) && key > after && len(page) < limit {
			page = append(page, store.Entry{Key: key, Value: []byte(s.data[key])})
		}
	}
	err, hold := s.err, s.onScan
	s.mu.Unlock()
	if hold != nil {
		if err := hold(); err != nil {
			return nil, err
		}
	}
	return page, err
}

func (s *shared) write(ctx context.Context, key string, change func()) error {
	if s.err != nil {
		return s.err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	s.mu.Lock()
	change()
	s.mu.Unlock()
	s.watchers.Tell(key)
	if s.onWrite != nil {
		return s.onWrite(key)
	}
	return nil
}

func (s *shared) Put(ctx context.Context, key string, value []byte, _ time.Duration) error {
	return s.write(ctx, key, func() { s.data[key] = string(value) })
}

func (s *shared) Create(ctx context.Context, key string, value []byte, _ time.Duration) (created bool, err error) {
	err = s.write(ctx, key, func() {
		if _, there := s.data[key]; !there {
			s.data[key], created = string(value), true
		}
	})
	return created, err
}

func (s *shared) Delete(ctx context.Context, key string) (found bool, err error) {
	err = s.write(ctx, key, func() {
		_, found = s.data[key]
		delete(s.data, key)
	})
	return found, err
}

func (s *shared) scanning(hold func() error) {
	s.mu.Lock()
	s.onScan = hold
	s.mu.Unlock()
}

func (s *shared) cost(fn func()) (reads int64) {
	before := s.reads.Load() + s.scans.Load()
	fn()
	return s.reads.Load() + s.scans.Load() - before
}

func texts(_ string, raw []byte) (*string, error) { return text(raw) }

func newList(t testing.TB, s store.Store) *List[string] {
	t.Helper()
	l := NewList(s, "k", texts)
	t.Cleanup(l.Close)
	return l
}

// has says that l holds exactly these pairs.
func has(t testing.TB, l *List[string], pairs ...string) {
	t.Helper()
	all, err := l.All(context.Background())
	if err != nil {
		t.Errorf("All: %v", err) // also from goroutines
		return
	}
	var got []string
	for _, key := range slices.Sorted(maps.Keys(all)) {
		got = append(got, key, *all[key])
	}
	if !slices.Equal(got, pairs) {
		t.Errorf("All has %q, want %q", got, pairs)
	}
}

func put(t testing.TB, l *List[string], key, value string) {
	t.Helper()
	if err := l.Put(context.Background(), key, []byte(value), 0); err != nil {
		t.Error(err)
	}
}

func TestList(t *testing.T) {
	t.Run("nothing changed: no store read", func(t *testing.T) {
		s := newShared("k/a", "1", "k/b", "2", "kk/c", "3", "other/d", "4")
		l := newList(t, s)
		has(t, l, "k/a", "1", "k/b", "2")
		if n := s.cost(func() {
			for range 10 {
				has(t, l, "k/a", "1", "k/b", "2")
			}
		}); n != 0 {
			t.Errorf("%d reads", n)
		}
	})
	t.Run("an empty kind is remembered, too", func(t *testing.T) {
		s := newShared()
		l := newList(t, s)
		has(t, l)
		if n := s.cost(func() { has(t, l) }); n != 0 {
			t.Errorf("%d reads", n)
		}
	})
	t.Run("the same map while nothing changed", func(t *testing.T) {
		l := newList(t, newShared("k/a", "1"))
		one, err1 := l.All(t.Context())
		two, err2 := l.All(t.Context())
		if err1 != nil || err2 != nil || one["k/a"] != two["k/a"] {
			t.Error(one, err1, two, err2)
		}
	})
	t.Run("a change is seen by every list of the store at once", func(t *testing.T) {
		s := newShared("k/a", "1")
		l, other := newList(t, s), newList(t, s)
		see := func(pairs ...string) {
			t.Helper()
			has(t, l, pairs...)
			has(t, other, pairs...)
		}
		see("k/a", "1")
		put(t, l, "k/a", "2")
		see("k/a", "2")
		if created, err := l.Create(t.Context(), "k/b", []byte("1"), 0); !created || err != nil {
			t.Error(created, err)
		}
		see("k/a", "2", "k/b", "1")
		if created, err := l.Create(t.Context(), "k/b", []byte("9"), 0); created || err != nil {
			t.Error(created, err)
		}
		see("k/a", "2", "k/b", "1")
		if found, err := other.Delete(t.Context(), "k/a"); !found || err != nil {
			t.Error(found, err)
		}
		see("k/b", "1")
		if found, err := other.Delete(t.Context(), "k/a"); found || err != nil {
			t.Error(found, err)
		}
		see("k/b", "1")
	})
	t.Run("a change of another kind costs nothing", func(t *testing.T) {
		s := newShared("k/a", "1")
		l, other := newList(t, s), NewList(s, "kk", texts)
		t.Cleanup(other.Close)
		has(t, l, "k/a", "1")
		put(t, other, "kk/a", "2")
		if n := s.cost(func() { has(t, l, "k/a", "1") }); n != 0 {
			t.Errorf("%d reads", n)
		}
	})
	t.Run("what was handed out does not change", func(t *testing.T) {
		l := newList(t, newShared("k/a", "1"))
		all, err := l.All(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		put(t, l, "k/b", "2")
		has(t, l, "k/a", "1", "k/b", "2")
		if len(all) != 1 {
			t.Error(all)
		}
	})
	t.Run("more records than a page", func(t *testing.T) {
		for _, n := range []int{999, 1000, 1001, 2500} {
			s := newShared()
			for i := range n {
				s.data["k/"+strconv.Itoa(i)] = "1"
			}
			if all, err := newList(t, s).All(t.Context()); err != nil || len(all) != n {
				t.Errorf("%d records of %d, %v", len(all), n, err)
			}
		}
	})
	t.Run("a key that All would never show is refused before anything is touched", func(t *testing.T) {
		s := newShared()
		l := newList(t, s)
		for _, key := range []string{"", "a", "k", "kk/a", "version/k"} {
			_, createErr := l.Create(t.Context(), key, nil, 0)
			_, deleteErr := l.Delete(t.Context(), key)
			for i, err := range []error{l.Put(t.Context(), key, nil, 0), createErr, deleteErr} {
				if !errors.Is(err, store.ErrKey) {
					t.Errorf("%q, %d: %v", key, i, err)
				}
			}
		}
		if len(s.data) != 0 {
			t.Error(s.data)
		}
	})
	t.Run("after Close it is right, with a look at the store each time", func(t *testing.T) {
		s := newShared("k/a", "1")
		l, other := NewList(s, "k", texts), newList(t, s)
		has(t, l, "k/a", "1")
		l.Close()
		l.Close()
		put(t, other, "k/a", "2")
		has(t, l, "k/a", "2")
		put(t, l, "k/a", "3")
		has(t, l, "k/a", "3")
		has(t, other, "k/a", "3")
	})
}

func TestListFaults(t *testing.T) {
	t.Run("a damaged record is an error and never not there", func(t *testing.T) {
		s := newShared("k/a", "1", "k/b", "2")
		l := newList(t, s)
		has(t, l, "k/a", "1", "k/b", "2")
		put(t, l, "k/a", "broken")
		for range 2 {
			if all, err := l.All(t.Context()); all != nil || err == nil || err.Error() != `the record "k/a" cannot be read: not a text` {
				t.Error(all, err)
			}
		}
		if found, err := l.Delete(t.Context(), "k/a"); !found || err != nil {
			t.Error("it cannot be removed either:", found, err)
		}
		has(t, l, "k/b", "2")
	})
	t.Run("a store that is down is an error, also of what was never loaded", func(t *testing.T) {
		s := newShared("k/a", "1")
		l := newList(t, s)
		s.err = store.ErrUnavailable
		if all, err := l.All(t.Context()); all != nil || !errors.Is(err, store.ErrUnavailable) {
			t.Error(all, err)
		}
		_, createErr := l.Create(t.Context(), "k/a", nil, 0)
		_, deleteErr := l.Delete(t.Context(), "k/a")
		for i, err := range []error{l.Put(t.Context(), "k/a", nil, 0), createErr, deleteErr} {
			if !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%d: %v", i, err)
			}
		}
		s.err = nil
		has(t, l, "k/a", "1")
	})
	t.Run("down after the version was read: nothing half is remembered", func(t *testing.T) {
		s := newShared()
		for i := range 1500 {
			s.data["k/"+strconv.Itoa(i)] = "1"
		}
		l := newList(t, s)
		s.scanning(func() error {
			if s.scans.Load() == 2 {
				return store.ErrUnavailable
			}
			return nil
		})
		if all, err := l.All(t.Context()); all != nil || !errors.Is(err, store.ErrUnavailable) {
			t.Error(len(all), err)
		}
		if all, err := l.All(t.Context()); len(all) != 1500 || err != nil {
			t.Error(len(all), err)
		}
	})
	t.Run("no trust: the version is read each time, the records are not", func(t *testing.T) {
		s := newShared("k/a", "1")
		s.trust.Store(0)
		l := newList(t, s)
		has(t, l, "k/a", "1")
		scans := s.scans.Load()
		for range 5 {
			if n := s.cost(func() { has(t, l, "k/a", "1") }); n != 1 {
				t.Errorf("%d reads, want that of the version", n)
			}
		}
		if s.scans.Load() != scans {
			t.Error("scanned again")
		}
		// Another instance changes it, and no notice comes.
		s.silently("k/a", "2")
		s.silently("version/k", "another")
		has(t, l, "k/a", "2")
	})
	t.Run("a lost notice: the version is read again, the records only if it changed", func(t *testing.T) {
		s := newShared("k/a", "1")
		l := newList(t, s)
		has(t, l, "k/a", "1")
		s.notify("")
		if n := s.cost(func() { has(t, l, "k/a", "1") }); n != 1 {
			t.Errorf("%d reads, want that of the version", n)
		}
		s.silently("k/a", "2")
		s.silently("version/k", "another")
		s.notify("")
		has(t, l, "k/a", "2")
	})
	t.Run("the record of the version is lost, or set back with all others: loaded anew", func(t *testing.T) {
		s := newShared("k/a", "1")
		l := newList(t, s)
		has(t, l, "k/a", "1")
		backup := maps.Clone(s.data)
		put(t, l, "k/a", "2")
		has(t, l, "k/a", "2")
		s.mu.Lock()
		s.data = map[string]string{"k/a": "3"} // emptied, and filled by somebody
		s.mu.Unlock()
		s.notify("")
		has(t, l, "k/a", "3")
		s.mu.Lock()
		s.data = backup
		s.mu.Unlock()
		s.notify("")
		has(t, l, "k/a", "1")
	})
	t.Run("a version that is gone as soon as it is written is a fault of the store", func(t *testing.T) {
		s := newShared("k/a", "1")
		s.onWrite = func(key string) error { s.mu.Lock(); delete(s.data, key); s.mu.Unlock(); return nil }
		if all, err := newList(t, s).All(t.Context()); all != nil || !errors.Is(err, store.ErrUnavailable) {
			t.Error(all, err)
		}
	})
}

// TestListHalfWritten: a change is a record and then a version; whatever comes
// between the two, no acknowledged change lies there unseen.
func TestListHalfWritten(t *testing.T) {
	lost := fmt.Errorf("%w: the answer was lost", store.ErrUnavailable)
	begin := func(t *testing.T) (s *shared, l, other *List[string]) {
		t.Helper()
		s = newShared("k/a", "1")
		l, other = newList(t, s), newList(t, s)
		has(t, other, "k/a", "1")
		return s, l, other
	}
	t.Run("the version could not be written: an error, and doing it again settles it", func(t *testing.T) {
		for name, try := range map[string]struct {
			do  func(context.Context, *List[string]) error
			now []string
		}{
			"Put": {func(ctx context.Context, l *List[string]) error { return l.Put(ctx, "k/b", []byte("2"), 0) }, []string{"k/a", "1", "k/b", "2"}},
			"Create": {func(ctx context.Context, l *List[string]) error {
				_, err := l.Create(ctx, "k/b", []byte("2"), 0)
				return err
			}, []string{"k/a", "1", "k/b", "2"}},
			"Delete": {func(ctx context.Context, l *List[string]) error {
				_, err := l.Delete(ctx, "k/a")
				return err
			}, nil},
		} {
			t.Run(name, func(t *testing.T) {
				s, l, other := begin(t)
				s.onWrite = func(string) error { s.err = store.ErrUnavailable; return nil }
				if err := try.do(t.Context(), l); !errors.Is(err, store.ErrUnavailable) {
					t.Error(err)
				}
				s.onWrite, s.err = nil, nil
				if err := try.do(t.Context(), l); err != nil {
					t.Error(err)
				}
				has(t, other, try.now...)
				has(t, l, try.now...)
			})
		}
	})
	t.Run("an answer got lost: an error, and the change is in force nevertheless", func(t *testing.T) {
		s, l, other := begin(t)
		s.onWrite = func(key string) error {
			if key == "version/k" {
				return nil
			}
			return lost
		}
		if err := l.Put(t.Context(), "k/b", []byte("2"), 0); !errors.Is(err, lost) {
			t.Error(err)
		}
		has(t, other, "k/a", "1", "k/b", "2")
		if found, err := l.Delete(t.Context(), "k/a"); !errors.Is(err, lost) {
			t.Error(found, err)
		}
		has(t, other, "k/b", "2")
		if created, err := l.Create(t.Context(), "k/c", []byte("3"), 0); created || !errors.Is(err, lost) {
			t.Error(created, err)
		}
		has(t, other, "k/b", "2", "k/c", "3")
	})
	t.Run("the caller hangs up between the two", func(t *testing.T) {
		s, l, other := begin(t)
		ctx, hangUp := context.WithCancel(t.Context())
		s.onWrite = func(string) error { hangUp(); return nil }
		if err := l.Put(ctx, "k/b", []byte("2"), 0); err != nil {
			t.Error(err)
		}
		has(t, other, "k/a", "1", "k/b", "2")
	})
	t.Run("a mistake of the caller's touches nothing", func(t *testing.T) {
		s, l, _ := begin(t)
		version := s.data["version/k"]
		s.err = store.ErrValue
		if err := l.Put(t.Context(), "k/b", nil, 0); !errors.Is(err, store.ErrValue) {
			t.Error(err)
		}
		if s.data["version/k"] != version {
			t.Error("a new version of nothing new")
		}
	})
}

func TestListRaces(t *testing.T) {
	for name, change := range map[string]func(s *shared, l *List[string]){
		"here":                              func(_ *shared, l *List[string]) { _ = l.Put(context.Background(), "k/a", []byte("new"), 0) },
		"elsewhere, with its notices later": nil,
		"elsewhere, and all notices are lost": func(s *shared, _ *List[string]) {
			s.silently("k/a", "new")
			s.silently("version/k", "v2")
			s.notify("")
		},
	} {
		t.Run("a change "+name+", while the records are read, is not missed", func(t *testing.T) {
			s := newShared("k/a", "old")
			l, other := newList(t, s), newList(t, s)
			has(t, other, "k/a", "old")
			s.scanning(func() error {
				s.scanning(nil)
				if change != nil {
					change(s, other)
				} else {
					s.silently("k/a", "new")
					s.silently("version/k", "v2")
				}
				return nil
			})
			has(t, l, "k/a", "old") // it asked before the change was told
			s.notify("version/k")
			has(t, l, "k/a", "new")
			if n := s.cost(func() { has(t, l, "k/a", "new") }); n != 0 {
				t.Errorf("%d reads", n)
			}
		})
	}
	t.Run("records newer than the version are loaded once more, never kept as of it", func(t *testing.T) {
		s := newShared("k/a", "1")
		l := newList(t, s)
		has(t, l, "k/a", "1")
		s.silently("version/k", "v2")
		s.notify("version/k")
		s.silently("k/a", "2") // a writer between its record and its version
		has(t, l, "k/a", "2")
		s.silently("k/a", "3")
		s.silently("version/k", "v3")
		s.notify("version/k")
		has(t, l, "k/a", "3")
	})
	t.Run("who asks after a change does not get a load from before it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newShared("k/a", "old")
			l := newList(t, s)
			reading, goOn := make(chan struct{}), make(chan struct{})
			s.scanning(func() error { s.scanning(nil); close(reading); <-goOn; return nil })
			var all sync.WaitGroup
			all.Go(func() { has(t, l, "k/a", "old") })
			<-reading
			put(t, l, "k/a", "new")
			for range 10 {
				all.Go(func() { has(t, l, "k/a", "new") })
			}
			synctest.Wait()
			close(goOn)
			all.Wait()
		})
	})
	t.Run("many who ask at once share one load", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newShared("k/a", "1")
			l := newList(t, s)
			reading, goOn := make(chan struct{}), make(chan struct{})
			s.scanning(func() error { s.scanning(nil); close(reading); <-goOn; return nil })
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() { has(t, l, "k/a", "1") })
			}
			<-reading
			synctest.Wait()
			close(goOn)
			all.Wait()
			if n := s.scans.Load(); n != 1 {
				t.Errorf("%d scans", n)
			}
		})
	})
	t.Run("a store that hangs and fails is waited for once by all", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newShared("k/a", "1")
			l := newList(t, s)
			s.scanning(func() error { time.Sleep(2 * time.Second); return store.ErrUnavailable })
			start := time.Now()
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() {
					if _, err := l.All(t.Context()); !errors.Is(err, store.ErrUnavailable) {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if took := time.Since(start); took != 2*time.Second || s.scans.Load() != 1 {
				t.Errorf("%v and %d scans", took, s.scans.Load())
			}
			s.scanning(nil)
			has(t, l, "k/a", "1") // the failure is not remembered
		})
	})
	t.Run("a caller who hangs up fails alone, loading or waiting", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newShared("k/a", "1")
			l := newList(t, s)
			leader, hangUp := context.WithCancel(t.Context())
			waiter, leave := context.WithCancel(t.Context())
			s.scanning(func() error {
				s.scanning(nil)
				<-leader.Done()
				return fmt.Errorf("%w: %w", store.ErrUnavailable, leader.Err())
			})
			var all sync.WaitGroup
			canceled := func(ctx context.Context) {
				if _, err := l.All(ctx); !errors.Is(err, context.Canceled) || !errors.Is(err, store.ErrUnavailable) {
					t.Error(err)
				}
			}
			all.Go(func() { canceled(leader) })
			synctest.Wait()
			all.Go(func() { canceled(waiter) })
			for range 5 {
				all.Go(func() { has(t, l, "k/a", "1") })
			}
			synctest.Wait()
			leave()
			synctest.Wait()
			hangUp()
			all.Wait()
		})
	})
	t.Run("a decoder that panics leaves nobody waiting", func(t *testing.T) {
		l := NewList(newShared("k/a", "1"), "k", func(string, []byte) (*string, error) { panic("decoder") })
		defer l.Close()
		for range 2 {
			func() {
				defer func() {
					if recover() == nil {
						t.Error("the panic was swallowed")
					}
				}()
				_, _ = l.All(t.Context())
			}()
		}
	})
}

// TestListNeverOlderThanAcknowledged: whoever asks after a Put returned does
// not see less than it wrote, through whichever list of the store.
func TestListNeverOlderThanAcknowledged(t *testing.T) {
	s := newShared("k/a", "0")
	writer := newList(t, s)
	lists := []*List[string]{writer, newList(t, s), newList(t, s)}
	var written atomic.Int64
	var done atomic.Bool
	var all sync.WaitGroup
	for i := range 6 {
		l := lists[i%len(lists)]
		all.Go(func() {
			for !done.Load() {
				least := written.Load()
				records, err := l.All(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if n, _ := strconv.ParseInt(*records["k/a"], 10, 64); n < least {
					t.Errorf("read %d after %d was written", n, least)
					return
				}
			}
		})
	}
	for i := int64(1); i <= 5000; i++ {
		put(t, writer, "k/a", strconv.FormatInt(i, 10))
		written.Store(i)
	}
	done.Store(true)
	all.Wait()
	for _, l := range lists {
		has(t, l, "k/a", "5000")
	}
}

// TestListOnStores: two instances on each kind of store.
func TestListOnStores(t *testing.T) {
	stores := map[string]func(t *testing.T) (one, two store.Store){
		"bolt": func(t *testing.T) (one, two store.Store) {
			s, err := bolt.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), bolt.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return s, s
		},
		"redis": func(t *testing.T) (one, two store.Store) {
			server := storetest.Redis(t)
			var open [2]*redis.Store
			for i := range open {
				s, err := redis.Open(server.URL(), redis.Options{})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = s.Close() })
				open[i] = s
			}
			return open[0], open[1]
		},
	}
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			a, b := open(t)
			one, two := newList(t, a), newList(t, b)
			has(t, one)
			has(t, two)
			put(t, one, "k/a", "1")
			has(t, one, "k/a", "1")
			sees(t, two, map[string]string{"k/a": "1"})
			if created, err := two.Create(t.Context(), "k/b", []byte("2"), 0); !created || err != nil {
				t.Error(created, err)
			}
			has(t, two, "k/a", "1", "k/b", "2")
			sees(t, one, map[string]string{"k/a": "1", "k/b": "2"})
			if found, err := two.Delete(t.Context(), "k/a"); !found || err != nil {
				t.Error(found, err)
			}
			sees(t, one, map[string]string{"k/b": "2"})
			put(t, one, "k/b", "broken")
			deadline := time.Now().Add(10 * time.Second)
			for {
				if _, err := two.All(t.Context()); err != nil {
					if !strings.Contains(err.Error(), `"k/b"`) {
						t.Error(err)
					}
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("a damaged record is not noticed")
				}
				time.Sleep(time.Millisecond)
			}
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := one.All(t.Context()); !errors.Is(err, store.ErrUnavailable) {
				t.Error(err)
			}
		})
	}
}

// sees waits until a list on another instance, which hears of changes a moment
// later, holds exactly want.
func sees(t testing.TB, l *List[string], want map[string]string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		all, err := l.All(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if maps.EqualFunc(all, want, func(have *string, want string) bool { return *have == want }) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not hear of %v", want)
		}
		time.Sleep(time.Millisecond)
	}
}

func BenchmarkAll(b *testing.B) {
	s := newShared()
	for i := range 1000 {
		s.data["k/"+strconv.Itoa(i)] = "1"
	}
	l := newList(b, s)
	b.ReportAllocs()
	for b.Loop() {
		if all, err := l.All(b.Context()); err != nil || len(all) != 1000 {
			b.Fatal(err)
		}
	}
}
