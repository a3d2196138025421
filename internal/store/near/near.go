// Package near keeps typed copies of hot store values in this process, so that
// a request which was seen before costs no store read and no decoding.
//
// It owns coherence: which copy may still be believed. A copy goes the moment
// the store tells of a change to its key, and is believed no longer than the
// store's Trust. A read that raced with a change is returned to those who asked
// before the change was told, but never remembered. It does not own the meaning
// of what it keeps: values carry their own expiry, and "not found" is never
// remembered, so that strangers cannot fill the memory with made-up keys.
package near

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

// Cache remembers up to a fixed number of decoded values of one type. All
// methods may be called at the same time from any number of goroutines.
type Cache[T any] struct {
	store  store.Store
	decode func(value []byte) (*T, error)
	now    func() time.Duration // monotonic, so that setting the clock changes nothing
	seed   maphash.Seed
	shards []shard[T]
	closed atomic.Bool
	stop   func()
}

// New makes a cache of about size values (at least 1) that reads through to s
// and listens to its changes until Close. decode must not keep state; what it
// returns is shared by all callers, who treat it as read-only. An error of
// decode is an error of Get: a value that cannot be read is never "not found".
func New[T any](s store.Store, size int, decode func(value []byte) (*T, error)) *Cache[T] {
	const many, roomy = 32, 64 // shards, and the least a shard should hold
	n := 1
	for n < many && size/(2*n) >= roomy {
		n *= 2
	}
	start := time.Now()
	c := &Cache[T]{
		store: s, decode: decode, seed: maphash.MakeSeed(), shards: make([]shard[T], n),
		now: func() time.Duration { return time.Since(start) },
	}
	for i := range c.shards {
		c.shards[i].init(max(1, size/n))
	}
	c.stop = s.Watch(c.changed)
	return c
}

// Get returns the value of key, remembered or read. found is false when the
// store has none. err is a fault of the store or of decode, and names the key
// in the latter case. Callers who miss the same key at the same time share one
// read; a caller whose ctx ends fails alone.
func (c *Cache[T]) Get(ctx context.Context, key string) (v *T, found bool, err error) {
	s := &c.shards[maphash.String(c.seed, key)&uint64(len(c.shards)-1)]
	for {
		trust := c.trust()
		if trust <= 0 {
			// Changes made elsewhere are not heard of now: nothing may be
			// remembered, nor shared with a caller who came later.
			return c.read(ctx, key)
		}
		if v := s.fresh(key, c.now(), trust); v != nil {
			return v, true, nil
		}
		l, leads := s.join(key)
		if leads {
			c.lead(ctx, s, key, l)
			return l.value, l.found, l.err
		}
		select {
		case <-l.done:
			if !l.abandoned {
				return l.value, l.found, l.err
			}
		case <-ctx.Done():
			return nil, false, fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
		}
	}
}

// Hit returns what is remembered for key, and nothing else: it never reads the
// store. It lets a caller who has the key as bytes ask without an allocation.
func (c *Cache[T]) Hit(key []byte) (v *T, found bool) {
	trust := c.trust()
	if trust <= 0 {
		return nil, false
	}
	s := &c.shards[maphash.Bytes(c.seed, key)&uint64(len(c.shards)-1)]
	v = s.freshBytes(key, c.now(), trust)
	return v, v != nil
}

// Hint returns the copy of key however old it is, as long as copies may be kept
// at all. It may be wrong by now: it is good for guessing what to read next, and
// for nothing else.
func (c *Cache[T]) Hint(key []byte) (v *T, found bool) {
	if c.trust() <= 0 {
		return nil, false
	}
	s := &c.shards[maphash.Bytes(c.seed, key)&uint64(len(c.shards)-1)]
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := s.copies[string(key)]
	if r == nil {
		return nil, false
	}
	return r.value, true
}

// Close stops listening and forgets everything. Later calls of Get read
// through, so that requests which outlive a reload are still answered. It may
// be called more than once.
func (c *Cache[T]) Close() {
	c.closed.Store(true)
	c.stop()
	c.changed("")
}

// trust is how long a copy may be believed; 0 after Close, since nobody listens.
func (c *Cache[T]) trust() time.Duration {
	if c.closed.Load() {
		return 0
	}
	return c.store.Trust()
}

// changed is told by the store of every change. It never blocks for longer than
// a map operation.
func (c *Cache[T]) changed(key string) {
	if key == "" {
		for i := range c.shards {
			c.shards[i].forgetAll()
		}
		return
	}
	c.shards[maphash.String(c.seed, key)&uint64(len(c.shards)-1)].forget(key)
}

// lead reads for everybody who waits on l. Age and trust are taken before the
// read: the answer may be as old as that.
func (c *Cache[T]) lead(ctx context.Context, s *shard[T], key string, l *load[T]) {
	at, trust := c.now(), c.trust()
	l.abandoned = true // also when decode panics: the next in line reads for itself
	defer func() { s.finish(key, l, at, min(trust, c.trust())) }()
	l.value, l.found, l.err = c.read(ctx, key)
	// A failure that may be only this caller's (it hung up, its time was short)
	// is not passed on to the others.
	l.abandoned = l.err != nil && ctx.Err() != nil
}

func (c *Cache[T]) read(ctx context.Context, key string) (*T, bool, error) {
	raw, found, err := c.store.Get(ctx, key)
	if err != nil || !found {
		return nil, false, err
	}
	v, err := c.decode(raw)
	if err != nil {
		return nil, false, fmt.Errorf("the record %q cannot be read: %w", key, err)
	}
	return v, true, nil
}
