package key

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/store/bolt"
)

// home is the address that the tests' requests come from.
var home = netip.MustParseAddr("192.0.2.7")

// world is a store, a clock, two owners and a manager over them.
type world struct {
	*Manager
	t        testing.TB
	store    *watched
	clock    *clock
	accounts *accounts
	log      *bytes.Buffer
}

func newWorld(t testing.TB, o Options) *world {
	t.Helper()
	c := &clock{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	file, err := bolt.Open(context.Background(), filepath.Join(t.TempDir(), "test.db"), bolt.Options{Clock: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	w := &world{t: t, store: &watched{Store: file}, clock: c, accounts: &accounts{of: map[string]*identity.Account{}}, log: new(bytes.Buffer)}
	w.accounts.set(identity.Account{
		ID: "usr_1", Username: "alice", Email: "alice@example.com", EmailVerified: true, Name: "Alice",
		Roles: []string{"clerk"}, Groups: []string{"finance"}, Scopes: []string{"reports:read", "reports:write", "admin"}, Epoch: 1,
	})
	w.accounts.set(identity.Account{ID: "svc_2", Username: "robot", Service: true, Scopes: []string{"reports:read"}, Epoch: 1})
	w.Manager = w.another(o)
	return w
}

// another is one more manager over the same store: another site, or the next
// configuration.
func (w *world) another(o Options) *Manager {
	o.Accounts, o.Clock = w.accounts, w.clock.Now
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	m := NewManager(w.store, o)
	w.t.Cleanup(m.Close)
	return m
}

// make makes a key of alice's that may read reports.
func (w *world) make(change ...func(*New)) (text string, k *Key) {
	w.t.Helper()
	n := New{Owner: "alice", Scopes: []string{"reports:read"}}
	for _, fn := range change {
		fn(&n)
	}
	text, k, err := w.Create(context.Background(), n)
	if err != nil {
		w.t.Fatal(err)
	}
	return text, k
}

func (w *world) rotate(id string, grace time.Duration) (text string, k *Key) {
	w.t.Helper()
	text, k, err := w.Rotate(context.Background(), id, grace)
	if err != nil {
		w.t.Fatal(err)
	}
	return text, k
}

// in says that a text lets in.
func (w *world) in(text string) *identity.Identity {
	w.t.Helper()
	id, _, err := w.Identify(context.Background(), text, home)
	if err != nil || !id.Authenticated() {
		w.t.Fatalf("refused: %v, %v", id, err)
	}
	return id
}

// out says that a text is refused, and returns why.
func (w *world) out(text string) *identity.Refusal {
	w.t.Helper()
	return refused(w.t, w.Manager, text, home)
}

func refused(t testing.TB, m *Manager, text string, from netip.Addr) *identity.Refusal {
	t.Helper()
	id, quota, err := m.Identify(context.Background(), text, from)
	var r *identity.Refusal
	if id != nil || quota != nil || !errors.Is(err, identity.ErrUnknown) || !errors.As(err, &r) || r.Reason == "" {
		t.Fatalf("not refused as unknown: %v, %v, %v", id, quota, err)
	}
	return r
}

// invalid says that an error is about one field.
func invalid(t testing.TB, err error, field string) string {
	t.Helper()
	var bad *InvalidError
	if !errors.As(err, &bad) || bad.Field != field {
		t.Fatalf("%v, want something about the %s", err, field)
	}
	return err.Error()
}

func second[T any](_ T, err error) error { return err }

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// accounts answers as a user.Directory does: the same pointer until a change.
type accounts struct {
	mu  sync.Mutex
	of  map[string]*identity.Account
	err error
}

func (a *accounts) Account(_ context.Context, name string) (*identity.Account, bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	got, found := a.of[name]
	return got, found, a.err
}

func (a *accounts) set(u identity.Account) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.of[u.Username] = &u
}

func (a *accounts) change(fn func(*identity.Account)) {
	u := *a.of["alice"]
	u.Scopes = slices.Clone(u.Scopes)
	fn(&u)
	a.set(u)
}

// watched is a store whose calls are counted, and can be held up or fail.
type watched struct {
	store.Store
	reads, writes, charges  atomic.Int64
	mu                      sync.Mutex
	err                     error
	onPut, onSwap, onCreate func(key string)
	deaf                    bool // notices do not arrive
}

func (s *watched) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *watched) fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *watched) Watch(fn func(string)) (stop func()) {
	if s.deaf {
		return func() {}
	}
	return s.Store.Watch(fn)
}

func (s *watched) Get(ctx context.Context, key string) ([]byte, bool, error) {
	s.reads.Add(1)
	if err := s.fault(); err != nil {
		return nil, false, err
	}
	return s.Store.Get(ctx, key)
}

func (s *watched) Scan(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	s.reads.Add(1)
	if err := s.fault(); err != nil {
		return nil, err
	}
	return s.Store.Scan(ctx, prefix, after, limit)
}

func (s *watched) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	s.writes.Add(1)
	if err := s.fault(); err != nil {
		return err
	}
	if s.onPut != nil {
		s.onPut(key)
	}
	return s.Store.Put(ctx, key, value, ttl)
}

func (s *watched) Create(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	s.writes.Add(1)
	if err := s.fault(); err != nil {
		return false, err
	}
	if s.onCreate != nil {
		s.onCreate(key)
	}
	return s.Store.Create(ctx, key, value, ttl)
}

func (s *watched) Swap(ctx context.Context, key string, old, value []byte, ttl time.Duration) (bool, error) {
	s.writes.Add(1)
	if err := s.fault(); err != nil {
		return false, err
	}
	if s.onSwap != nil {
		s.onSwap(key)
	}
	return s.Store.Swap(ctx, key, old, value, ttl)
}

func (s *watched) Take(ctx context.Context, key string) ([]byte, bool, error) {
	s.writes.Add(1)
	if err := s.fault(); err != nil {
		return nil, false, err
	}
	return s.Store.Take(ctx, key)
}

func (s *watched) Delete(ctx context.Context, key string) (bool, error) {
	s.writes.Add(1)
	if err := s.fault(); err != nil {
		return false, err
	}
	return s.Store.Delete(ctx, key)
}

func (s *watched) Charge(ctx context.Context, key string, limit store.Limit, cost int) (store.Allowance, error) {
	s.charges.Add(1)
	if err := s.fault(); err != nil {
		return store.Allowance{}, err
	}
	return s.Store.Charge(ctx, key, limit, cost)
}
