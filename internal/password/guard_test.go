package password

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

func TestTwoHundredGuessesAtOnce(t *testing.T) {
	d := newDesk(t, GuardOptions{})
	var compared, throttled atomic.Int64
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() { // from as many addresses: only the name counts
			addr := netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})
			switch err := d.try("alice", wrong, addr, ""); {
			case errors.Is(err, ErrWrong):
				compared.Add(1)
			case errors.As(err, new(*ThrottledError)):
				throttled.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if compared.Load() != 10 || throttled.Load() != 190 || d.hashes.Load() != 10 {
		t.Errorf("%d compared, %d throttled, %d hashes; want 10, 190, 10", compared.Load(), throttled.Load(), d.hashes.Load())
	}
}

func TestSpellingsOfANameShareOneAllowance(t *testing.T) {
	d := newDesk(t, GuardOptions{})
	spellings := []string{"alice", "ALICE", "Alice", "ａｌｉｃｅ", "ＡＬＩＣＥ", "aLiCe"}
	for i := range 10 {
		if err := d.try(spellings[i%len(spellings)], wrong, home, ""); !errors.Is(err, ErrWrong) {
			t.Fatalf("guess %d: %v", i, err)
		}
	}
	for _, s := range spellings {
		if err := d.try(s, right, home, ""); !errors.As(err, new(*ThrottledError)) {
			t.Errorf("%q: got %v, want it throttled", s, err)
		}
	}
	if err := d.try("bob", right, home, ""); err != nil {
		t.Errorf("another name: %v", err)
	}
}

// What cannot be a name is counted by itself, on nobody's account.
func TestImpossibleNamesChargeNobody(t *testing.T) {
	d := newDesk(t, GuardOptions{Address: store.Limit{Burst: 1000, Every: time.Second}})
	for _, typed := range []string{"alice ", "\x00alice", "alice/", "al ice"} {
		if e := d.exhaust(typed, home, ""); e.Bucket != ByName {
			t.Errorf("%q was throttled by %s", typed, e.Bucket)
		}
	}
	if d.hashes.Load() != 40 {
		t.Errorf("%d guesses at four names, want 10 each", d.hashes.Load())
	}
	if err := d.try("alice", right, home, ""); err != nil {
		t.Errorf("alice: %v", err)
	}
}

func TestThrottleFadesAndNeverLocks(t *testing.T) {
	d := newDesk(t, GuardOptions{})
	for range 20 { // however often it is refused, the wait does not grow
		if e := d.exhaust("alice", home, ""); e.Retry > time.Minute {
			t.Fatalf("retry in %v", e.Retry)
		}
	}
	d.pass(59 * time.Second)
	if err := d.try("alice", right, home, ""); !errors.As(err, new(*ThrottledError)) {
		t.Errorf("after 59 s: %v", err)
	}
	d.pass(time.Second)
	if err := d.try("alice", right, home, ""); err != nil {
		t.Errorf("after a minute: %v", err)
	}
}

func TestAddressBlocks(t *testing.T) {
	for _, c := range []struct {
		name, a, b string
		shared     bool
	}{
		{"one /64", "2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true},
		{"two /64", "2001:db8:1:2::1", "2001:db8:1:3::1", false},
		{"with a zone", "fe80::1", "fe80::2%eth0", true},
		{"IPv4 written as IPv6", "192.0.2.1", "::ffff:192.0.2.1", true},
		{"two IPv4", "192.0.2.1", "192.0.2.2", false},
		{"two IPv4 written as IPv6", "::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, GuardOptions{Address: store.Limit{Burst: 2, Every: time.Second}})
			a, b := netip.MustParseAddr(c.a), netip.MustParseAddr(c.b)
			for i := range 2 {
				if err := d.try(fmt.Sprintf("name%d", i), wrong, a, ""); !errors.Is(err, ErrWrong) {
					t.Fatal(err)
				}
			}
			var e *ThrottledError
			if err := d.try("alice", right, b, ""); errors.As(err, &e) != c.shared {
				t.Errorf("got %v; shared: want %v", err, c.shared)
			}
			if e != nil && e.Bucket != ByAddress {
				t.Errorf("throttled by %s", e.Bucket)
			}
		})
	}
	if got := block(netip.Addr{}); got != "unknown" {
		t.Errorf("no address: %q", got)
	}
}

// One address may not spray a password over many names.
func TestSprayingManyNames(t *testing.T) {
	d := newDesk(t, GuardOptions{})
	compared := 0
	for i := range 100 {
		if err := d.try(fmt.Sprintf("user%d", i), wrong, stranger, ""); errors.Is(err, ErrWrong) {
			compared++
		}
	}
	if compared != 30 {
		t.Errorf("%d names were tried, want 30", compared)
	}
	// An address without guesses left does not use up the names' allowances.
	for range 50 {
		_ = d.try("alice", wrong, stranger, "")
	}
	for range 9 {
		if err := d.try("alice", wrong, home, ""); !errors.Is(err, ErrWrong) {
			t.Fatalf("from elsewhere: %v", err)
		}
	}
	if err := d.try("alice", right, home, ""); err != nil {
		t.Errorf("from elsewhere: %v", err)
	}
}

// And a name without guesses left does not use up the address's allowance.
func TestNameRefusedCostsTheAddressNothing(t *testing.T) {
	d := newDesk(t, GuardOptions{})
	d.exhaust("alice", home, "")
	for range 100 {
		_ = d.try("alice", wrong, home, "")
	}
	if err := d.try("bob", right, home, ""); err != nil {
		t.Errorf("bob, at the same address: %v", err)
	}
}

func TestSuccessGivesBackOnlyItsOwnGuess(t *testing.T) {
	d := newDesk(t, GuardOptions{})
	for range 100 {
		if err := d.try("alice", right, home, ""); err != nil {
			t.Fatalf("signing in often: %v", err)
		}
	}
	for range 9 {
		if err := d.try("alice", wrong, stranger, ""); !errors.Is(err, ErrWrong) {
			t.Fatal(err)
		}
	}
	if err := d.try("alice", right, home, ""); err != nil { // alice herself comes by
		t.Fatal(err)
	}
	compared := 0
	for range 10 {
		if err := d.try("alice", wrong, stranger, ""); errors.Is(err, ErrWrong) {
			compared++
		}
	}
	if compared != 1 {
		t.Errorf("after alice signed in, %d more guesses were taken, want the 1 that was left", compared)
	}
}

func TestRefundTwiceGivesBackOnce(t *testing.T) {
	ctx := context.Background()
	d := newDesk(t, GuardOptions{Name: store.Limit{Burst: 2, Every: time.Hour}})
	g := d.o.Guard
	a, err := g.Charge(ctx, "alice", home, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Charge(ctx, "alice", home, ""); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := a.Refund(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := g.Charge(ctx, "alice", home, ""); err != nil {
		t.Errorf("what was given back: %v", err)
	}
	if _, err := g.Charge(ctx, "alice", home, ""); !errors.As(err, new(*ThrottledError)) {
		t.Errorf("one more: %v", err)
	}
}

// Guesses that were never compared cost nothing, or an overload would lock
// people out; those that were compared cost, also if the guesser hangs up.
func TestHangingUp(t *testing.T) {
	d := newDesk(t, GuardOptions{})
	d.hasher.places = 0 // full
	for range 50 {
		if err := d.try("alice", right, home, ""); !errors.Is(err, ErrBusy) {
			t.Fatalf("full queue: %v", err)
		}
	}
	d.hasher.places = 10
	d.hasher.slots <- struct{}{}
	d.hasher.slots <- struct{}{} // both workers have something else to do
	for range 15 {
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			for d.hasher.taken.Load() == 0 {
				time.Sleep(time.Millisecond)
			}
			cancel() // while it waits
		}()
		if _, err := d.Verify(ctx, Attempt{Username: "alice", Password: right, Addr: home}); !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled in the queue: %v", err)
		}
	}
	<-d.hasher.slots
	<-d.hasher.slots
	real := d.hasher.key
	for i := range 11 {
		ctx, cancel := context.WithCancel(context.Background())
		d.hasher.key = func(pw, salt []byte, tm, m uint32, th uint8, n uint32) []byte {
			cancel() // while it is compared
			return real(pw, salt, tm, m, th, n)
		}
		_, err := d.Verify(ctx, Attempt{Username: "alice", Password: wrong, Addr: home})
		if i < 10 && !errors.Is(err, ErrWrong) || i == 10 && !errors.As(err, new(*ThrottledError)) {
			t.Errorf("guess %d: %v", i, err)
		}
		cancel()
	}
}

func TestStrangersCannotLockAKnownBrowserOut(t *testing.T) {
	ctx := context.Background()
	d := newDesk(t, GuardOptions{})
	token, err := d.RememberDevice(ctx, "Alice", "")
	if err != nil {
		t.Fatal(err)
	}
	d.exhaust("alice", stranger, "")
	d.exhaust("nobody", home, "") // a neighbour behind alice's own address
	for i := range 60 {
		_ = d.try(fmt.Sprintf("user%d", i), wrong, home, "")
	}
	if err := d.try("alice", right, home, ""); !errors.As(err, new(*ThrottledError)) {
		t.Errorf("an unknown browser: got %v, want it throttled", err)
	}
	for range 20 {
		if err := d.try("ALICE", right, home, token); err != nil {
			t.Fatalf("the known browser: %v", err)
		}
	}
}

func TestKnownBrowserHasAnAllowanceToo(t *testing.T) {
	ctx := context.Background()
	d := newDesk(t, GuardOptions{})
	token, err := d.RememberDevice(ctx, "alice", "")
	if err != nil {
		t.Fatal(err)
	}
	if e := d.exhaust("alice", home, token); e.Bucket != ByDevice || d.hashes.Load() != 10 {
		t.Errorf("throttled by %s after %d guesses, want by device after 10", e.Bucket, d.hashes.Load())
	}
	if err := d.try("alice", right, stranger, ""); err != nil {
		t.Errorf("its guesses must not be charged to the name: %v", err)
	}
}

// A browser costs one record, however often somebody signs in with it.
func TestDeviceTokenIsKeptAndRenewed(t *testing.T) {
	ctx := context.Background()
	d := newDesk(t, GuardOptions{})
	again := func(name, presented string) string {
		t.Helper()
		token, err := d.RememberDevice(ctx, name, presented)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	records := func() []store.Entry {
		t.Helper()
		found, err := d.store.Scan(ctx, "device/", "", 100)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	token := again("alice", "")
	first := records()[0]
	for range 20 {
		d.pass(time.Hour)
		if got := again("ALICE", token); got != token {
			t.Fatal("the browser was given another token")
		}
	}
	if now := records(); len(now) != 1 || !now[0].Expires.Equal(first.Expires) {
		t.Fatalf("%d records after a day of logins, the first until %v, was %v", len(now), now[0].Expires, first.Expires)
	}
	d.pass(4 * time.Hour)
	if got := again("alice", token); got != token {
		t.Fatal("the browser was given another token on the second day")
	}
	if now := records(); len(now) != 1 || now[0].Expires.Sub(first.Expires) != 24*time.Hour {
		t.Fatalf("%d records, until %v: the second day's login did not begin the time anew", len(now), now[0].Expires)
	}
	d.pass(DeviceLifetime - time.Hour) // longer since the first login than a token lives
	d.exhaust("alice", stranger, "")
	if err := d.try("alice", right, home, token); err != nil {
		t.Errorf("strangers lock the renewed browser out: %v", err)
	}
	t.Run("a token that is not this user's is not taken over", func(t *testing.T) {
		for what, presented := range map[string]string{
			"another user's": token, "invented": base64.RawURLEncoding.EncodeToString(make([]byte, 32)), "no token": "x",
		} {
			got := again("bob", presented)
			if got == presented || len(got) != 43 {
				t.Errorf("%s: bob's browser was given %q", what, got)
			}
		}
		d.pass(DeviceLifetime + time.Second)
		if again("alice", token) == token {
			t.Error("an expired one was taken over")
		}
	})
	t.Run("a store that is away", func(t *testing.T) {
		prefix := "device/"
		token := again("alice", "")
		d.store.fail.Store(&prefix)
		defer d.store.fail.Store(nil)
		if _, err := d.RememberDevice(ctx, "alice", token); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	})
}

func TestDeviceTokensThatCountAsNone(t *testing.T) {
	ctx := context.Background()
	d := newDesk(t, GuardOptions{})
	expired, err := d.RememberDevice(ctx, "alice", "")
	if err != nil {
		t.Fatal(err)
	}
	d.pass(DeviceLifetime + time.Second)
	bobs, err := d.RememberDevice(ctx, "bob", "")
	if err != nil {
		t.Fatal(err)
	}
	damaged, err := d.RememberDevice(ctx, "alice", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.store.Put(ctx, deviceKey(damaged), []byte(`{"username":`), 0); err != nil {
		t.Fatal(err)
	}
	d.exhaust("alice", stranger, "")
	for name, token := range map[string]string{
		"another user's": bobs, "expired": expired, "damaged record": damaged,
		"invented": base64.RawURLEncoding.EncodeToString(make([]byte, 32)),
		"too long": strings.Repeat("A", 5000), "a store key": "../user/alice",
	} {
		if err := d.try("alice", right, home, token); !errors.As(err, new(*ThrottledError)) {
			t.Errorf("%s: got %v, want it throttled like a stranger", name, err)
		}
	}
}

func TestDeviceTokenIsStoredAsAHash(t *testing.T) {
	ctx := context.Background()
	d := newDesk(t, GuardOptions{})
	token, err := d.RememberDevice(ctx, "Alice", "")
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := base64.RawURLEncoding.DecodeString(token); err != nil || len(raw) != 32 {
		t.Errorf("the token has %d bytes, %v; want 32", len(raw), err)
	}
	entries, err := d.store.Scan(ctx, "device/", "", 10)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	e := entries[0]
	if strings.Contains(e.Key, token) || strings.Contains(string(e.Value), token) {
		t.Error("the store holds the token itself")
	}
	if string(e.Value) != `{"username":"alice","made":"2026-11-23T09:00:00Z"}` || e.Expires.IsZero() {
		t.Errorf("stored: %s until %v", e.Value, e.Expires)
	}
	if _, err := d.RememberDevice(ctx, "al ice", ""); err == nil {
		t.Error("a device was remembered for an impossible name")
	}
}
