package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

// shortTTL is long enough to be seen alive on a busy machine.
const shortTTL = 300 * time.Millisecond

func expiry(t *testing.T, s store.Store) {
	start := time.Now()
	put(t, s, "k/short", "v", shortTTL)
	put(t, s, "k/long", "v", time.Hour)
	put(t, s, "k/ever", "v", 0)
	put(t, s, "k/tiny", "v", 1) // rounded up to a millisecond
	if v, found, err := s.Get(t.Context(), "k/short"); err != nil || !found && time.Since(start) < shortTTL {
		t.Fatalf("gone too soon: %q, %v, %v", v, found, err)
	}
	list, err := s.Scan(t.Context(), "k/", "", 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		left := time.Until(e.Expires)
		switch {
		case e.Key == "k/ever" && !e.Expires.IsZero(),
			e.Key == "k/short" && (left > shortTTL || left < shortTTL-time.Since(start)-100*time.Millisecond),
			e.Key == "k/long" && (left > time.Hour+time.Second || left < 59*time.Minute):
			t.Errorf("%s expires in %v", e.Key, left)
		}
	}
	time.Sleep(shortTTL + 30*time.Millisecond - time.Since(start))
	wantNone(t, s, "k/short")
	wantNone(t, s, "k/tiny")
	if got := scan(t, s, "k/", "", 10); !slices.Equal(got, []string{"k/ever", "k/long"}) {
		t.Errorf("scan: %q", got)
	}
}

func expiredForWriters(t *testing.T, s store.Store) {
	for _, k := range []string{"k/create", "k/swap", "k/take", "k/delete"} {
		put(t, s, k, "old", 20*time.Millisecond)
	}
	time.Sleep(60 * time.Millisecond)
	if ok, err := s.Create(t.Context(), "k/create", []byte("new"), 0); err != nil || !ok {
		t.Errorf("Create over an expired one: %v, %v", ok, err)
	}
	if ok, err := s.Swap(t.Context(), "k/swap", []byte("old"), []byte("new"), 0); err != nil || ok {
		t.Errorf("Swap of an expired one: %v, %v", ok, err)
	}
	if v, ok, err := s.Take(t.Context(), "k/take"); err != nil || ok || v != nil {
		t.Errorf("Take of an expired one: %q, %v, %v", v, ok, err)
	}
	if ok, err := s.Delete(t.Context(), "k/delete"); err != nil || ok {
		t.Errorf("Delete of an expired one: %v, %v", ok, err)
	}
	wantValue(t, s, "k/create", "new")
}

func ttlAnew(t *testing.T, s store.Store) {
	put(t, s, "k/longer", "v", shortTTL)
	put(t, s, "k/longer", "v", 0)
	put(t, s, "k/swapped", "v", shortTTL)
	if ok, err := s.Swap(t.Context(), "k/swapped", []byte("v"), []byte("w"), time.Hour); err != nil || !ok {
		t.Fatalf("Swap: %v, %v", ok, err)
	}
	put(t, s, "k/shorter", "v", 0)
	put(t, s, "k/shorter", "v", 20*time.Millisecond)
	time.Sleep(shortTTL + 30*time.Millisecond)
	wantValue(t, s, "k/longer", "v")
	wantValue(t, s, "k/swapped", "w")
	wantNone(t, s, "k/shorter")
	if n, err := s.Count(t.Context(), "k"); err != nil || n < 2 || n > 3 {
		t.Errorf("Count: %d, %v", n, err)
	}
}

func scanOrder(t *testing.T, s store.Store) {
	var want []string
	for _, tail := range []string{"", "a", "a\x00", "aa", "ab", "b", "B", "\x00", "\xff", "\xffa", "10", "9", "é"} {
		want = append(want, "k/"+tail)
		put(t, s, "k/"+tail, tail, 0)
	}
	slices.Sort(want)
	if got := scan(t, s, "k/", "", 100); !slices.Equal(got, want) {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
	for i, after := range want {
		if got := scan(t, s, "k/", after, 100); !slices.Equal(got, want[i+1:]) {
			t.Errorf("after %q: %q", after, got)
		}
		if got := scan(t, s, "k/", after+"\x00", 100); i+1 < len(want) && want[i+1] != after+"\x00" && !slices.Equal(got, want[i+1:]) {
			t.Errorf("after %q and NUL: %q", after, got)
		}
	}
	list, err := s.Scan(t.Context(), "k/", "", 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if string(e.Value) != strings.TrimPrefix(e.Key, "k/") || !e.Expires.IsZero() {
			t.Errorf("entry %+v", e)
		}
	}
}

func scanPages(t *testing.T, s store.Store) {
	var want []string
	var wg sync.WaitGroup
	for i := range 250 {
		key := fmt.Sprintf("k/%03d", i)
		want = append(want, key)
		wg.Go(func() {
			if err := s.Put(t.Context(), key, []byte("v"), 0); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, limit := range []int{1, 7, 50, 125, 249, 250, 251, 5000} {
		var got []string
		after := ""
		for {
			page := scan(t, s, "k/", after, limit)
			got = append(got, page...)
			if len(page) < limit {
				break
			}
			after = page[len(page)-1]
		}
		if !slices.Equal(got, want) {
			t.Errorf("by pages of %d: %d keys", limit, len(got))
		}
	}
	for _, limit := range []int{0, -1} {
		if got := scan(t, s, "k/", "", limit); len(got) != 0 {
			t.Errorf("limit %d: %q", limit, got)
		}
	}
}

func scanPrefix(t *testing.T, s store.Store) {
	for _, k := range []string{"a/x", "k/a", "k/ab", "k/b", "k/\xff\xff", "k/\xff\xffz", "kk/a", "k0/a", "l/a", "K/a"} {
		put(t, s, k, "v", 0)
	}
	for _, c := range []struct {
		prefix, after string
		want          []string
	}{
		{"k/", "", []string{"k/a", "k/ab", "k/b", "k/\xff\xff", "k/\xff\xffz"}},
		{"k/a", "", []string{"k/a", "k/ab"}},
		{"k/a", "k/a", []string{"k/ab"}},
		{"k/a", "a", []string{"k/a", "k/ab"}}, // before the prefix
		{"k/a", "z", nil},                     // past it
		{"k/\xff\xff", "", []string{"k/\xff\xff", "k/\xff\xffz"}},
		{"k/nothing", "", nil},
		{"kk/", "", []string{"kk/a"}},
		{"none/", "", nil},
	} {
		if got := scan(t, s, c.prefix, c.after, 100); !slices.Equal(got, c.want) && len(got)+len(c.want) > 0 {
			t.Errorf("prefix %q after %q: %q, want %q", c.prefix, c.after, got, c.want)
		}
	}
}

// scanUnderWrites keeps keys that nobody touches among ones that come and go:
// a paged scan must show each of them once.
func scanUnderWrites(t *testing.T, s store.Store) {
	var fixed []string
	for i := range 40 {
		k := fmt.Sprintf("k/%02d", i)
		fixed = append(fixed, k)
		put(t, s, k, "v", 0)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(w)))
			for ctx.Err() == nil {
				k := fmt.Sprintf("k/%02d-%d", rnd.IntN(40), w)
				if rnd.IntN(2) == 0 {
					_ = s.Put(ctx, k, []byte("v"), time.Duration(rnd.IntN(20))*time.Millisecond)
				} else {
					_, _ = s.Delete(ctx, k)
				}
			}
		})
	}
	for range 10 {
		var got []string
		after := ""
		for {
			page := scan(t, s, "k/", after, 5)
			for _, k := range page {
				if !strings.Contains(k, "-") {
					got = append(got, k)
				}
				after = k
			}
			if len(page) < 5 {
				break
			}
		}
		if !slices.Equal(got, fixed) {
			t.Errorf("scan lost or doubled a key: %q", got)
			break
		}
	}
	cancel()
	wg.Wait()
}

func count(t *testing.T, s store.Store) {
	want := func(kind string, n int) {
		t.Helper()
		if got, err := s.Count(t.Context(), kind); err != nil || got != n {
			t.Fatalf("Count %q: %d, %v; want %d", kind, got, err, n)
		}
	}
	want("session", 0)
	for i := range 50 {
		put(t, s, fmt.Sprintf("session/%d", i), "v", time.Hour)
	}
	put(t, s, "session/0", "again", 0)
	put(t, s, "sessions/0", "other kind", 0)
	put(t, s, "session-of/a/0", "other kind", 0)
	want("session", 50)
	want("sessions", 1)
	if _, err := s.Delete(t.Context(), "session/7"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Take(t.Context(), "session/8"); err != nil {
		t.Fatal(err)
	}
	want("session", 48)
}
