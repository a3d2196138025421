package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

// heard collects the keys that a watcher is told of.
type heard struct {
	mu   sync.Mutex
	keys []string
}

func (h *heard) hear(key string) {
	h.mu.Lock()
	h.keys = append(h.keys, key)
	h.mu.Unlock()
}

func (h *heard) has(key string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.keys, key)
}

func watch(t *testing.T, s store.Store) {
	var one, two heard
	defer s.Watch(one.hear)()
	defer s.Watch(two.hear)()
	ctx := t.Context()
	put(t, s, "k/swap", "v", 0)
	put(t, s, "k/take", "v", 0)
	put(t, s, "k/delete", "v", 0)
	for _, c := range []struct {
		key string
		do  func() (bool, error)
	}{
		{"k/put\x00\xff{}", func() (bool, error) { return true, s.Put(ctx, "k/put\x00\xff{}", nil, time.Hour) }},
		{"k/create", func() (bool, error) { return s.Create(ctx, "k/create", nil, 0) }},
		{"k/swap", func() (bool, error) { return s.Swap(ctx, "k/swap", []byte("v"), []byte("w"), 0) }},
		{"k/take", func() (bool, error) { _, ok, err := s.Take(ctx, "k/take"); return ok, err }},
		{"k/delete", func() (bool, error) { return s.Delete(ctx, "k/delete") }},
	} {
		one.mu.Lock()
		one.keys = nil
		one.mu.Unlock()
		if ok, err := c.do(); err != nil || !ok {
			t.Fatalf("%q: %v, %v", c.key, ok, err)
		}
		if !one.has(c.key) || !two.has(c.key) {
			t.Errorf("%q: the watchers were not told before the call returned", c.key)
		}
	}
}

func watchNothing(t *testing.T, s store.Store) {
	put(t, s, "k/a", "v", 0)
	time.Sleep(200 * time.Millisecond) // the echo of the Put on stores that have one
	var h heard
	defer s.Watch(h.hear)()
	ctx := t.Context()
	_, _ = s.Create(ctx, "k/a", nil, 0)
	_, _ = s.Swap(ctx, "k/a", []byte("other"), nil, 0)
	_, _, _ = s.Take(ctx, "k/none")
	_, _ = s.Delete(ctx, "k/none")
	_, _, _ = s.Get(ctx, "k/a")
	_, _ = s.Scan(ctx, "k/", "", 1)
	_, _ = s.Charge(ctx, "k/a", store.Limit{Burst: 1, Every: time.Hour}, 1)
	time.Sleep(50 * time.Millisecond)
	if h.has("k/a") || h.has("k/none") {
		t.Errorf("told of %q", h.keys)
	}
}

func watchStops(t *testing.T, s store.Store) {
	var h heard
	stop := s.Watch(h.hear)
	stop()
	stop()
	put(t, s, "k/a", "v", 0)
	if h.has("k/a") {
		t.Error("told after stop")
	}
	var wg sync.WaitGroup
	for range 8 { // watchers come and go while changes happen
		wg.Go(func() {
			for range 20 {
				stop := s.Watch(h.hear)
				_ = s.Put(t.Context(), "k/b", nil, 0)
				stop()
			}
		})
	}
	wg.Wait()
}

func endedContext(t *testing.T, s store.Store) {
	put(t, s, "k/a", "v", 0)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancelLate := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancelLate()
	for _, c := range []struct {
		ctx  context.Context
		want error
	}{{cancelled, context.Canceled}, {late, context.DeadlineExceeded}} {
		errs := everyOp(c.ctx, s, "k/a")
		_, errs["Scan"] = s.Scan(c.ctx, "k/", "", 1)
		_, errs["Count"] = s.Count(c.ctx, "k")
		for op, err := range errs {
			if !errors.Is(err, c.want) || !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s: %v; want %v and ErrUnavailable", op, err, c.want)
			}
		}
	}
	wantValue(t, s, "k/a", "v")
	if a := mustCharge(t, s, "k/a", store.Limit{Burst: 3, Every: time.Minute}, 0); a.Remaining != 3 {
		t.Errorf("an ended context charged: %+v", a)
	}
}

func afterClose(t *testing.T, s store.Store) {
	stop := s.Watch(func(string) {})
	put(t, s, "k/a", "v", 0)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	errs := everyOp(t.Context(), s, "k/a")
	_, errs["Scan"] = s.Scan(t.Context(), "k/", "", 1)
	_, errs["Count"] = s.Count(t.Context(), "k")
	for op, err := range errs {
		if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v; want ErrUnavailable", op, err)
		}
	}
	if d := s.Trust(); d != 0 {
		t.Errorf("Trust: %v", d)
	}
	s.Watch(func(string) {})()
	stop()
}
