// Package storetest is the suite that every store passes: one test for each
// word of the contract in package store. It also starts the real Redis servers
// (single, Cluster, Sentinel) that tests of this and other packages use.
//
// It owns no store and imports no driver.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

// Run checks a kind of store. open returns a new, empty store for each test
// and sees to it that it is closed in the end.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, store.Store)
	}{
		{"get what was put", getPut},
		{"create only once", create},
		{"swap only what was read", swap},
		{"take and delete", takeDelete},
		{"empty value", emptyValue},
		{"values are cloned both ways", cloned},
		{"odd keys", oddKeys},
		{"bad keys", badKeys},
		{"oversized value", bigValue},
		{"negative ttl", negativeTTL},
		{"expired is gone", expiry},
		{"expired is not there for writers", expiredForWriters},
		{"writing sets the ttl anew", ttlAnew},
		{"scan in byte order", scanOrder},
		{"scan by pages", scanPages},
		{"scan keeps to its prefix", scanPrefix},
		{"scan while others write", scanUnderWrites},
		{"count", count},
		{"one creator wins", createRace},
		{"one taker gets it", takeRace},
		{"one deleter finds it", deleteRace},
		{"swaps lose nothing", swapRace},
		{"charge and wait", charge},
		{"charge looks", chargeLooks},
		{"charge gives back", chargeGivesBack},
		{"charge under a useless limit", chargeUseless},
		{"charge is exact in parallel", chargeRace},
		{"charge has a space of its own", chargeSpace},
		{"watch hears each change before it returns", watch},
		{"watch hears no change that was none", watchNothing},
		{"watch stops", watchStops},
		{"ended context", endedContext},
		{"after close", afterClose},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

func getPut(t *testing.T, s store.Store) {
	wantNone(t, s, "user/alice")
	put(t, s, "user/alice", "one", 0)
	wantValue(t, s, "user/alice", "one")
	put(t, s, "user/alice", "two", time.Hour)
	wantValue(t, s, "user/alice", "two")
	wantNone(t, s, "user/Alice")
	wantNone(t, s, "user/alic")
}

func create(t *testing.T, s store.Store) {
	for i, want := range []bool{true, false, false} {
		created, err := s.Create(t.Context(), "user/bob", []byte{byte('a' + i)}, time.Hour)
		if err != nil || created != want {
			t.Fatalf("Create %d: %v, %v; want %v", i, created, err, want)
		}
	}
	wantValue(t, s, "user/bob", "a")
	if found, err := s.Delete(t.Context(), "user/bob"); err != nil || !found {
		t.Fatalf("Delete: %v, %v", found, err)
	}
	if created, err := s.Create(t.Context(), "user/bob", []byte("again"), 0); err != nil || !created {
		t.Fatalf("Create after Delete: %v, %v", created, err)
	}
}

func swap(t *testing.T, s store.Store) {
	put(t, s, "user/carol", "1", 0)
	for _, c := range []struct {
		name, key, old string
		want           bool
	}{
		{"other value", "user/carol", "2", false},
		{"prefix of the value", "user/carol", "", false},
		{"longer value", "user/carol", "11", false},
		{"missing key", "user/dave", "1", false},
		{"missing key, empty old", "user/dave", "", false},
		{"the value", "user/carol", "1", true},
	} {
		swapped, err := s.Swap(t.Context(), c.key, []byte(c.old), []byte("next"), 0)
		if err != nil || swapped != c.want {
			t.Fatalf("%s: %v, %v; want %v", c.name, swapped, err, c.want)
		}
	}
	wantValue(t, s, "user/carol", "next")
	wantNone(t, s, "user/dave")
}

func takeDelete(t *testing.T, s store.Store) {
	put(t, s, "device/1", "x", time.Hour)
	if v, found, err := s.Take(t.Context(), "device/1"); err != nil || !found || string(v) != "x" {
		t.Fatalf("Take: %q, %v, %v", v, found, err)
	}
	if v, found, err := s.Take(t.Context(), "device/1"); err != nil || found || v != nil {
		t.Fatalf("second Take: %q, %v, %v", v, found, err)
	}
	if found, err := s.Delete(t.Context(), "device/1"); err != nil || found {
		t.Fatalf("Delete of nothing: %v, %v", found, err)
	}
	put(t, s, "device/1", "y", 0)
	if found, err := s.Delete(t.Context(), "device/1"); err != nil || !found {
		t.Fatalf("Delete: %v, %v", found, err)
	}
	wantNone(t, s, "device/1")
	if got := scan(t, s, "device/", "", 10); len(got) != 0 {
		t.Fatalf("scan after all is gone: %v", got)
	}
}

func emptyValue(t *testing.T, s store.Store) {
	for _, v := range [][]byte{nil, {}} {
		if err := s.Put(t.Context(), "k/empty", v, 0); err != nil {
			t.Fatal(err)
		}
		wantValue(t, s, "k/empty", "")
		if ok, err := s.Swap(t.Context(), "k/empty", v, []byte("full"), 0); err != nil || !ok {
			t.Fatalf("Swap from empty: %v, %v", ok, err)
		}
	}
	put(t, s, "k/empty", "", 0)
	if v, found, err := s.Take(t.Context(), "k/empty"); err != nil || !found || len(v) != 0 {
		t.Fatalf("Take: %q, %v, %v", v, found, err)
	}
}

func cloned(t *testing.T, s store.Store) {
	in := []byte("value")
	if err := s.Put(t.Context(), "k/a", in, 0); err != nil {
		t.Fatal(err)
	}
	copy(in, "XXXXX")
	wantValue(t, s, "k/a", "value")
	out, _, err := s.Get(t.Context(), "k/a")
	if err != nil {
		t.Fatal(err)
	}
	copy(out, "YYYYY")
	_ = append(out, "more"...)
	wantValue(t, s, "k/a", "value")
	list, err := s.Scan(t.Context(), "k/", "", 1)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	copy(list[0].Value, "ZZZZZ")
	wantValue(t, s, "k/a", "value")
}

// OddKeys are keys that upset stores which do not treat them as plain bytes.
func OddKeys() []string {
	return []string{
		"k/", "k/ ", "k/\x00", "k/\x00\x00a", "k/a\x00b", "k/\xff", "k/\xff\xff\xfe", "k/\xc3\x28", "k/{x}", "k/{}",
		"k/}{", "k/a{b", "{k}/x", "}/{", "k/*", "k/?[a-z]", "k/..", "k/../..", "k//", "k/\r\n", "k/\"'\\", "k/é", "k/e\u0301",
		"k/%00", "k/\u202e", "k/:", "k/(", "k/[", "k/-", "k/+", "k/" + strings.Repeat("x", store.MaxKey-2),
		"k/" + strings.Repeat("\x00", store.MaxKey-2), strings.Repeat("k", store.MaxKey-1) + "/",
	}
}

func oddKeys(t *testing.T, s store.Store) {
	keys := OddKeys()
	for i, k := range keys {
		if ok, err := s.Create(t.Context(), k, []byte(fmt.Sprint(i)), time.Hour); err != nil || !ok {
			t.Fatalf("Create %q: %v, %v", k, ok, err)
		}
	}
	for i, k := range keys {
		wantValue(t, s, k, fmt.Sprint(i))
	}
	inK := scan(t, s, "k/", "", 100)
	want := 0
	for _, k := range keys {
		if strings.HasPrefix(k, "k/") {
			want++
		}
	}
	if len(inK) != want {
		t.Fatalf("scan found %d of %d keys: %q", len(inK), want, inK)
	}
	for i, k := range keys {
		if v, found, err := s.Take(t.Context(), k); err != nil || !found || string(v) != fmt.Sprint(i) {
			t.Fatalf("Take %q: %q, %v, %v", k, v, found, err)
		}
	}
	if got := scan(t, s, "k/", "", 100); len(got) != 0 {
		t.Fatalf("left over: %q", got)
	}
}

func badKeys(t *testing.T, s store.Store) {
	for _, k := range []string{"", "k", "/x", "k/" + strings.Repeat("x", store.MaxKey-1)} {
		for op, err := range everyOp(t.Context(), s, k) {
			if !errors.Is(err, store.ErrKey) || errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s %.20q: %v; want ErrKey", op, k, err)
			}
		}
		if _, err := s.Scan(t.Context(), k, "", 1); !errors.Is(err, store.ErrKey) {
			t.Errorf("Scan %.20q: %v; want ErrKey", k, err)
		}
	}
}

func bigValue(t *testing.T, s store.Store) {
	big := strings.Repeat("v", store.MaxValue)
	put(t, s, "k/big", big, 0)
	wantValue(t, s, "k/big", big)
	tooBig := []byte(big + "v")
	_, createErr := s.Create(t.Context(), "k/new", tooBig, 0)
	_, swapErr := s.Swap(t.Context(), "k/big", []byte(big), tooBig, 0)
	for op, err := range map[string]error{
		"Put": s.Put(t.Context(), "k/big", tooBig, 0), "Create": createErr, "Swap": swapErr,
	} {
		if !errors.Is(err, store.ErrValue) || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v; want ErrValue", op, err)
		}
	}
	wantValue(t, s, "k/big", big)
	wantNone(t, s, "k/new")
}

func negativeTTL(t *testing.T, s store.Store) {
	_, createErr := s.Create(t.Context(), "k/a", nil, -1)
	_, swapErr := s.Swap(t.Context(), "k/a", nil, nil, -time.Hour)
	for op, err := range map[string]error{
		"Put": s.Put(t.Context(), "k/a", nil, -time.Nanosecond), "Create": createErr, "Swap": swapErr,
	} {
		if !errors.Is(err, store.ErrTTL) {
			t.Errorf("%s: %v; want ErrTTL", op, err)
		}
	}
	wantNone(t, s, "k/a")
}

// put stores a value or fails the test.
func put(t *testing.T, s store.Store, key, value string, ttl time.Duration) {
	t.Helper()
	if err := s.Put(t.Context(), key, []byte(value), ttl); err != nil {
		t.Fatalf("Put %.40q: %v", key, err)
	}
}

func wantValue(t *testing.T, s store.Store, key, want string) {
	t.Helper()
	v, found, err := s.Get(t.Context(), key)
	if err != nil || !found || string(v) != want {
		t.Fatalf("Get %.40q: %.40q, %v, %v; want %.40q", key, v, found, err, want)
	}
}

func wantNone(t *testing.T, s store.Store, key string) {
	t.Helper()
	if v, found, err := s.Get(t.Context(), key); err != nil || found || v != nil {
		t.Fatalf("Get %.40q: %.40q, %v, %v; want none", key, v, found, err)
	}
}

func scan(t *testing.T, s store.Store, prefix, after string, limit int) []string {
	t.Helper()
	list, err := s.Scan(t.Context(), prefix, after, limit)
	if err != nil {
		t.Fatalf("Scan %q after %q: %v", prefix, after, err)
	}
	keys := []string{}
	for _, e := range list {
		keys = append(keys, e.Key)
	}
	return keys
}

// everyOp calls each method that takes a key, with values that are fine.
func everyOp(ctx context.Context, s store.Store, key string) map[string]error {
	errs := map[string]error{}
	_, _, errs["Get"] = s.Get(ctx, key)
	errs["Put"] = s.Put(ctx, key, []byte("v"), time.Minute)
	_, errs["Create"] = s.Create(ctx, key, []byte("v"), time.Minute)
	_, errs["Swap"] = s.Swap(ctx, key, []byte("v"), []byte("w"), time.Minute)
	_, _, errs["Take"] = s.Take(ctx, key)
	_, errs["Delete"] = s.Delete(ctx, key)
	_, errs["Charge"] = s.Charge(ctx, key, store.Limit{Burst: 3, Every: time.Minute}, 1)
	return errs
}
