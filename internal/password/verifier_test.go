package password

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/store/bolt"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

const (
	right = "umbrella cactus violin"
	wrong = "umbrella cactus fiddle"
)

var (
	home     = netip.MustParseAddr("203.0.113.9")
	stranger = netip.MustParseAddr("198.51.100.7")
)

// desk is a Verifier over a real store, with a clock that only the test moves,
// and with alice, who can sign in, and carol, who is disabled.
type desk struct {
	*Verifier
	t      *testing.T
	store  *faulty
	users  *user.Directory
	hasher *Hasher
	now    atomic.Int64 // Unix time in ns
	hashes atomic.Int64 // computed
	log    bytes.Buffer // read it only when nothing runs
}

// faulty is a store that can be made to fail.
type faulty struct {
	store.Store
	fail atomic.Pointer[string] // operations whose key has this prefix
}

func (f *faulty) broken(key string) error {
	if p := f.fail.Load(); p != nil && strings.HasPrefix(key, *p) {
		return store.ErrUnavailable
	}
	return nil
}

func (f *faulty) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if err := f.broken(key); err != nil {
		return nil, false, err
	}
	return f.Store.Get(ctx, key)
}

func (f *faulty) Charge(ctx context.Context, key string, l store.Limit, cost int) (store.Allowance, error) {
	if err := f.broken(key); err != nil {
		return store.Allowance{}, err
	}
	return f.Store.Charge(ctx, key, l, cost)
}

func newDesk(t *testing.T, o GuardOptions) *desk {
	t.Helper()
	ctx := context.Background()
	d := &desk{t: t}
	d.now.Store(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC).UnixNano())
	clock := func() time.Time { return time.Unix(0, d.now.Load()) }
	s, err := bolt.Open(ctx, filepath.Join(t.TempDir(), "gatehouse.db"), bolt.Options{Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	d.store = &faulty{Store: s}
	d.users = user.NewDirectory(d.store, user.Options{Clock: clock})
	t.Cleanup(d.users.Close)
	d.hasher = NewHasher(cheap, HasherOptions{Workers: 2, Queue: 1000})
	real := d.hasher.key
	d.hasher.key = func(pw, salt []byte, tm, m uint32, th uint8, n uint32) []byte {
		d.hashes.Add(1)
		return real(pw, salt, tm, m, th, n)
	}
	hash, err := d.hasher.Hash(ctx, right)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alice", "bob", "carol"} {
		if _, err := d.users.Add(ctx, user.New{Username: name, PasswordHash: hash}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.users.Update(ctx, "carol", func(u *user.User) error { u.Disabled = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := d.users.Add(ctx, user.New{Username: "dave"}); err != nil { // has no password
		t.Fatal(err)
	}
	d.Verifier = NewVerifier(VerifierOptions{
		Users: d.users, Hasher: d.hasher, Guard: NewGuard(d.store, o), Normalize: user.NormalizeName,
		Logger: slog.New(slog.NewTextHandler(&d.log, nil)), Clock: clock,
	})
	d.hashes.Store(0)
	return d
}

func (d *desk) pass(by time.Duration) { d.now.Add(int64(by)) }

func (d *desk) try(name, pw string, addr netip.Addr, device string) error {
	_, err := d.Verify(context.Background(), Attempt{Username: name, Password: pw, Addr: addr, Device: device})
	return err
}

// exhaust guesses at name until it is throttled, and returns by what.
func (d *desk) exhaust(name string, addr netip.Addr, device string) *ThrottledError {
	d.t.Helper()
	for range 100 {
		var throttled *ThrottledError
		if err := d.try(name, wrong, addr, device); errors.As(err, &throttled) {
			return throttled
		} else if !errors.Is(err, ErrWrong) {
			d.t.Fatalf("guessing: %v", err)
		}
	}
	d.t.Fatalf("100 guesses at %q were not throttled", name)
	return nil
}

func TestVerify(t *testing.T) {
	d := newDesk(t, GuardOptions{})
	for _, typed := range []string{"alice", "Alice", "ＡＬＩＣＥ"} {
		name, err := d.Verify(context.Background(), Attempt{Username: typed, Password: right, Addr: home})
		if name != "alice" || err != nil {
			t.Errorf("%q: got %q, %v", typed, name, err)
		}
	}
}

// Whoever guesses learns nothing about the name: same error, same text, same
// number of hashes of the same cost.
func TestSameWorkAndAnswerForEveryWrongAttempt(t *testing.T) {
	d := newDesk(t, GuardOptions{Name: store.Limit{Burst: 100, Every: time.Second}})
	if _, err := d.users.Add(context.Background(), user.New{Username: "erin", PasswordHash: "$argon2id$v=19$damaged"}); err != nil {
		t.Fatal(err)
	}
	var cost Params
	real := d.hasher.key
	d.hasher.key = func(pw, salt []byte, tm, m uint32, th uint8, n uint32) []byte {
		cost = Params{m, tm, th}
		return real(pw, salt, tm, m, th, n)
	}
	for _, c := range []struct{ name, username, pw, known string }{
		{"wrong password", "alice", wrong, "alice"},
		{"empty password", "alice", "", "alice"},
		{"password no rule would accept", "alice", "\x00", "alice"},
		{"password of a megabyte", "alice", strings.Repeat("x", 1<<20), "alice"},
		{"unknown name", "nobody", right, ""},
		{"disabled user", "carol", right, ""},
		{"user without a password", "dave", right, ""},
		{"user whose hash is damaged", "erin", right, ""},
		{"empty name", "", right, ""},
		{"name with a space", "al ice", right, ""},
		{"name with a slash", "../alice", right, ""},
		{"name with NUL", "alice\x00", right, ""},
		{"name of a megabyte", strings.Repeat("a", 1<<20), right, ""},
		{"name of invalid UTF-8", "alice\xff", right, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d.hashes.Store(0)
			cost = Params{}
			name, err := d.Verify(context.Background(), Attempt{Username: c.username, Password: c.pw, Addr: home})
			var w *WrongError
			if name != "" || !errors.Is(err, ErrWrong) || !errors.As(err, &w) || err.Error() != ErrWrong.Error() {
				t.Fatalf("got %q, %v", name, err)
			}
			if w.Known != c.known {
				t.Errorf("known name %q, want %q", w.Known, c.known)
			}
			if d.hashes.Load() != 1 || cost != cheap {
				t.Errorf("%d hashes, the last of cost %+v; want one of %+v", d.hashes.Load(), cost, cheap)
			}
		})
	}
	if !strings.Contains(d.log.String(), "username=erin") || strings.Contains(d.log.String(), "$argon2id") {
		t.Errorf("the damaged hash must be reported, without itself: %s", &d.log)
	}
}

// The answer to a throttled guess does not tell whether the name exists either.
func TestUnknownNamesAreThrottledLikeKnownOnes(t *testing.T) {
	var counts []int64
	var waits []time.Duration
	for _, name := range []string{"alice", "nobody", "carol", "al ice", "alice\x00"} {
		d := newDesk(t, GuardOptions{})
		e := d.exhaust(name, home, "")
		if e.Bucket != ByName {
			t.Errorf("%q was throttled by %s", name, e.Bucket)
		}
		counts, waits = append(counts, d.hashes.Load()), append(waits, e.Retry)
	}
	for i := range counts {
		if counts[i] != 10 || waits[i] != time.Minute {
			t.Errorf("after %v guesses, for %v: they differ, or are not 10 and a minute", counts, waits)
		}
	}
}

func TestRehashOnLogin(t *testing.T) {
	ctx := context.Background()
	d := newDesk(t, GuardOptions{})
	before, _, err := d.users.Credential(ctx, "alice")
	if err != nil {
		t.Fatal(err)
	}
	dear := NewHasher(Params{MemoryKiB: 128, Iterations: 2, Parallelism: 1}, HasherOptions{})
	v := NewVerifier(VerifierOptions{Users: d.users, Hasher: dear, Guard: d.o.Guard, Normalize: user.NormalizeName})
	if _, err := v.Verify(ctx, Attempt{Username: "alice", Password: wrong}); !errors.Is(err, ErrWrong) {
		t.Fatal(err)
	}
	if now, _, _ := d.users.Credential(ctx, "alice"); now != before {
		t.Error("a wrong password changed the hash")
	}
	if _, err := v.Verify(ctx, Attempt{Username: "alice", Password: right}); err != nil {
		t.Fatal(err)
	}
	after, _, err := d.users.Credential(ctx, "alice")
	if err != nil || !strings.Contains(after, "$m=128,t=2,p=1$") {
		t.Errorf("after a login with new costs the hash is %q, %v", after, err)
	}
	if _, err := v.Verify(ctx, Attempt{Username: "alice", Password: right}); err != nil {
		t.Errorf("the new hash does not fit: %v", err)
	}
}

// stuck is a Users that cannot store.
type stuck struct{ Users }

func (stuck) Rehash(context.Context, string, string, string) error { return store.ErrUnavailable }

func TestLoginSucceedsThoughRehashFails(t *testing.T) {
	d := newDesk(t, GuardOptions{})
	var log bytes.Buffer
	dear := NewHasher(Params{MemoryKiB: 128, Iterations: 1, Parallelism: 1}, HasherOptions{})
	v := NewVerifier(VerifierOptions{Users: stuck{d.users}, Hasher: dear, Guard: d.o.Guard,
		Normalize: user.NormalizeName, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if name, err := v.Verify(context.Background(), Attempt{Username: "alice", Password: right}); name != "alice" || err != nil {
		t.Errorf("got %q, %v", name, err)
	}
	if !strings.Contains(log.String(), "not brought up to date") || strings.Contains(log.String(), right) {
		t.Errorf("log: %s", &log)
	}
}

func TestStoreFaultIsNeverAPass(t *testing.T) {
	for _, prefix := range []string{"guess/address/", "guess/name/", "user/", "device/"} {
		t.Run(prefix, func(t *testing.T) {
			d := newDesk(t, GuardOptions{})
			token, err := d.RememberDevice(context.Background(), "alice", "")
			if err != nil {
				t.Fatal(err)
			}
			device := ""
			if prefix == "device/" {
				device = token
			}
			d.store.fail.Store(&prefix)
			name, err := d.Verify(context.Background(), Attempt{Username: "alice", Password: right, Addr: home, Device: device})
			if name != "" || !errors.Is(err, store.ErrUnavailable) || errors.Is(err, ErrWrong) {
				t.Errorf("got %q, %v; want ErrUnavailable", name, err)
			}
			if d.hashes.Load() != 0 {
				t.Error("a hash was computed")
			}
			d.store.fail.Store(nil)
			if err := d.try("alice", right, home, device); err != nil {
				t.Errorf("after the fault: %v", err)
			}
		})
	}
}

func TestVerifierNeedsItsParts(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a Verifier without parts was made")
		}
	}()
	NewVerifier(VerifierOptions{})
}
