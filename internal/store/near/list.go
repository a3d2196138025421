package near

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
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
// the kind in another way is not noticed, nor is a record whose ttl ends: it may
// be returned until the next change. An instance that dies between the two
// writes leaves a change, which it has acknowledged to nobody, to be noticed with
// the next one.
type List[T any] struct {
	store      store.Store
	prefix     string // of the records' keys
	versionKey string
	decode     func(key string, value []byte) (*T, error)
	version    *Cache[string]
	loading    chan struct{} // one load at a time, also for those who give up waiting
	now        atomic.Pointer[listed[T]]
	failed     atomic.Pointer[error] // of the last load that failed
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
		store: s, prefix: kind + "/", versionKey: "version/" + kind, decode: decode, loading: make(chan struct{}, 1),
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
	failed := l.failed.Load()
	select {
	case l.loading <- struct{}{}:
		defer func() { <-l.loading }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
	}
	// A store that hangs is waited for once by all who are here, not by one after
	// the other.
	if now := l.failed.Load(); now != failed {
		return nil, *now
	}
	records, err := l.load(ctx)
	if err != nil && ctx.Err() == nil { // else it may be this caller's failure only
		failure := err
		l.failed.Store(&failure)
	}
	return records, err
}

// load returns all records, read anew unless somebody else has just done that.
func (l *List[T]) load(ctx context.Context) (map[string]*T, error) {
	// The version counts from before the records are read, and may have changed
	// while this caller waited.
	version, err := l.current(ctx)
	if err != nil {
		return nil, err
	}
	if have := l.now.Load(); have != nil && have.version == version {
		return have.records, nil
	}
	records, err := l.read(ctx)
	if err != nil {
		return nil, err
	}
	l.now.Store(&listed[T]{version: version, records: records})
	return records, nil
}

// Put sets a record whatever was there before. It is in force here when Put
// returns without an error, and on other instances as soon as they hear of it.
// After an error it may be in force, now or later; another Put settles that.
func (l *List[T]) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := l.check(key); err != nil {
		return err
	}
	return l.changed(ctx, l.store.Put(ctx, key, value, ttl))
}

// Create sets a record only if there is none of its key. One that is there
// already is in force when Create returns without an error.
func (l *List[T]) Create(ctx context.Context, key string, value []byte, ttl time.Duration) (created bool, err error) {
	if err := l.check(key); err != nil {
		return false, err
	}
	created, err = l.store.Create(ctx, key, value, ttl)
	err = l.changed(ctx, err)
	return created && err == nil, err
}

// Delete removes a record; found is false when there was none. Either way it is
// gone for All when Delete returns without an error.
func (l *List[T]) Delete(ctx context.Context, key string) (found bool, err error) {
	if err := l.check(key); err != nil {
		return false, err
	}
	found, err = l.store.Delete(ctx, key)
	return found, l.changed(ctx, err)
}

// check refuses keys that All would never show.
func (l *List[T]) check(key string) error {
	if !strings.HasPrefix(key, l.prefix) {
		return fmt.Errorf("%w: it does not begin with %q", store.ErrKey, l.prefix)
	}
	return nil
}

// changed writes a new version after a write that ended with err. It does so
// also when the write changed nothing, since an earlier try at it may have left
// off before the version; when the write failed, since it may have happened; and
// when the caller has hung up: a record must not lie there unseen.
func (l *List[T]) changed(ctx context.Context, err error) error {
	if err != nil && !errors.Is(err, store.ErrUnavailable) {
		return err // nothing was touched
	}
	const within = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	if untold := l.store.Put(ctx, l.versionKey, newVersion(), 0); err == nil && untold != nil {
		return fmt.Errorf("telling of a change under %q: %w", l.prefix, untold)
	}
	return err
}

// current returns the version in force, and makes the first one.
func (l *List[T]) current(ctx context.Context) (string, error) {
	for range 3 {
		v, found, err := l.version.Get(ctx, l.versionKey)
		if err != nil {
			return "", err
		}
		if found {
			return *v, nil
		}
		if _, err := l.store.Create(ctx, l.versionKey, newVersion(), 0); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("%w: %q is gone as soon as it is written", store.ErrUnavailable, l.versionKey)
}

func (l *List[T]) read(ctx context.Context) (map[string]*T, error) {
	const page = 1000
	records := map[string]*T{}
	for after := ""; ; {
		entries, err := l.store.Scan(ctx, l.prefix, after, page)
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

// newVersion is unlike every other: a store that was set back to an older state
// has a version of that time, and never one that means another set of records.
func newVersion() []byte {
	var b [16]byte
	_, _ = rand.Read(b[:]) // crypto/rand never returns an error
	return []byte(hex.EncodeToString(b[:]))
}
