package bolt

import (
	"bytes"
	"context"
	"runtime/debug"
	"time"

	bbolt "go.etcd.io/bbolt"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

// Get returns a copy of the value of key, without a disk sync.
func (s *Store) Get(ctx context.Context, key string) (value []byte, found bool, err error) {
	if err := store.CheckKey(key); err != nil {
		return nil, false, err
	}
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		v, ok, err := get(tx.Bucket(dataBucket), s.now(), key)
		if ok {
			// What bbolt returns is a part of the file, and gone with the transaction.
			value, found = append(make([]byte, 0, len(v)), v...), true
		}
		return err
	})
	return value, found, err
}

// Put sets key.
func (s *Store) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := store.CheckPut(key, value, ttl); err != nil {
		return err
	}
	value = bytes.Clone(value) // the caller may be gone before it is written
	return s.write(ctx, key, len(value), func(t *txn) (bool, error) {
		t.set(key, value, ttl)
		return true, nil
	})
}

// Create sets key if there is none. That there is one costs no disk sync.
func (s *Store) Create(ctx context.Context, key string, value []byte, ttl time.Duration) (created bool, err error) {
	if err := store.CheckPut(key, value, ttl); err != nil {
		return false, err
	}
	if _, found, err := s.Get(ctx, key); err != nil || found {
		return false, err
	}
	value = bytes.Clone(value)
	return s.change(ctx, key, len(value), func(t *txn) (bool, error) {
		_, found, err := get(t.data, t.now, key)
		if err != nil || found {
			return false, err
		}
		t.set(key, value, ttl)
		return true, nil
	})
}

// Swap sets key if it holds exactly old. That it does not costs no disk sync.
func (s *Store) Swap(ctx context.Context, key string, old, value []byte, ttl time.Duration) (swapped bool, err error) {
	if err := store.CheckPut(key, value, ttl); err != nil {
		return false, err
	}
	if v, found, err := s.Get(ctx, key); err != nil || !found || !bytes.Equal(v, old) {
		return false, err
	}
	old, value = bytes.Clone(old), bytes.Clone(value)
	return s.change(ctx, key, len(value), func(t *txn) (bool, error) {
		v, found, err := get(t.data, t.now, key)
		if err != nil || !found || !bytes.Equal(v, old) {
			return false, err
		}
		t.set(key, value, ttl)
		return true, nil
	})
}

// Take removes key and returns what it held.
func (s *Store) Take(ctx context.Context, key string) (value []byte, found bool, err error) {
	if err := store.CheckKey(key); err != nil {
		return nil, false, err
	}
	if _, found, err := s.Get(ctx, key); err != nil || !found {
		return nil, false, err
	}
	var took []byte
	found, err = s.change(ctx, key, 0, func(t *txn) (bool, error) {
		v, found, err := get(t.data, t.now, key)
		if err != nil || !found {
			return false, err
		}
		took = append(make([]byte, 0, len(v)), v...)
		t.remove(key)
		return true, nil
	})
	if err != nil || !found {
		return nil, false, err // took may still be written to: the call was given up
	}
	return took, true, nil
}

// Delete removes key.
func (s *Store) Delete(ctx context.Context, key string) (found bool, err error) {
	_, found, err = s.Take(ctx, key)
	return found, err
}

// change is write for what may turn out to be no change.
func (s *Store) change(ctx context.Context, key string, size int, apply func(*txn) (bool, error)) (bool, error) {
	var changed bool
	err := s.write(ctx, key, size, func(t *txn) (bool, error) {
		var err error
		changed, err = apply(t)
		return changed, err
	})
	if err != nil {
		return false, err
	}
	return changed, nil
}

// Scan reads a page in one transaction.
func (s *Store) Scan(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	if err := store.CheckKey(prefix); err != nil {
		return nil, err
	}
	var list []store.Entry
	err := s.view(ctx, func(tx *bbolt.Tx) error {
		now := s.now()
		return walk(ctx, tx, prefix, after, func(k, b []byte) (bool, error) {
			if len(list) >= limit {
				return false, nil
			}
			ms, v, err := decode(dataSpace, k, b)
			if err != nil || !live(now, ms) {
				return true, err
			}
			e := store.Entry{Key: string(k), Value: append(make([]byte, 0, len(v)), v...)}
			if ms != 0 {
				e.Expires = time.UnixMilli(ms)
			}
			list = append(list, e)
			return true, nil
		})
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// Count counts the live keys of a kind, by walking over them.
func (s *Store) Count(ctx context.Context, kind string) (int, error) {
	if err := store.CheckKey(kind + "/"); err != nil {
		return 0, err
	}
	n := 0
	err := s.view(ctx, func(tx *bbolt.Tx) error {
		now := s.now()
		return walk(ctx, tx, kind+"/", "", func(k, b []byte) (bool, error) {
			ms, _, err := decode(dataSpace, k, b)
			if err == nil && live(now, ms) {
				n++
			}
			return true, err
		})
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// walk calls fn with each record whose key starts with prefix and comes after
// after, until it returns false.
func walk(ctx context.Context, tx *bbolt.Tx, prefix, after string, fn func(k, b []byte) (bool, error)) error {
	c := tx.Bucket(dataBucket).Cursor()
	start := []byte(max(prefix, after))
	k, b := c.Seek(start)
	if after >= prefix && bytes.Equal(k, []byte(after)) {
		k, b = c.Next()
	}
	for n := 0; bytes.HasPrefix(k, []byte(prefix)); n++ {
		if n%1024 == 1023 && ctx.Err() != nil {
			return ctx.Err()
		}
		more, err := fn(k, b)
		if err != nil || !more {
			return err
		}
		k, b = c.Next()
	}
	return nil
}

// view reads. A fault of the memory map, or a page that makes bbolt panic, is an
// error of this call.
func (s *Store) view(ctx context.Context, fn func(*bbolt.Tx) error) (err error) {
	if s.isClosed() {
		return errClosed
	}
	if err := ctx.Err(); err != nil {
		return ended(err)
	}
	was := debug.SetPanicOnFault(true)
	defer func() {
		if r := recover(); r != nil {
			err = s.damaged(r)
		}
		debug.SetPanicOnFault(was)
	}()
	if err := s.db.View(fn); err != nil {
		return s.unavailable(err)
	}
	return nil
}
