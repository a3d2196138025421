package session

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/store/near"
)

const (
	// nearby is how many sessions are kept decoded in memory, each about a
	// kilobyte; one beyond these costs a store read a request.
	nearby = 32768
	// atOnce is how many touches may be under way; more wait for the session's
	// next request.
	atOnce = 256
	// touchWithin is how long a touch may take, and so how long Close may.
	touchWithin = 5 * time.Second
)

// Accounts tells what a user's record says now. found is false when there is no
// such user; an error means that it could not be found out, and refuses. It is
// asked on every request, and should return the same pointer while nothing
// changed: an Identity is kept for as long as it does.
type Accounts interface {
	Account(ctx context.Context, username string) (a *identity.Account, found bool, err error)
}

// Options of a Manager. Limits that became tighter hold for sessions that exist
// already.
type Options struct {
	Accounts    Accounts      // required
	IdleTimeout time.Duration // default 1 hour
	Lifetime    time.Duration // default 24 hours
	// RememberMe is both the lifetime and the idle limit of the sessions of
	// people who asked to stay signed in. 0, the default, treats their wish as
	// not made.
	RememberMe time.Duration
	Clock      func() time.Time // default time.Now
	Rand       io.Reader        // of tokens; default crypto/rand
	Logger     *slog.Logger     // default: discard
}

// Manager keeps the sessions in a store. Its methods may be called at the same
// time, also over one store by several managers and instances.
type Manager struct {
	store    store.Store
	accounts Accounts
	usual    limits
	remember limits
	offers   bool // whether people may ask to stay signed in
	clock    func() time.Time
	rand     io.Reader
	log      *slog.Logger
	near     *near.Cache[copied]

	mu      sync.Mutex // guards closed, and touches.Add against touches.Wait
	closed  bool
	touches sync.WaitGroup
	slots   chan struct{}
}

// NewManager makes a manager over s, which stays the caller's to close.
func NewManager(s store.Store, o Options) *Manager {
	m := &Manager{
		store: s, accounts: o.Accounts, clock: o.Clock, rand: o.Rand, log: o.Logger,
		usual: limits{idle: o.IdleTimeout, lifetime: o.Lifetime},
		slots: make(chan struct{}, atOnce),
	}
	if m.usual.idle <= 0 {
		m.usual.idle = time.Hour
	}
	if m.usual.lifetime <= 0 {
		m.usual.lifetime = 24 * time.Hour
	}
	m.remember = m.usual
	if o.RememberMe > 0 {
		m.offers = true
		m.remember = limits{idle: o.RememberMe, lifetime: o.RememberMe}
	}
	if m.clock == nil {
		m.clock = time.Now
	}
	if m.rand == nil {
		m.rand = rand.Reader
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	m.near = near.New(s, nearby, m.decode)
	return m
}

// Close waits for touches under way and ends listening to the store. Identify
// still works afterwards, more slowly and without touching, for requests that
// outlive a reload.
func (m *Manager) Close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.touches.Wait()
	m.near.Close()
}

func (m *Manager) limits(remember bool) limits {
	if remember {
		return m.remember
	}
	return m.usual
}

// now is the server's clock: nothing that a browser says has a part in when a
// session ends. It carries no monotonic reading, since stored times have none.
func (m *Manager) now() time.Time { return m.clock().UTC().Round(0) }
