package redis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	// trustFor bounds how stale a remembered value may get, even should a notice
	// be lost in a way that nobody notices: a revocation is in force everywhere
	// within a second, and this leaves half of it.
	trustFor = 500 * time.Millisecond

	pingEvery = 200 * time.Millisecond // on the connection that notices come by
	silence   = 700 * time.Millisecond // without a sign of life: not trusted
	dead      = time.Second            // without one: connect anew

	retryFirst = 50 * time.Millisecond // after a failed connect, doubling up to
	retryLast  = 500 * time.Millisecond
)

// link is what is known of the connection to Redis.
type link struct {
	start time.Time
	heard atomic.Int64 // ns since start of the last sign from the subscription; 0: not subscribed
	reply atomic.Int64 // ns since start of the last answer to an operation
}

func (l *link) answered() { l.reply.Store(int64(time.Since(l.start))) }

// silent is true when Redis has not given any sign of life for a while.
func (l *link) silent(now time.Time) bool {
	last := max(l.heard.Load(), l.reply.Load())
	return now.Sub(l.start)-time.Duration(last) > silence
}

// Trust is half a second while notices arrive, which is tried five times a
// second, and 0 while that is not certain.
func (s *Store) Trust() time.Duration {
	heard := time.Duration(s.link.heard.Load())
	if heard == 0 || time.Since(s.link.start)-heard > silence || s.ctx.Err() != nil {
		return 0
	}
	return trustFor
}

// listen keeps a subscription to the notices until Close, and says once when
// Redis is lost and once when it is back.
func (s *Store) listen() {
	down, retry := false, retryFirst
	for s.ctx.Err() == nil {
		subscribed := false
		err := s.subscribe(func() {
			if down {
				s.log.Info("redis answers again")
			}
			subscribed, down, retry = true, false, retryFirst
			s.work.Go(s.inspect)
		})
		// Whatever happens from here until the next subscription is not heard.
		s.link.heard.Store(0)
		s.watchers.Tell("")
		if s.ctx.Err() != nil {
			return
		}
		if subscribed || !down {
			s.log.Error("redis cannot be reached; until it answers, what needs the store is refused", "error", err)
			down = true
		}
		select {
		case <-s.ctx.Done():
		case <-time.After(retry + rand.N(retry)):
		}
		retry = min(2*retry, retryLast)
	}
}

// subscribe listens until the connection fails, and calls up when Redis has
// confirmed the subscription.
func (s *Store) subscribe(up func()) error {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	sub := s.client.Subscribe(ctx) // to nothing yet: this only makes the object
	defer sub.Close()
	defer context.AfterFunc(ctx, func() { _ = sub.Close() })() // wakes the reader
	if err := bounded(ctx, func(ctx context.Context) error { return sub.Subscribe(ctx, s.channel) }); err != nil {
		return err
	}
	var pinger sync.WaitGroup
	defer pinger.Wait()
	defer cancel()
	pinger.Go(func() { s.ping(ctx, sub) })
	first := true
	for {
		// The driver leaves a connection that ran into this timeout in use, with
		// perhaps half a message read. So the timeout is the end of it.
		msg, err := sub.ReceiveTimeout(ctx, dead)
		if err != nil {
			return fmt.Errorf("listening for changes: %w", err)
		}
		switch msg := msg.(type) {
		case *goredis.Subscription:
			// Nobody knows what went unheard before. The log comes before the trust,
			// so that who sees the store trusted can read there why.
			s.watchers.Tell("")
			if first {
				first = false
				up()
			}
		case *goredis.Message:
			s.watchers.Tell(msg.Payload)
		}
		if !first {
			s.link.heard.Store(int64(time.Since(s.link.start)))
		}
	}
}

// ping asks for a sign of life until ctx ends; the reader sees the answers.
func (s *Store) ping(ctx context.Context, sub *goredis.PubSub) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := bounded(ctx, func(ctx context.Context) error { return sub.Ping(ctx) }); err != nil && !errors.Is(err, context.Canceled) {
			_ = sub.Close() // the driver may have connected anew behind our back
			return
		}
	}
}

func bounded(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	return fn(ctx)
}
