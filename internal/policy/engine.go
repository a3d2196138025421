package policy

import (
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultBudget is the longest evaluation when Options say nothing.
const DefaultBudget = 25 * time.Millisecond

// DefaultRemember is how many answers each entry remembers when Options say
// nothing; they take 4 MiB at most, half a kilobyte each.
const DefaultRemember = 8192

// Options say what an Engine reads and how long it may take.
type Options struct {
	Dirs     []string      // policy folders; each must exist
	Builtin  fs.FS         // packages shipped with us; nil: none
	Budget   time.Duration // longest evaluation; 0: DefaultBudget
	Remember int           // answers to remember for each entry; 0: DefaultRemember, negative: none
	Logger   *slog.Logger  // nil: silent
	// OnRevision is told by Watch of the revision in force, and from then on of
	// every set that is taken (its revision) and of every one that is refused
	// (the revision that stays in force, and why). What comes before Watch is
	// one configuration being put together, and told of by errors alone.
	// OnRevision may ask for Revision and Status, and must not change the Engine.
	OnRevision func(revision string, err error)
	Clock      func() time.Time // for Status; nil: time.Now
}

// Engine holds the policies in force. Its methods are safe for concurrent use.
// Close it when it is no longer needed.
type Engine struct {
	dirs       []string
	builtin    fs.FS
	budget     time.Duration
	remember   int
	log        *slog.Logger
	onRevision func(string, error)
	clock      func() time.Time
	pool       *pool
	identities *identityTerms
	current    atomic.Pointer[generation] // nil until a load succeeds

	mu      sync.Mutex // guards what follows, and every change of current
	src     *sources   // what current was made from
	tried   string     // fingerprint of the last set that was looked at
	rules   []siteRules
	entries map[string]*Entry
	watcher *watcher
	closed  bool
	telling bool // OnRevision is told

	status atomic.Pointer[Status]
}

// generation is all that answers at one revision. It is swapped as a whole.
type generation struct {
	*compiled
	programs map[string]*program // by package
	loaded   time.Time

	once    sync.Once
	headers []string // of all programs; made by once
}

// NewEngine makes an engine with nothing loaded.
func NewEngine(o Options) *Engine {
	e := &Engine{
		dirs: slices.Clone(o.Dirs), builtin: o.Builtin, budget: o.Budget, remember: o.Remember,
		log: o.Logger, onRevision: o.OnRevision, clock: o.Clock,
		pool: newPool(), identities: newIdentityTerms(identitySlots), entries: map[string]*Entry{},
	}
	if e.budget <= 0 {
		e.budget = DefaultBudget
	}
	if e.remember == 0 {
		e.remember = DefaultRemember
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if e.onRevision == nil {
		e.onRevision = func(string, error) {}
	}
	if e.clock == nil {
		e.clock = time.Now
	}
	return e
}

// Entry returns the entry of a package, which must define allow. Before the
// first load that is checked by Load.
func (e *Engine) Entry(pkg string) (*Entry, error) {
	if _, err := packageRef(pkg); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := e.entries[pkg]; n != nil {
		return n, nil
	}
	if old := e.current.Load(); old != nil {
		p, err := old.prepare(pkg, e.remember)
		if err != nil {
			return nil, err
		}
		next := &generation{compiled: old.compiled, programs: maps.Clone(old.programs), loaded: old.loaded}
		next.programs[pkg] = p
		e.current.Store(next)
	}
	n := &Entry{engine: e, pkg: pkg, lanes: newLanes()}
	e.entries[pkg] = n
	return n, nil
}

// StaticHeaders returns the canonical names of all headers that any package which
// decides can set, sorted: the same slice until they may have changed. It is empty
// before the first load.
func (e *Engine) StaticHeaders() []string {
	set := e.current.Load()
	if set == nil {
		return nil
	}
	set.once.Do(func() {
		for _, p := range set.programs {
			set.headers = append(set.headers, p.headers...)
		}
		slices.Sort(set.headers)
		set.headers = slices.Compact(set.headers)
	})
	return set.headers
}

// Revision names the set in force; it is empty before the first load.
func (e *Engine) Revision() string {
	if set := e.current.Load(); set != nil {
		return set.revision
	}
	return ""
}

// Close stops watching and the workers. Decisions after it are faults.
func (e *Engine) Close() {
	e.mu.Lock()
	w := e.watcher
	e.watcher, e.closed = nil, true
	e.mu.Unlock()
	if w != nil {
		w.stop()
	}
	e.pool.close()
}
