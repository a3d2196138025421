package storetest

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

// together runs fn n times at once.
func together(n int, fn func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() { <-start; fn(i) })
	}
	close(start)
	wg.Wait()
}

func createRace(t *testing.T, s store.Store) {
	for round := range 5 {
		key := fmt.Sprintf("k/%d", round)
		var won atomic.Int32
		var winner atomic.Value
		together(32, func(i int) {
			ok, err := s.Create(t.Context(), key, []byte(strconv.Itoa(i)), time.Hour)
			if err != nil {
				t.Error(err)
			}
			if ok {
				won.Add(1)
				winner.Store(strconv.Itoa(i))
			}
		})
		if won.Load() != 1 {
			t.Fatalf("%d winners", won.Load())
		}
		wantValue(t, s, key, winner.Load().(string))
	}
}

func takeRace(t *testing.T, s store.Store) {
	for round := range 5 {
		key := fmt.Sprintf("k/%d", round)
		put(t, s, key, "v", time.Hour)
		var got atomic.Int32
		together(32, func(int) {
			v, ok, err := s.Take(t.Context(), key)
			if err != nil || ok && string(v) != "v" {
				t.Errorf("%q, %v", v, err)
			}
			if ok {
				got.Add(1)
			}
		})
		if got.Load() != 1 {
			t.Fatalf("%d takers", got.Load())
		}
	}
}

func deleteRace(t *testing.T, s store.Store) {
	put(t, s, "k/a", "v", 0)
	var got atomic.Int32
	together(32, func(int) {
		ok, err := s.Delete(t.Context(), "k/a")
		if err != nil {
			t.Error(err)
		}
		if ok {
			got.Add(1)
		}
	})
	if got.Load() != 1 {
		t.Fatalf("%d deleters found it", got.Load())
	}
}

func swapRace(t *testing.T, s store.Store) {
	const workers, each = 8, 15
	put(t, s, "k/counter", "0", 0)
	together(workers, func(int) {
		for range each {
			for {
				old, _, err := s.Get(t.Context(), "k/counter")
				if err != nil {
					t.Error(err)
					return
				}
				n, _ := strconv.Atoi(string(old))
				ok, err := s.Swap(t.Context(), "k/counter", old, []byte(strconv.Itoa(n+1)), time.Hour)
				if err != nil {
					t.Error(err)
					return
				}
				if ok {
					break
				}
			}
		}
	})
	wantValue(t, s, "k/counter", strconv.Itoa(workers*each))
}

func chargeRace(t *testing.T, s store.Store) {
	for _, c := range []struct{ burst, cost, callers, want int }{
		{50, 1, 200, 50}, {50, 3, 200, 16}, {1, 1, 200, 1},
	} {
		key := fmt.Sprintf("guess/%d-%d", c.burst, c.cost)
		var allowed atomic.Int32
		together(c.callers, func(int) {
			a, err := s.Charge(t.Context(), key, store.Limit{Burst: c.burst, Every: time.Hour}, c.cost)
			if err != nil {
				t.Error(err)
			}
			if a.Allowed {
				allowed.Add(1)
			}
		})
		if int(allowed.Load()) != c.want {
			t.Errorf("%+v: %d were allowed", c, allowed.Load())
		}
	}
}
