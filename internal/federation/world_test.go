package federation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/store/bolt"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

const (
	issuer  = "https://id.example.com"
	recheck = 10 * time.Minute
)

// instance is what one process has: its own view of the store, the users and the
// sessions, and its guard.
type instance struct {
	*Guard
	t     testing.TB
	store *hooked
	log   *syncBuffer
	ended *ended
}

// world is one instance, and the provider behind it.
type world struct {
	*instance
	provider *provider
}

// newWorld is on a file. In a bubble it lives in the bubble's time.
func newWorld(t testing.TB, change ...func(*Entry)) *world {
	t.Helper()
	s, err := bolt.Open(context.Background(), filepath.Join(t.TempDir(), "test.db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	p := newProvider()
	return &world{instance: newInstance(t, s, p, change...), provider: p}
}

// another is a second instance on the same store and provider.
func (w *world) another(change ...func(*Entry)) *instance {
	return newInstance(w.t, w.store.Store, w.provider, change...)
}

func newInstance(t testing.TB, s store.Store, p *provider, change ...func(*Entry)) *instance {
	t.Helper()
	e := Entry{Name: "id", Recheck: recheck, Refresher: p}
	for _, fn := range change {
		fn(&e)
	}
	i := &instance{t: t, store: &hooked{Store: s}, log: new(syncBuffer), ended: new(ended)}
	users := user.NewDirectory(i.store, user.Options{})
	log := slog.New(slog.NewTextHandler(i.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	sessions := session.NewManager(i.store, session.Options{Accounts: users, IdleTimeout: 12 * time.Hour, Logger: log})
	i.Guard = New(i.store, Options{
		Users: users, Sessions: sessions, Entries: []Entry{e}, Logger: log,
		OnEnded: func(_ context.Context, e Ended) { i.ended.add(e) },
	})
	t.Cleanup(func() { i.Close(); sessions.Close(); users.Close() })
	return i
}

func (i *instance) entry() Entry { return i.entries["id"].Entry }

// signIn has a person sign in at the provider, and returns their cookie.
func (w *world) signIn(change ...func(*oidc.Login)) (token string, s *session.Session) {
	w.t.Helper()
	return w.signInOn(w.instance, change...)
}

func (w *world) signInOn(i *instance, change ...func(*oidc.Login)) (token string, s *session.Session) {
	w.t.Helper()
	l := w.provider.login("1001")
	for _, fn := range change {
		fn(l)
	}
	u, err := i.SignIn(context.Background(), i.entry(), l)
	if err != nil {
		w.t.Fatal(err)
	}
	login, err := i.Session(i.entry(), u, l)
	if err != nil {
		w.t.Fatal(err)
	}
	token, s, err = i.sessions.Create(context.Background(), login)
	if err != nil {
		w.t.Fatal(err)
	}
	return token, s
}

// onSite is a session on a site that hangs on the portal's.
func (i *instance) onSite(portal string, parent *session.Session, keyed bool) (token string) {
	i.t.Helper()
	l := session.Login{Username: parent.Username, UserID: parent.UserID, Epoch: parent.Epoch, Parent: parent.ID, Site: "https://app.example.org"}
	if keyed {
		l.ParentKey, _ = session.SealKey(portal)
	}
	token, _, err := i.sessions.Create(context.Background(), l)
	if err != nil {
		i.t.Fatal(err)
	}
	return token
}

// in says that a cookie lets in, and as whom.
func (i *instance) in(token string) *identity.Identity {
	i.t.Helper()
	id, err := i.Identify(context.Background(), token)
	if err != nil || !id.Authenticated() {
		i.t.Fatalf("refused: %v, %v", id, err)
	}
	return id
}

// out says that a cookie is refused as unknown.
func (i *instance) out(token string) {
	i.t.Helper()
	if id, err := i.Identify(context.Background(), token); id != nil || !errors.Is(err, identity.ErrUnknown) {
		i.t.Fatalf("not refused as unknown: %v, %v", id, err)
	}
}

func (i *instance) alive(id *identity.Identity, want bool) {
	i.t.Helper()
	if got, err := i.Alive(context.Background(), id); got != want || err != nil {
		i.t.Fatalf("Alive = %v, %v; want %v", got, err, want)
	}
}

// roles are those that a cookie's owner has.
func (i *instance) roles(token string) string {
	i.t.Helper()
	return strings.Join(i.in(token).Roles, " ")
}

// leases are what is left of them in the store.
func (i *instance) leases() (all []leaseRecord) {
	i.t.Helper()
	entries, err := i.store.Scan(context.Background(), leasePrefix, "", 100)
	if err != nil {
		i.t.Fatal(err)
	}
	for _, e := range entries {
		var r leaseRecord
		if err := json.Unmarshal(e.Value, &r); err != nil {
			i.t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// provider is one that gives each refresh token once: who uses one twice has lost
// the login, as at providers that watch for theft (RFC 9700 section 4.14.2).
type provider struct {
	mu      sync.Mutex
	calls   int
	issued  int
	valid   map[string]string // refresh token → subject
	instead func(ctx context.Context, calls int, l *oidc.Login) (*oidc.Login, error)
	life    time.Duration // of an access token; 0: not told
	once    bool          // no refresh tokens
}

func newProvider() *provider { return &provider{valid: map[string]string{}} }

// login is what the provider says at a login. Roles carry a number.
func (p *provider) login(subject string) *oidc.Login {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.issue(subject)
}

func (p *provider) issue(subject string) *oidc.Login {
	p.issued++
	t := oidc.Tokens{
		Access: fmt.Sprint("access-secret-", p.issued), Refresh: fmt.Sprint("refresh-secret-", p.issued), ID: fmt.Sprint("id-", p.issued), Type: "Bearer",
	}
	if p.life > 0 {
		t.Expires = time.Now().Add(p.life).UTC()
	}
	if p.once {
		t.Refresh = ""
	}
	p.valid[t.Refresh] = subject
	return &oidc.Login{
		Provider: "id", Issuer: issuer, Subject: subject, Username: "alice", Email: "alice@example.com", EmailVerified: true, Name: "Alice",
		Roles: []string{fmt.Sprint("role-", p.issued)}, Groups: []string{"finance"}, Claims: map[string]any{"n": p.issued}, Tokens: t,
	}
}

// do sets what the provider answers instead of the truth, which it is given.
func (p *provider) do(instead func(ctx context.Context, calls int, l *oidc.Login) (*oidc.Login, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.instead = instead
}

func (p *provider) fails(err error) {
	p.do(func(context.Context, int, *oidc.Login) (*oidc.Login, error) { return nil, err })
}

func (p *provider) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls
}

// Refresh takes a login that comes with an error for no more than its tokens.
func (p *provider) Refresh(ctx context.Context, iss, subject string, old oidc.Tokens) (l *oidc.Login, now oidc.Tokens, err error) {
	p.mu.Lock()
	p.calls++
	calls, instead := p.calls, p.instead
	p.mu.Unlock()
	if instead == nil {
		l, err = p.rotate(iss, subject, old)
	} else {
		l, err = instead(ctx, calls, &oidc.Login{Issuer: iss, Subject: subject, Tokens: old})
	}
	if now = old; l != nil {
		now = l.Tokens
	}
	if err != nil {
		l = nil
	}
	return l, now, err
}

// rotate is the truth.
func (p *provider) rotate(iss, subject string, old oidc.Tokens) (*oidc.Login, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if iss != issuer || p.valid[old.Refresh] != subject {
		return nil, fmt.Errorf("%w: the refresh token was used before", oidc.ErrRevoked)
	}
	delete(p.valid, old.Refresh)
	return p.issue(subject), nil
}

// slowly answers the truth after a time.
func (p *provider) slowly(after time.Duration) {
	p.do(func(ctx context.Context, _ int, l *oidc.Login) (*oidc.Login, error) {
		select {
		case <-time.After(after):
			return p.rotate(l.Issuer, l.Subject, l.Tokens)
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", oidc.ErrUnavailable, ctx.Err())
		}
	})
}

// hooked is a store whose calls can be counted, held up or made to fail.
type hooked struct {
	store.Store
	reads atomic.Int64
	mu    sync.Mutex
	on    func(op, key string) error
}

func (h *hooked) hook(fn func(op, key string) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.on = fn
}

func (h *hooked) call(op, key string) error {
	h.mu.Lock()
	fn := h.on
	h.mu.Unlock()
	if fn == nil {
		return nil
	}
	return fn(op, key)
}

func (h *hooked) Get(ctx context.Context, key string) ([]byte, bool, error) {
	h.reads.Add(1)
	if err := h.call("get", key); err != nil {
		return nil, false, err
	}
	return h.Store.Get(ctx, key)
}

func (h *hooked) Create(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if err := h.call("create", key); err != nil {
		return false, err
	}
	return h.Store.Create(ctx, key, value, ttl)
}

func (h *hooked) Swap(ctx context.Context, key string, old, value []byte, ttl time.Duration) (bool, error) {
	if err := h.call("swap", key); err != nil {
		return false, err
	}
	return h.Store.Swap(ctx, key, old, value, ttl)
}

func (h *hooked) Take(ctx context.Context, key string) ([]byte, bool, error) {
	if err := h.call("take", key); err != nil {
		return nil, false, err
	}
	return h.Store.Take(ctx, key)
}

// away is a store that fails for keys of a kind.
func away(op, kind string) func(string, string) error {
	return func(o, key string) error {
		if (op == "" || o == op) && strings.HasPrefix(key, kind) {
			return store.ErrUnavailable
		}
		return nil
	}
}

// ended are the sessions that the hook was told of.
type ended struct {
	mu  sync.Mutex
	all []Ended
}

func (e *ended) add(one Ended) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, one)
}

func (e *ended) list() []Ended {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.all)
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
