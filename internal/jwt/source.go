package jwt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/outgoing"
)

// ErrNoKeys means that an issuer's keys could not be found out, so that nothing
// can be said about its tokens.
var ErrNoKeys = errors.New("the issuer's keys are not known")

// SourceOptions say whose keys a Source has and where they are. JWKSURL and
// JWKSFile exclude each other; without both, the issuer's metadata tell.
type SourceOptions struct {
	Issuer   string // required; the issuer's URL, unless JWKSURL or JWKSFile is given
	JWKSURL  string // https, or http on this machine
	JWKSFile string // JWKS or PEM, with public keys and certificates only
	// Client is what issuers are asked with; only its Transport is used. Default:
	// a transport with short timeouts that heeds HTTPS_PROXY.
	Client *http.Client
	Clock  func() time.Time // default time.Now
	// Jitter changes the time until the next fetch a little, so that many
	// instances do not ask at once. Default: by up to a tenth, at random.
	Jitter  func(time.Duration) time.Duration
	Logger  *slog.Logger        // default: discard
	OnFetch func(result string) // hears how each fetch ended: ResultOK …
}

// Source keeps the public keys of one issuer. Keys are fetched when they are
// first needed (or by Start), again every 15 minutes while they are used, and
// when a token names a key that is not known. While the issuer is down the last
// good set is kept for 24 hours.
//
// A file is read again every few seconds, and its last good content kept.
//
// It may be shared by verifiers and outlives them; all methods may be called at
// the same time. Making one touches neither network nor files.
type Source struct {
	issuer  string
	origin  origin
	pace    pace
	clock   func() time.Time
	jitter  func(time.Duration) time.Duration
	ctx     context.Context // of everything that runs; ends with Close
	cancel  context.CancelFunc
	release func()

	known    atomic.Pointer[known]
	observer atomic.Pointer[observer]

	mu      sync.Mutex
	flight  *flight   // the fetch under way; there is never more than one
	unknown time.Time // when the next look for an unknown kid may begin
	started bool
	closed  bool
	running sync.WaitGroup

	settling sync.Mutex       // one result at a time
	skipped  map[skipped]bool // what was said about the last set's keys
}

// known is what the last fetches told. It does not change.
type known struct {
	set      *Set      // nil: none ever
	good     time.Time // when the last good fetch began
	next     time.Time // when the next one is due
	err      error     // of the last fetch
	failures int       // since the last good one
}

// flight is one fetch.
type flight struct{ done chan struct{} }

type observer struct {
	log     *slog.Logger
	onFetch func(string)
}

// NewSource checks the options. Close must be called in the end.
func NewSource(o SourceOptions) (*Source, error) {
	s := &Source{issuer: o.Issuer, clock: o.Clock, jitter: o.Jitter, release: func() {}}
	switch {
	case o.Issuer == "":
		return nil, errors.New("the issuer is missing")
	case o.JWKSURL != "" && o.JWKSFile != "":
		return nil, errors.New("keys come from a URL or from a file, not from both")
	case o.JWKSFile != "":
		s.origin = &fileOrigin{path: o.JWKSFile}
	default:
		at, what := o.JWKSURL, "the URL of the keys"
		if at == "" {
			at, what = o.Issuer, "the issuer"
		}
		u, err := outgoing.URL(at)
		if err != nil {
			return nil, fmt.Errorf("%s cannot be used: %w", what, err)
		}
		client, release := newClient(o.Client, true)
		s.release = release
		s.origin = &webOrigin{client: client, url: at}
		if o.JWKSURL == "" {
			if u.RawQuery != "" || u.ForceQuery {
				return nil, errors.New("the issuer cannot be used: it has a query")
			}
			s.origin = &discovery{client: client, issuer: at}
		}
	}
	s.pace = s.origin.pace()
	if s.clock == nil {
		s.clock = time.Now
	}
	if s.jitter == nil {
		s.jitter = spread
	}
	s.Observe(o.Logger, o.OnFetch)
	s.known.Store(&known{})
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// spread adds or takes up to a tenth.
func spread(d time.Duration) time.Duration { return d*9/10 + rand.N(d/5+1) }

// Observe sets who hears of fetches from now on, for a Source that outlives the
// configuration which made it. Either may be nil.
func (s *Source) Observe(log *slog.Logger, onFetch func(result string)) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if onFetch == nil {
		onFetch = func(string) {}
	}
	s.observer.Store(&observer{log: log, onFetch: onFetch})
}
