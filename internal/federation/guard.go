package federation

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

const (
	// remembered is how many sessions' keys are kept in memory, each about 300
	// bytes. One beyond these is remembered again by its next request.
	remembered = 65536
	// atOnce is how many questions may be under way. When there are more, the
	// provider is slow, and the next request asks.
	atOnce = 256
)

// Options of a Guard.
type Options struct {
	Users    *user.Directory  // required
	Sessions *session.Manager // required
	// Entries are the providers that people may come from. Sessions of any other
	// are refused: its people are out when a provider is taken from the
	// configuration.
	Entries []Entry
	// OnEnded hears of each session that ended because its provider does not stand
	// by it any more, once. It may be called from any goroutine.
	OnEnded func(ctx context.Context, e Ended)
	Clock   func() time.Time // default time.Now
	Rand    io.Reader        // of the names of leases; default crypto/rand
	Logger  *slog.Logger     // default: discard
}

// Ended is a session that a provider has ended.
type Ended struct {
	SessionID string
	Username  string
	Provider  string
	Reason    string // for the log; holds no secret
}

// Guard looks up sessions as session.Manager does, and asks the providers behind
// them. Its methods may be called at the same time.
type Guard struct {
	store    store.Store
	users    *user.Directory
	sessions *session.Manager
	entries  map[string]*entry
	onEnded  func(ctx context.Context, e Ended)
	clock    func() time.Time
	rand     io.Reader
	log      *slog.Logger
	watches  *lru.Cache[string, *watch] // by the id of the session that holds the tokens

	ctx    context.Context // of what is under way
	cancel context.CancelFunc

	mu      sync.Mutex // guards what follows, and the changing fields of watches
	closed  bool
	flights map[string]*flight
	running sync.WaitGroup
}

// entry is an Entry, and whether its provider answers.
type entry struct {
	Entry
	away atomic.Bool
}

// watch is what is remembered of a session, in memory only.
type watch struct {
	key   session.Key // of the seal; never changes
	fails int         // questions in a row that nothing came of
	next  time.Time   // before which no other is asked
	fault error       // of the last question, if we ourselves failed

	unsaved atomic.Pointer[unsaved]
}

// unsaved is what a provider said that could not be stored. It may hold the only
// copy of a refresh token that counts: so it is stored before anything is asked.
type unsaved struct {
	sealed []byte // the tokens in the session that these are to replace
	tokens oidc.Tokens
	login  *oidc.Login // nil: only new tokens came
	at     time.Time   // when it was said
}

// New makes a guard over s, which stays the caller's to close, as do the users and
// sessions.
func New(s store.Store, o Options) *Guard {
	g := &Guard{
		store: s, users: o.Users, sessions: o.Sessions, entries: map[string]*entry{}, onEnded: o.OnEnded,
		clock: o.Clock, rand: o.Rand, log: o.Logger, flights: map[string]*flight{},
	}
	for _, e := range o.Entries {
		g.entries[e.Name] = &entry{Entry: e}
	}
	if g.onEnded == nil {
		g.onEnded = func(context.Context, Ended) {}
	}
	if g.clock == nil {
		g.clock = time.Now
	}
	if g.rand == nil {
		g.rand = rand.Reader
	}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	g.forgetAll(remembered)
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g
}

// forgetAll makes the memory, for a number of sessions.
func (g *Guard) forgetAll(size int) {
	g.watches, _ = lru.New[string, *watch](max(1, size)) // an error only for a size below 1
}

// Close waits a little for questions under way, whose answers may hold the only
// copy of new tokens, and then ends them. Afterwards the guard still answers, for
// requests that outlive a reload, and asks nobody: who cannot wait for a question
// any longer is refused.
func (g *Guard) Close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	timer := time.AfterFunc(patience, g.cancel)
	defer timer.Stop()
	g.running.Wait()
	g.cancel()
}

// now carries no monotonic reading, since stored times have none.
func (g *Guard) now() time.Time { return g.clock().UTC().Round(0) }
