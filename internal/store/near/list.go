package near

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

// List keeps all records of one kind decoded in memory, for kinds that are few,
// change seldom, and are asked about on every request, mostly in vain: what was
// revoked, which certificate is bound to whom. Asking costs no store read while
// nothing changed. (A Cache would read the store for each "not found".)
//
// Every change made through a List of the same kind, here or on another
// instance, writes a new version under "version/<kind>" after the record; a copy
// is as good as the version that was read before it. Whoever changes records of
// the kind in another way is not noticed.
type List[T any] struct {
	store   store.Store
	kind    string
	decode  func(key string, value []byte) (*T, error)
	version *Cache[string]
	loading chan struct{} // one load at a time, also for those who give up waiting
	now     atomic.Pointer[listed[T]]
}

// listed is one complete copy.
type listed[T any] struct {
	version string
	records map[string]*T
}

// NewList makes a list of the records whose keys begin with kind and "/". decode
// must not keep state; what it returns is shared by all callers, who treat it as
// read-only. A record that it cannot read is an error of All: a damaged record
// is never "not there".
func NewList[T any](s store.Store, kind string, decode func(key string, value []byte) (*T, error)) *List[T] {
	return &List[T]{
		store: s, kind: kind, decode: decode, loading: make(chan struct{}, 1),
		version: New(s, 1, func(value []byte) (*string, error) {
			v := string(value)
			return &v, nil
		}),
	}
}

// Close ends listening to the store. Later calls still work, more slowly.
func (l *List[T]) Close() { l.version.Close() }

// All returns every record by its whole key. The map is shared: nobody may
// change it. An error means that the records could not be found out.
func (l *List[T]) All(ctx context.Context) (map[string]*T, error) {
	version, err := l.current(ctx)
	if err != nil {
		return nil, err
	}
	if have := l.now.Load(); have != nil && have.version == version {
		return have.records, nil
	}
	select {
	case l.loading <- struct{}{}:
		defer func() { <-l.loading }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
	}
	// The version counts from before the records are read, and may have changed
	// while this caller waited.
	if version, err = l.current(ctx); err != nil {
		return nil, err
	}
	if have := l.now.Load(); have != nil && have.version == version {
		return have.records, nil
	}
	records, err := l.load(ctx)
	if err != nil {
		return nil, err
	}
	l.now.Store(&listed[T]{version: version, records: records})
	return records, nil
}

// Put sets a record whatever was there before. It is in force here when Put
// returns without an error, and on other instances as soon as they hear of it.
func (l *List[T]) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := l.store.Put(ctx, key, value, ttl); err != nil {
		return err
	}
	return l.changed(ctx)
}

// Create sets a record only if there is none of its key.
func (l *List[T]) Create(ctx context.Context, key string, value []byte, ttl time.Duration) (created bool, err error) {
	created, err = l.store.Create(ctx, key, value, ttl)
	if err != nil || !created {
		return false, err
	}
	return true, l.changed(ctx)
}

// Delete removes a record; found is false when there was none.
func (l *List[T]) Delete(ctx context.Context, key string) (found bool, err error) {
	found, err = l.store.Delete(ctx, key)
	if err != nil || !found {
		return found, err
	}
	return true, l.changed(ctx)
}

// current returns the version in force, and makes the first one.
func (l *List[T]) current(ctx context.Context) (string, error) {
	key := l.versionKey()
	for range 3 {
		v, found, err := l.version.Get(ctx, key)
		if err != nil {
			return "", err
		}
		if found {
			return *v, nil
		}
		if _, err := l.store.Create(ctx, key, newVersion(), 0); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("%w: %q is gone as soon as it is written", store.ErrUnavailable, key)
}

func (l *List[T]) changed(ctx context.Context) error {
	return l.store.Put(ctx, l.versionKey(), newVersion(), 0)
}

func (l *List[T]) load(ctx context.Context) (map[string]*T, error) {
	const page = 1000
	records := map[string]*T{}
	for after := ""; ; {
		entries, err := l.store.Scan(ctx, l.kind+"/", after, page)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			v, err := l.decode(e.Key, e.Value)
			if err != nil {
				return nil, fmt.Errorf("the record %q cannot be read: %w", e.Key, err)
			}
			records[e.Key], after = v, e.Key
		}
		if len(entries) < page {
			return records, nil
		}
	}
}

func (l *List[T]) versionKey() string { return "version/" + l.kind }

// newVersion is unlike every other: a store that was set back to an older state
// has a version of that time, and never one that means another set of records.
func newVersion() []byte {
	var b [16]byte
	_, _ = rand.Read(b[:]) // crypto/rand never returns an error
	return []byte(hex.EncodeToString(b[:]))
}
