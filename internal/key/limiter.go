package key

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

const (
	// chargeWithin is how long a shared store may take to count one request; past
	// that it is taken for away.
	chargeWithin = time.Second
	// askAgain is how long a store that was away is left alone: a request then
	// does not wait for what the last one has waited for in vain.
	askAgain = time.Second
)

// LimiterOptions of a Limiter. The zero value counts in this process.
type LimiterOptions struct {
	// Store is shared by the instances, which then count together. nil, the
	// default, counts in this process alone, which is right when there is one:
	// it costs no disk.
	Store  store.Store
	Clock  func() time.Time // default time.Now
	Logger *slog.Logger     // default: discard
}

// Limiter counts the requests of keys: as many at once as the rate has requests,
// then one each Per / Requests (the generic cell rate algorithm). It outlives
// Managers, so that a new configuration does not give everybody their whole limit
// again; it has nothing to close.
//
// While a shared store does not answer, each instance holds each key to its whole
// rate by itself, starting afresh: over all, a key may then make as many times its
// rate as there are instances. This is logged once when it begins and once when
// it ends.
type Limiter struct {
	store store.Store
	clock func() time.Time
	start time.Time
	log   *slog.Logger
	local *local
	away  atomic.Bool
	next  atomic.Int64 // ns since start; before it a store that is away is not asked
}

// NewLimiter makes a Limiter.
func NewLimiter(o LimiterOptions) *Limiter {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Limiter{store: o.Store, clock: o.Clock, start: o.Clock(), log: o.Logger, local: newLocal()}
}

// bucket is what the requests of a key under one rate are counted by. Another
// rate begins afresh: a store holds what was used up under a slow rate against a
// key for the slow rate's time, also when it has a quicker one by then.
func bucket(id string, r identity.Rate) string { return ratePrefix + id + "/" + r.String() }

// charge takes one request from what a key may make. An error means that it could
// not be counted.
func (l *Limiter) charge(ctx context.Context, bucket string, r identity.Rate) (store.Allowance, error) {
	limit := limitOf(r)
	if l.store != nil && l.asks() {
		a, err := l.shared(ctx, bucket, limit)
		switch {
		case err == nil:
			l.answered()
			return a, nil
		case ctx.Err() != nil || !errors.Is(err, store.ErrUnavailable):
			return store.Allowance{}, err
		}
		l.lost(err)
	}
	return l.local.charge(bucket, limit, l.elapsed()), nil
}

// limitOf rounds up to whole microseconds, in which stores count: a limit is
// never looser than it says. (One over more than a century is cut to that.)
func limitOf(r identity.Rate) store.Limit {
	per, n := min(r.Per, 100*365*day), time.Duration(r.Requests)
	every := (per / n).Truncate(time.Microsecond)
	if every*n < per {
		every += time.Microsecond
	}
	return store.Limit{Burst: r.Requests, Every: every}
}

func (l *Limiter) shared(ctx context.Context, bucket string, limit store.Limit) (store.Allowance, error) {
	ctx, cancel := context.WithTimeout(ctx, chargeWithin)
	defer cancel()
	return l.store.Charge(ctx, bucket, limit, 1)
}

// asks reports whether the shared store is to be asked: always while it answers,
// and by one request in a while when it does not.
func (l *Limiter) asks() bool {
	if !l.away.Load() {
		return true
	}
	now, next := l.elapsed(), l.next.Load()
	return int64(now) >= next && l.next.CompareAndSwap(next, int64(now+askAgain))
}

func (l *Limiter) lost(err error) {
	l.next.Store(int64(l.elapsed() + askAgain))
	if !l.away.Swap(true) {
		l.log.Warn("the store does not count the requests of keys; until it does, each instance holds them to their rates by itself", "error", err)
	}
}

func (l *Limiter) answered() {
	if l.away.Load() && l.away.Swap(false) {
		l.log.Info("the store counts the requests of keys again")
	}
}

// elapsed is monotonic with the default clock.
func (l *Limiter) elapsed() time.Duration { return l.clock().Sub(l.start) }
