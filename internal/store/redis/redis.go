// Package redis keeps the store in a Redis, alone, behind Sentinel or as a
// Cluster, that several instances share (Redis 6.2 or newer, or Valkey).
//
// It owns the layout of the keys, the scripts that change several of them at
// once, the notices by which instances hear of each other's changes, and the
// judgement of whether those notices arrive. It does not own the Redis: it
// warns when that may lose data, and goes on.
//
// Every operation touches keys of one hash slot, so that all of it works on a
// Cluster. Every operation ends within about two seconds, also when Redis hangs.
// No change is sent twice: an answer that got lost makes an error, because a
// repeated Create or Take would deny to the one who won that he did.
package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

// The driver would print to standard error, once per attempt, past every
// logger. What matters of that is logged here.
func init() { logging.Disable() }

const (
	dialTimeout = time.Second
	readTimeout = time.Second
	opTimeout   = 2 * time.Second // of a whole operation, whatever its context says
)

// Options of a Store. The zero value is fine.
type Options struct {
	Logger *slog.Logger // default: none
}

// Store is a store.Store in a Redis.
type Store struct {
	target  *Target
	client  goredis.UniversalClient
	log     *slog.Logger
	channel string // of the notices

	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	once     sync.Once
	work     sync.WaitGroup
	link     link
	pending  atomic.Int64 // operations under way
	limit    int64        // of those, while Redis does not answer
	watchers store.Watchers
}

// Open returns a store on the Redis at url; see ParseURL. It touches no network:
// a Redis that is down makes operations fail until it is up. Connecting,
// listening for notices and checking the server's settings happen in the
// background until Close.
func Open(url string, o Options) (*Store, error) {
	target, err := ParseURL(url)
	if err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{
		target:  target,
		client:  target.client(),
		log:     o.Logger.With("redis", target.String()),
		channel: fmt.Sprintf("gatehouse:changes:%d", target.DB), // channels are shared by all databases
		limit:   int64(2 * target.poolSize()),
	}
	s.link.start = time.Now()
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.work.Go(s.listen)
	return s, nil
}

// Close ends the background work and all connections.
func (s *Store) Close() error {
	var err error
	s.once.Do(func() {
		s.cancel()
		s.work.Wait()
		err = s.client.Close()
	})
	if err != nil {
		return fmt.Errorf("closing the connections to redis: %w", err)
	}
	return nil
}

var (
	errClosed = fmt.Errorf("%w: it is closed", store.ErrUnavailable)
	errBusy   = fmt.Errorf("%w: redis does not answer, and enough is waiting for it", store.ErrUnavailable)
)

// begin bounds an operation in time and, while Redis does not answer, in
// number: otherwise each request of a busy site would wait out its two seconds
// in memory.
func (s *Store) begin(ctx context.Context) (context.Context, func(), error) {
	if s.ctx.Err() != nil {
		return nil, nil, errClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	if n := s.pending.Add(1); n > s.limit && s.link.silent(time.Now()) {
		s.pending.Add(-1)
		return nil, nil, errBusy
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	return ctx, func() { cancel(); s.pending.Add(-1) }, nil
}

// unavailable makes the error of an operation. caller is the context that it
// was given: only its own end may look like one, not that of our time limit.
func (s *Store) unavailable(caller context.Context, err error) error {
	if s.ctx.Err() != nil {
		return errClosed
	}
	if end := caller.Err(); end != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, end)
	}
	var refused goredis.Error
	if errors.As(err, &refused) {
		return fmt.Errorf("%w: redis: %w", store.ErrUnavailable, err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: redis did not answer within %v", store.ErrUnavailable, opTimeout)
	}
	return fmt.Errorf("%w: redis: %v", store.ErrUnavailable, err)
}

var _ store.Store = (*Store)(nil)
