package key

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

// nearby is how many keys are kept decoded in memory, each about a kilobyte; one
// beyond these costs a store read a request.
const nearby = 32768

// Accounts tells what the record of a key's owner, a user or a service, says
// now. found is false when there is no such owner; an error means that it could
// not be found out, and refuses. It is asked on every request, and should return
// the same pointer while nothing changed: an Identity is kept for as long as it
// does.
type Accounts interface {
	Account(ctx context.Context, username string) (a *identity.Account, found bool, err error)
}

// Options of a Manager. A MaxLifetime that became shorter holds for keys that
// exist already.
type Options struct {
	Accounts    Accounts         // required
	MaxLifetime time.Duration    // default 365 days
	Lifetime    time.Duration    // of a key that asks for none; default 90 days, never above MaxLifetime
	Limiter     *Limiter         // of requests; default: one that counts in this Manager
	Clock       func() time.Time // default time.Now
	Rand        io.Reader        // of ids and secrets; default crypto/rand
	Logger      *slog.Logger     // default: discard
}

// Manager keeps the keys in a store. Its methods may be called at the same time,
// also over one store by several managers and instances.
//
// Uses are counted in memory and written about once a minute, and at Close: a
// process that is killed loses up to a minute of them. While a write fails they
// are kept for the next; a store that fails amid a write may have counted them
// already, and then counts them twice.
type Manager struct {
	store    store.Store
	accounts Accounts
	max      time.Duration
	lifetime time.Duration
	limiter  *Limiter
	clock    func() time.Time
	rand     io.Reader
	log      *slog.Logger
	near     *near.Cache[copied]
	uses     *uses

	closing sync.Once
	stop    chan struct{} // closed when the writer of uses is to end
	stopped chan struct{} // closed when it has
}

// NewManager makes a manager over s, which stays the caller's to close.
func NewManager(s store.Store, o Options) *Manager {
	m := &Manager{
		store: s, accounts: o.Accounts, max: o.MaxLifetime, lifetime: o.Lifetime, limiter: o.Limiter,
		clock: o.Clock, rand: o.Rand, log: o.Logger,
		uses: newUses(), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	if m.max <= 0 {
		m.max = 365 * day
	}
	if m.lifetime <= 0 {
		m.lifetime = 90 * day
	}
	m.lifetime = min(m.lifetime, m.max)
	if m.clock == nil {
		m.clock = time.Now
	}
	if m.rand == nil {
		m.rand = rand.Reader
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	if m.limiter == nil {
		m.limiter = NewLimiter(LimiterOptions{Clock: m.clock, Logger: m.log})
	}
	m.near = near.New(s, nearby, m.hold)
	go m.writer()
	return m
}

// Close writes the uses that were counted, within ten seconds if the store
// hangs, and ends listening to the store. Identify still works afterwards, more
// slowly and without counting, for requests that outlive a reload.
func (m *Manager) Close() {
	m.closing.Do(func() {
		close(m.stop)
		<-m.stopped
		m.writeLast()
		m.near.Close()
	})
}

// now carries no monotonic reading, since stored times have none.
func (m *Manager) now() time.Time { return m.clock().UTC().Round(0) }
