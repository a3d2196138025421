package store

import (
	"math"
	"testing"
	"time"
)

func TestRate(t *testing.T) {
	for _, c := range []struct {
		name    string
		limit   Limit
		cost    int
		ahead   time.Duration
		after   time.Duration
		want    Allowance
		useless bool
	}{
		{name: "zero limit", useless: true},
		{name: "faster than a microsecond", limit: Limit{1, 999}, useless: true},
		{name: "first", limit: Limit{2, time.Second}, cost: 1, after: time.Second, want: Allowance{true, 1, 0, time.Second}},
		{name: "last", limit: Limit{2, time.Second}, cost: 1, ahead: time.Second, after: 2 * time.Second, want: Allowance{true, 0, 0, 2 * time.Second}},
		{name: "one too many", limit: Limit{2, time.Second}, cost: 1, ahead: 1500 * time.Millisecond, after: 1500 * time.Millisecond,
			want: Allowance{false, 0, 500 * time.Millisecond, 1500 * time.Millisecond}},
		{name: "never fits", limit: Limit{2, time.Second}, cost: math.MaxInt, want: Allowance{false, 2, time.Second, 0}},
		{name: "clock set back a year", limit: Limit{2, time.Second}, cost: 1, ahead: 8760 * time.Hour, after: 2 * time.Second,
			want: Allowance{false, 0, time.Second, 2 * time.Second}},
		{name: "clock set forward", limit: Limit{2, time.Second}, cost: 1, ahead: -time.Hour, after: time.Second, want: Allowance{true, 1, 0, time.Second}},
		{name: "given back", limit: Limit{3, time.Second}, cost: -1, ahead: 3 * time.Second, after: 2 * time.Second, want: Allowance{true, 1, 0, 2 * time.Second}},
		{name: "all given back", limit: Limit{3, time.Second}, cost: math.MinInt, ahead: 3 * time.Second, want: Allowance{true, 3, 0, 0}},
		{name: "longest limit", limit: Limit{math.MaxInt, math.MaxInt64}, cost: 1, after: longestWindow * time.Microsecond,
			want: Allowance{true, 0, 0, longestWindow * time.Microsecond}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, ok := NewRate(c.limit, c.cost)
			if ok == c.useless {
				t.Fatalf("NewRate: %v", ok)
			}
			if c.useless {
				return
			}
			after, allowed := r.Charge(c.ahead.Microseconds())
			if after != c.after.Microseconds() {
				t.Errorf("after: %v, want %v", time.Duration(after)*time.Microsecond, c.after)
			}
			if got := r.Allowance(after, allowed); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func TestChecks(t *testing.T) {
	for key, ok := range map[string]bool{"": false, "k": false, "/k": false, "k/": true, "k/\x00": true} {
		if err := CheckKey(key); (err == nil) != ok {
			t.Errorf("CheckKey(%q): %v", key, err)
		}
	}
	if CheckValue(make([]byte, MaxValue)) != nil || CheckValue(make([]byte, MaxValue+1)) == nil {
		t.Error("CheckValue")
	}
	if CheckTTL(0) != nil || CheckTTL(-1) == nil {
		t.Error("CheckTTL")
	}
}
