package near

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

// scripted is a store whose reads the test can hold up and whose notices it
// sends. Only what a cache uses is there; the rest would panic.
type scripted struct {
	store.Store
	mu     sync.Mutex
	data   map[string]string
	err    error
	notify func(string)
	trust  atomic.Int64
	reads  atomic.Int64
	// hold, if set, is called with the value already read: what the test does
	// in it happens between the read and its arrival.
	hold func(ctx context.Context, key string) error
}

func newScripted(pairs ...string) *scripted {
	s := &scripted{data: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		s.data[pairs[i]] = pairs[i+1]
	}
	s.trust.Store(math.MaxInt64)
	return s
}

func (s *scripted) Get(ctx context.Context, key string) ([]byte, bool, error) {
	s.reads.Add(1)
	s.mu.Lock()
	v, found := s.data[key]
	err, hold := s.err, s.hold
	s.mu.Unlock()
	if hold != nil {
		if err := hold(ctx, key); err != nil {
			return nil, false, err
		}
	}
	return []byte(v), found, err
}

func (s *scripted) Watch(fn func(string)) func() {
	s.notify = fn
	return func() { s.notify = func(string) {} }
}

func (s *scripted) Trust() time.Duration { return time.Duration(s.trust.Load()) }

// set changes a value as a store does: first the value, then the notice.
func (s *scripted) set(key, value string) {
	s.silently(key, value)
	s.notify(key)
}

func (s *scripted) silently(key, value string) {
	s.mu.Lock()
	s.data[key] = value
	s.mu.Unlock()
}

func (s *scripted) onRead(hold func(ctx context.Context, key string) error) {
	s.mu.Lock()
	s.hold = hold
	s.mu.Unlock()
}

func text(raw []byte) (*string, error) {
	if string(raw) == "broken" {
		return nil, errors.New("not a text")
	}
	s := string(raw)
	return &s, nil
}

func want(t *testing.T, c *Cache[string], key, value string) {
	t.Helper()
	v, found, err := c.Get(t.Context(), key)
	if err != nil || !found || *v != value {
		t.Errorf("Get(%q) = %v, %v, %v; want %q", key, v, found, err, value) // also from goroutines
	}
}

func TestRemembering(t *testing.T) {
	t.Run("a second read costs no store read", func(t *testing.T) {
		s := newScripted("k/a", "1")
		c := New(s, 10, text)
		defer c.Close()
		if _, found := c.Hit([]byte("k/a")); found {
			t.Fatal("a hit before anything was read")
		}
		want(t, c, "k/a", "1")
		want(t, c, "k/a", "1")
		if v, found := c.Hit([]byte("k/a")); !found || *v != "1" {
			t.Fatal("Hit does not see what Get remembered")
		}
		if n := s.reads.Load(); n != 1 {
			t.Fatalf("%d reads, want 1", n)
		}
	})
	t.Run("a change is seen by the very next read", func(t *testing.T) {
		s := newScripted("k/a", "1")
		c := New(s, 10, text)
		defer c.Close()
		want(t, c, "k/a", "1")
		s.set("k/a", "2")
		want(t, c, "k/a", "2")
	})
	t.Run("a lost notice forgets everything", func(t *testing.T) {
		s := newScripted("k/a", "1", "k/b", "1")
		c := New(s, 5000, text)
		defer c.Close()
		want(t, c, "k/a", "1")
		want(t, c, "k/b", "1")
		s.silently("k/a", "2")
		s.silently("k/b", "2")
		s.notify("")
		want(t, c, "k/a", "2")
		want(t, c, "k/b", "2")
	})
	t.Run("not found is not remembered", func(t *testing.T) {
		s := newScripted()
		c := New(s, 10, text)
		defer c.Close()
		if _, found, err := c.Get(t.Context(), "k/a"); found || err != nil {
			t.Fatal(found, err)
		}
		s.silently("k/a", "1")
		want(t, c, "k/a", "1")
	})
	t.Run("a fault is an error and not remembered", func(t *testing.T) {
		s := newScripted("k/a", "1")
		s.err = store.ErrUnavailable
		c := New(s, 10, text)
		defer c.Close()
		if _, found, err := c.Get(t.Context(), "k/a"); found || !errors.Is(err, store.ErrUnavailable) {
			t.Fatal(found, err)
		}
		s.err = nil
		want(t, c, "k/a", "1")
	})
	t.Run("a record that cannot be read names its key", func(t *testing.T) {
		c := New(newScripted("k/a", "broken"), 10, text)
		defer c.Close()
		_, found, err := c.Get(t.Context(), "k/a")
		if found || err == nil || err.Error() != `the record "k/a" cannot be read: not a text` {
			t.Fatal(found, err)
		}
	})
	t.Run("after Close it reads through", func(t *testing.T) {
		s := newScripted("k/a", "1")
		c := New(s, 10, text)
		want(t, c, "k/a", "1")
		c.Close()
		c.Close()
		s.silently("k/a", "2")
		want(t, c, "k/a", "2")
		if _, found := c.Hit([]byte("k/a")); found {
			t.Fatal("a hit after Close")
		}
	})
}

func TestTrust(t *testing.T) {
	clocked := func(s *scripted) (*Cache[string], *time.Duration) {
		c, now := New(s, 10, text), new(time.Duration)
		c.now = func() time.Duration { return *now }
		return c, now
	}
	t.Run("a copy is believed as long as the store says", func(t *testing.T) {
		s := newScripted("k/a", "1")
		s.trust.Store(int64(10 * time.Second))
		c, now := clocked(s)
		want(t, c, "k/a", "1")
		s.silently("k/a", "2")
		*now = 10 * time.Second
		want(t, c, "k/a", "1")
		*now++
		want(t, c, "k/a", "2")
	})
	t.Run("the age counts from before the read", func(t *testing.T) {
		s := newScripted("k/a", "1")
		s.trust.Store(int64(10 * time.Second))
		c, now := clocked(s)
		s.onRead(func(context.Context, string) error { *now += 9 * time.Second; return nil })
		want(t, c, "k/a", "1")
		s.onRead(nil)
		s.silently("k/a", "2")
		*now += 2 * time.Second
		want(t, c, "k/a", "2")
	})
	t.Run("no trust now: neither used nor remembered", func(t *testing.T) {
		s := newScripted("k/a", "1")
		c, _ := clocked(s)
		want(t, c, "k/a", "1")
		s.trust.Store(0)
		s.silently("k/a", "2")
		want(t, c, "k/a", "2")
		s.silently("k/a", "3")
		want(t, c, "k/a", "3")
		if n := s.reads.Load(); n != 3 {
			t.Fatalf("%d reads, want 3", n)
		}
	})
	t.Run("trust lost during the read: not remembered", func(t *testing.T) {
		s := newScripted("k/a", "1")
		c, _ := clocked(s)
		s.onRead(func(context.Context, string) error { s.trust.Store(0); return nil })
		want(t, c, "k/a", "1")
		s.onRead(nil)
		s.trust.Store(int64(time.Hour))
		s.silently("k/a", "2")
		want(t, c, "k/a", "2")
	})
	t.Run("less trust later ends what was read under more", func(t *testing.T) {
		s := newScripted("k/a", "1")
		c, now := clocked(s)
		want(t, c, "k/a", "1")
		s.trust.Store(int64(time.Second))
		s.silently("k/a", "2")
		*now = time.Minute
		want(t, c, "k/a", "2")
	})
	t.Run("more trust later does not stretch what was read under less", func(t *testing.T) {
		s := newScripted("k/a", "1")
		s.trust.Store(int64(time.Second))
		c, now := clocked(s)
		want(t, c, "k/a", "1")
		s.trust.Store(int64(time.Hour))
		s.silently("k/a", "2")
		*now = time.Minute
		want(t, c, "k/a", "2")
	})
}

func TestRaces(t *testing.T) {
	for name, notice := range map[string]string{"of the key": "k/a", "of lost notices": ""} {
		t.Run("a notice "+name+" during a read: its result is not remembered", func(t *testing.T) {
			s := newScripted("k/a", "old")
			c := New(s, 10, text)
			defer c.Close()
			s.onRead(func(context.Context, string) error {
				s.onRead(nil)
				s.silently("k/a", "new")
				s.notify(notice)
				return nil
			})
			want(t, c, "k/a", "old") // it asked before the change was told
			want(t, c, "k/a", "new")
		})
	}
	t.Run("who asks after a change does not join a read from before it", func(t *testing.T) {
		s := newScripted("k/a", "old")
		c := New(s, 10, text)
		defer c.Close()
		reading, goOn := make(chan struct{}), make(chan struct{})
		s.onRead(func(context.Context, string) error { close(reading); <-goOn; return nil })
		var early sync.WaitGroup
		early.Go(func() { want(t, c, "k/a", "old") })
		<-reading
		s.onRead(nil)
		s.set("k/a", "new")
		want(t, c, "k/a", "new") // while the old read is still under way
		close(goOn)
		early.Wait()
		want(t, c, "k/a", "new") // and it has not overwritten the newer copy
	})
	t.Run("many who miss at once share one read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newScripted("k/a", "1")
			c := New(s, 10, text)
			defer c.Close()
			reading, goOn := make(chan struct{}), make(chan struct{})
			s.onRead(func(context.Context, string) error { close(reading); <-goOn; return nil })
			var all sync.WaitGroup
			all.Go(func() { want(t, c, "k/a", "1") })
			<-reading
			for range 20 {
				all.Go(func() { want(t, c, "k/a", "1") })
			}
			synctest.Wait() // all of them wait now
			close(goOn)
			all.Wait()
			if n := s.reads.Load(); n != 1 {
				t.Fatalf("%d reads, want 1", n)
			}
		})
	})
	t.Run("a caller who hangs up does not fail those who wait with it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newScripted("k/a", "1")
			c := New(s, 10, text)
			defer c.Close()
			reading := make(chan struct{})
			s.onRead(func(ctx context.Context, _ string) error {
				close(reading)
				<-ctx.Done()
				s.onRead(nil)
				return fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
			})
			ctx, hangUp := context.WithCancel(t.Context())
			var all sync.WaitGroup
			all.Go(func() {
				if _, _, err := c.Get(ctx, "k/a"); !errors.Is(err, context.Canceled) {
					t.Errorf("the one who hung up got %v", err)
				}
			})
			<-reading
			for range 20 {
				all.Go(func() { want(t, c, "k/a", "1") })
			}
			synctest.Wait() // all of them wait now
			hangUp()
			all.Wait()
		})
	})
	t.Run("one who waits may hang up alone", func(t *testing.T) {
		s := newScripted("k/a", "1")
		c := New(s, 10, text)
		defer c.Close()
		reading, goOn := make(chan struct{}), make(chan struct{})
		s.onRead(func(context.Context, string) error { close(reading); <-goOn; return nil })
		var leader sync.WaitGroup
		leader.Go(func() { want(t, c, "k/a", "1") })
		<-reading
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := c.Get(ctx, "k/a"); !errors.Is(err, context.Canceled) || !errors.Is(err, store.ErrUnavailable) {
			t.Fatal(err)
		}
		close(goOn)
		leader.Wait()
	})
	t.Run("a decoder that panics for one does not answer for another", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newScripted("k/a", "1")
			panics := true
			c := New(s, 10, func(raw []byte) (*string, error) {
				if panics {
					panics = false
					panic("decoder")
				}
				return text(raw)
			})
			defer c.Close()
			goOn := make(chan struct{})
			s.onRead(func(context.Context, string) error { <-goOn; return nil })
			var all sync.WaitGroup
			all.Go(func() {
				defer func() { _ = recover() }()
				_, _, _ = c.Get(t.Context(), "k/a")
			})
			synctest.Wait()
			all.Go(func() { want(t, c, "k/a", "1") })
			synctest.Wait()
			close(goOn)
			all.Wait()
		})
	})
	t.Run("a decoder that panics leaves nobody waiting", func(t *testing.T) {
		s := newScripted("k/a", "1")
		c := New(s, 10, func([]byte) (*string, error) { panic("decoder") })
		defer c.Close()
		for range 2 {
			func() {
				defer func() {
					if recover() == nil {
						t.Error("the panic was swallowed")
					}
				}()
				_, _, _ = c.Get(t.Context(), "k/a")
			}()
		}
	})
}

// TestNeverOlderThanAcknowledged writes ever larger numbers while others read:
// a read that begins after a write returned must not see less than it wrote.
func TestNeverOlderThanAcknowledged(t *testing.T) {
	s := newScripted("k/a", "0", "k/b", "0")
	c := New(s, 1, text) // the two keys evict each other all the time
	defer c.Close()
	var written atomic.Int64
	var done atomic.Bool
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for !done.Load() {
				least := written.Load()
				v, found, err := c.Get(t.Context(), "k/a")
				if err != nil || !found {
					t.Error(found, err)
					return
				}
				if n, _ := strconv.ParseInt(*v, 10, 64); n < least {
					t.Errorf("read %d after %d was written", n, least)
					return
				}
				_, _, _ = c.Get(t.Context(), "k/b")
			}
		})
	}
	for i := int64(1); i <= 20000; i++ {
		s.set("k/a", strconv.FormatInt(i, 10))
		written.Store(i)
		if i%1000 == 0 {
			s.notify("")
		}
	}
	done.Store(true)
	all.Wait()
	want(t, c, "k/a", "20000")
}

func TestBound(t *testing.T) {
	const size = 1000
	s := newScripted()
	for i := range 10 * size {
		s.data["k/"+strconv.Itoa(i)] = "1"
	}
	c := New(s, size, text)
	defer c.Close()
	for i := range 10 * size {
		want(t, c, "k/"+strconv.Itoa(i), "1")
		want(t, c, "k/0", "1") // hot: asked for all the time
	}
	kept := 0
	for i := range c.shards {
		kept += len(c.shards[i].copies)
		if len(c.shards[i].loads) != 0 {
			t.Error("reads left behind")
		}
	}
	if kept > size || kept < size/2 {
		t.Fatalf("%d copies kept of at most %d", kept, size)
	}
	// The hot key was evicted now and then, but not as if nobody wanted it.
	if again := s.reads.Load() - 10*size; again > size {
		t.Errorf("the hot key was read %d times", again)
	}
}

func BenchmarkHit(b *testing.B) {
	s := newScripted("session/abc", "1")
	c := New(s, 1000, text)
	defer c.Close()
	if _, _, err := c.Get(b.Context(), "session/abc"); err != nil {
		b.Fatal(err)
	}
	key := []byte("session/abc")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, found := c.Hit(key); !found {
				b.Fatal("a miss")
			}
		}
	})
}
