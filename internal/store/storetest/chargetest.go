package storetest

import (
	"math"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

func mustCharge(t *testing.T, s store.Store, key string, l store.Limit, cost int) store.Allowance {
	t.Helper()
	a, err := s.Charge(t.Context(), key, l, cost)
	if err != nil {
		t.Fatalf("Charge %s: %v", key, err)
	}
	return a
}

func near(got, want time.Duration) bool {
	return got <= want && got > want-5*time.Second
}

func charge(t *testing.T, s store.Store) {
	l := store.Limit{Burst: 3, Every: time.Minute}
	for i := range 3 {
		a := mustCharge(t, s, "guess/a", l, 1)
		if !a.Allowed || a.Remaining != 2-i || a.Retry != 0 || !near(a.Reset, time.Duration(i+1)*time.Minute) {
			t.Fatalf("charge %d: %+v", i, a)
		}
	}
	for range 3 { // refused, it takes nothing: the wait does not grow
		a := mustCharge(t, s, "guess/a", l, 1)
		if a.Allowed || a.Remaining != 0 || !near(a.Retry, time.Minute) || !near(a.Reset, 3*time.Minute) {
			t.Fatalf("refused: %+v", a)
		}
	}
	if a := mustCharge(t, s, "guess/a", l, 2); a.Allowed || !near(a.Retry, 2*time.Minute) {
		t.Fatalf("refused cost of 2: %+v", a)
	}
	if a := mustCharge(t, s, "guess/b", l, 3); !a.Allowed || a.Remaining != 0 {
		t.Fatalf("another key, the whole burst: %+v", a)
	}
	fast := store.Limit{Burst: 2, Every: 150 * time.Millisecond}
	mustCharge(t, s, "guess/c", fast, 2)
	a := mustCharge(t, s, "guess/c", fast, 1)
	if a.Allowed || a.Retry <= 0 || a.Retry > fast.Every {
		t.Fatalf("at once: %+v", a)
	}
	time.Sleep(a.Retry + 5*time.Millisecond)
	if a := mustCharge(t, s, "guess/c", fast, 1); !a.Allowed {
		t.Fatalf("after the wait it asked for: %+v", a)
	}
}

func chargeLooks(t *testing.T, s store.Store) {
	l := store.Limit{Burst: 2, Every: time.Minute}
	for range 3 {
		if a := mustCharge(t, s, "guess/a", l, 0); !a.Allowed || a.Remaining != 2 || a.Reset != 0 || a.Retry != 0 {
			t.Fatalf("untouched: %+v", a)
		}
	}
	mustCharge(t, s, "guess/a", l, 2)
	for range 3 {
		if a := mustCharge(t, s, "guess/a", l, 0); a.Allowed || a.Remaining != 0 || !near(a.Retry, time.Minute) || !near(a.Reset, 2*time.Minute) {
			t.Fatalf("used up: %+v", a)
		}
	}
}

func chargeGivesBack(t *testing.T, s store.Store) {
	l := store.Limit{Burst: 3, Every: time.Minute}
	if a := mustCharge(t, s, "guess/a", l, -5); !a.Allowed || a.Remaining != 3 || a.Reset != 0 {
		t.Fatalf("giving back what was not taken: %+v", a)
	}
	if a := mustCharge(t, s, "guess/a", l, 4); a.Allowed || a.Remaining != 3 || a.Retry <= 0 {
		t.Fatalf("beyond the burst: %+v", a)
	}
	mustCharge(t, s, "guess/a", l, 3)
	if a := mustCharge(t, s, "guess/a", l, -1); !a.Allowed || a.Remaining != 1 || !near(a.Reset, 2*time.Minute) {
		t.Fatalf("one back: %+v", a)
	}
	if a := mustCharge(t, s, "guess/a", l, 1); !a.Allowed || a.Remaining != 0 {
		t.Fatalf("taken again: %+v", a)
	}
	if a := mustCharge(t, s, "guess/a", l, math.MinInt); !a.Allowed || a.Remaining != 3 || a.Reset != 0 {
		t.Fatalf("all back: %+v", a)
	}
}

func chargeUseless(t *testing.T, s store.Store) {
	for _, l := range []store.Limit{{}, {Burst: 3}, {Every: time.Minute}, {Burst: -1, Every: time.Minute}, {Burst: 1, Every: -1}, {Burst: 1, Every: 1}} {
		for _, cost := range []int{-1, 0, 1, 5} {
			if a := mustCharge(t, s, "guess/a", l, cost); a != (store.Allowance{}) {
				t.Errorf("%+v, cost %d: %+v", l, cost, a)
			}
		}
	}
	l := store.Limit{Burst: 3, Every: time.Minute}
	if a := mustCharge(t, s, "guess/b", l, math.MaxInt); a.Allowed || a.Retry <= 0 {
		t.Errorf("enormous cost: %+v", a)
	}
	huge := store.Limit{Burst: math.MaxInt, Every: 1000 * time.Hour}
	if a := mustCharge(t, s, "guess/c", huge, 1); !a.Allowed || a.Remaining <= 0 || a.Reset <= 0 {
		t.Errorf("enormous limit: %+v", a)
	}
	if a := mustCharge(t, s, "guess/b", l, 3); !a.Allowed {
		t.Errorf("after a refused enormous cost: %+v", a)
	}
}

func chargeSpace(t *testing.T, s store.Store) {
	l := store.Limit{Burst: 1, Every: time.Hour}
	mustCharge(t, s, "guess/a", l, 1)
	wantNone(t, s, "guess/a")
	if got := scan(t, s, "guess/", "", 10); len(got) != 0 {
		t.Errorf("scan sees charges: %q", got)
	}
	if n, err := s.Count(t.Context(), "guess"); err != nil || n != 0 {
		t.Errorf("count sees charges: %d, %v", n, err)
	}
	put(t, s, "guess/a", "value", 0)
	if _, err := s.Delete(t.Context(), "guess/a"); err != nil {
		t.Fatal(err)
	}
	if a := mustCharge(t, s, "guess/a", l, 1); a.Allowed {
		t.Errorf("a value of the same key undid the charge: %+v", a)
	}
}
