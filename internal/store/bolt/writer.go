package bolt

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	bbolt "go.etcd.io/bbolt"
)

// Bounds of what waits, and of what one transaction carries: past maxBatchBytes
// of values the next ones wait for the following transaction.
const (
	maxQueue      = 1024
	maxBatch      = 512
	maxBatchBytes = 8 << 20
)

// write is one change on its way into a transaction.
type write struct {
	ctx   context.Context
	key   string // told to watchers when changed; "" for the sweeper
	size  int    // of its value, in bytes
	apply func(*txn) (changed bool, err error)

	state   atomic.Int32 // waiting, or who got it
	changed bool
	err     error      // of this one alone: nothing was changed by it
	done    chan error // takes one answer
}

// The states of a write. The writer and a caller whose context has ended race
// for it; who loses leaves it alone.
const (
	waiting int32 = iota
	begun
	given // up by its caller
)

// txn is the open transaction, as the changes see it.
type txn struct {
	data, charge, expiry *bbolt.Bucket
	now                  time.Time
	failed               error // of bbolt: the whole transaction is dropped
}

func newTxn(tx *bbolt.Tx, now time.Time) (*txn, error) {
	t := &txn{data: tx.Bucket(dataBucket), charge: tx.Bucket(chargeBucket), expiry: tx.Bucket(expiryBucket), now: now}
	if t.data == nil || t.charge == nil || t.expiry == nil {
		return nil, errors.New("a bucket is missing")
	}
	return t, nil
}

// write queues a change and waits for its transaction. apply runs on the
// writer; it must read before it changes anything, so that its error means
// nothing was changed.
func (s *Store) write(ctx context.Context, key string, size int, apply func(*txn) (bool, error)) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	w := &write{ctx: ctx, key: key, size: size, apply: apply, done: make(chan error, 1)}
	select {
	case s.queue <- w:
	case <-ctx.Done():
		return ended(ctx.Err())
	case <-s.closing:
		return errClosed
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		w.state.CompareAndSwap(waiting, given)
		return ended(ctx.Err())
	case <-s.stopped:
	}
	// The writer is gone. What it had begun, it has answered.
	if w.state.CompareAndSwap(waiting, given) {
		return errClosed
	}
	return <-w.done
}

// ready says why nothing can be written now, if so.
func (s *Store) ready(ctx context.Context) error {
	if s.isClosed() {
		return errClosed
	}
	if err := ctx.Err(); err != nil {
		return ended(err)
	}
	if f := s.fault.Load(); f != nil {
		return *f
	}
	return nil
}

// writer commits what is queued: a lone change at once, and what came in
// meanwhile together, so that many share one disk sync.
func (s *Store) writer() {
	defer close(s.stopped)
	debug.SetPanicOnFault(true) // of this goroutine
	for {
		select {
		case w := <-s.queue:
			s.commit(s.gather(w))
		case <-s.closing:
			for {
				select {
				case w := <-s.queue:
					s.commit(s.gather(w))
				default:
					return
				}
			}
		}
	}
}

// gather takes what is queued now and still wanted.
func (s *Store) gather(w *write) []*write {
	var batch []*write
	for size := 0; ; {
		if w.state.CompareAndSwap(waiting, begun) {
			if err := w.ctx.Err(); err != nil {
				w.done <- ended(err)
			} else {
				batch = append(batch, w)
				size += w.size
			}
		}
		if len(batch) >= maxBatch || size >= maxBatchBytes {
			return batch
		}
		select {
		case w = <-s.queue:
		default:
			return batch
		}
	}
}

// commit makes the changes of a batch in one transaction, tells the watchers,
// and answers. A transaction that failed may have reached the disk all the
// same, so watchers are told then, too.
func (s *Store) commit(batch []*write) {
	if len(batch) == 0 {
		return
	}
	err := s.transact(batch)
	for _, w := range batch {
		if w.key != "" && (w.changed || err != nil) {
			s.watchers.Tell(w.key)
		}
	}
	for _, w := range batch {
		if err != nil {
			w.done <- err
		} else {
			w.done <- w.err
		}
	}
}

// transact does not use bbolt's Update: after a panic that would roll back,
// which reads the whole file again and, where it is damaged, panics in a
// goroutine where nobody can recover. The transaction is left open instead, and
// nothing is written any more.
func (s *Store) transact(batch []*write) (err error) {
	if f := s.fault.Load(); f != nil {
		return *f
	}
	defer func() {
		if r := recover(); r != nil {
			err = s.damaged(r)
			s.fault.Store(&err)
			s.log.Error("the store file was damaged while in use; nothing can be written any more", "file", s.path, "error", fmt.Sprint(r))
		}
	}()
	tx, err := s.db.Begin(true)
	if err != nil {
		return s.unavailable(err)
	}
	t, err := newTxn(tx, s.now())
	if err != nil {
		panic(err)
	}
	for _, w := range batch {
		w.changed, w.err = w.apply(t)
		if w.err != nil {
			w.err = s.unavailable(w.err)
		}
		if t.failed != nil {
			return s.unavailable(errors.Join(t.failed, tx.Rollback()))
		}
	}
	if err := tx.Commit(); err != nil {
		return s.unavailable(err)
	}
	return nil
}

// put writes one pair. The errors of bbolt for it are mistakes of ours, such as
// a key that is too long; they drop the whole transaction.
func (t *txn) put(b *bbolt.Bucket, key, value []byte) {
	if err := b.Put(key, value); err != nil && t.failed == nil {
		t.failed = err
	}
}

func (t *txn) del(b *bbolt.Bucket, key []byte) {
	if err := b.Delete(key); err != nil && t.failed == nil {
		t.failed = err
	}
}

// set writes a value and moves its place among those that expire.
func (t *txn) set(key string, value []byte, ttl time.Duration) {
	k, ms := []byte(key), expires(t.now, ttl)
	t.unindex(k, ms)
	t.put(t.data, k, encode(dataSpace, k, ms, value))
	if ms != 0 {
		i := indexKey(ms, dataSpace, k)
		t.put(t.expiry, i, indexValue(i))
	}
}

// remove drops a value and its place among those that expire.
func (t *txn) remove(key string) {
	k := []byte(key)
	t.unindex(k, 0)
	t.del(t.data, k)
}

// unindex forgets when a value expires, unless that stays as it was.
func (t *txn) unindex(k []byte, next int64) {
	was, _, err := decode(dataSpace, k, t.data.Get(k))
	if err == nil && was != 0 && was != next {
		t.del(t.expiry, indexKey(was, dataSpace, k))
	}
}

// get returns the live value of key, which is valid until the next change.
func get(data *bbolt.Bucket, now time.Time, key string) (value []byte, found bool, err error) {
	k := []byte(key)
	b := data.Get(k)
	if b == nil {
		return nil, false, nil
	}
	ms, value, err := decode(dataSpace, k, b)
	if err != nil {
		return nil, false, fmt.Errorf("%q: %w", key, err)
	}
	return value, live(now, ms), nil
}
