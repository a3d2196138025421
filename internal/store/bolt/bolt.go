// Package bolt keeps the store in one file for one process (go.etcd.io/bbolt).
//
// It owns the file: that it is locked, sound before it is written to, never
// half made, and that what was acknowledged is on disk. Reads are served from
// the memory map and cost no disk sync; writes that wait at the same time share
// one. Every record carries a checksum, so that a damaged one is an error and
// never a changed role.
//
// It does not own what the values mean, and it does not share: several
// processes need package redis.
package bolt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	bbolt "go.etcd.io/bbolt"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

// Options of a Store. The zero value is fine.
type Options struct {
	Logger *slog.Logger     // default: none
	Clock  func() time.Time // default: time.Now
}

// Store is a store.Store in one file.
//
// When the context of a writing call ends, the call returns at once. The change
// has not happened and will not happen if its turn had not come yet, and may
// still happen if it had: a turn is one transaction, so that is decided within
// the time of a disk sync.
type Store struct {
	path string
	db   *bbolt.DB
	file *os.File
	log  *slog.Logger
	now  func() time.Time

	queue   chan *write
	closing chan struct{} // closed by Close: no new work
	stopped chan struct{} // closed when the writer is done
	once    sync.Once
	work    sync.WaitGroup
	fault   atomic.Pointer[error] // damage met while writing; all writes fail from then on

	watchers store.Watchers
}

// Open opens the file at path, or makes it, with its folder if need be. It
// returns an error that says what to do, and leaves the file byte for byte as it
// was, when the file is damaged, is no store, was written by a newer Gatehouse,
// may not be read and written, or is still in use by another process after a
// second. ctx bounds that wait.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	file, err := openFile(ctx, path, o.Logger)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	db, err := openDB(file)
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("%w: %s: %w", store.ErrUnavailable, path, err)
	}
	s := &Store{
		path: path, db: db, file: file, log: o.Logger, now: o.Clock,
		queue:   make(chan *write, maxQueue),
		closing: make(chan struct{}), stopped: make(chan struct{}),
	}
	s.work.Go(s.writer)
	s.work.Go(s.sweeper)
	return s, nil
}

// openDB hands a locked and checked file to bbolt.
func openDB(file *os.File) (db *bbolt.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, fmt.Errorf("opening it failed: %v", r)
		}
	}()
	return bbolt.Open(file.Name(), 0o600, &bbolt.Options{
		Timeout:        time.Second,
		NoFreelistSync: true, // halves the time of a commit; the list is rebuilt when opening
		FreelistType:   bbolt.FreelistMapType,
		NoStatistics:   true,
		OpenFile:       func(string, int, os.FileMode) (*os.File, error) { return file, nil },
	})
}

// Close waits for the writes that were begun, then frees the file. Writes still
// in the queue are answered, too: done, or refused.
func (s *Store) Close() error {
	var err error
	s.once.Do(func() {
		close(s.closing)
		s.work.Wait()
		if s.fault.Load() != nil {
			// The broken transaction is left as it stands, and bbolt would wait
			// for it for ever. The memory map stays, too, and would keep the lock.
			err = errors.Join(unlock(s.file), s.file.Close())
			return
		}
		err = s.db.Close()
	})
	if err != nil {
		return fmt.Errorf("closing %s: %w", s.path, err)
	}
	return nil
}

// Watch has fn called after each commit, before the calls whose changes it
// carries return.
func (s *Store) Watch(fn func(key string)) (stop func()) { return s.watchers.Add(fn) }

// Trust is without end while the store is open: every change to the file goes
// through this process and is told to its watchers.
func (s *Store) Trust() time.Duration {
	if s.isClosed() {
		return 0
	}
	return math.MaxInt64
}

func (s *Store) isClosed() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

var errClosed = fmt.Errorf("%w: it is closed", store.ErrUnavailable)

// unavailable wraps what went wrong with the store.
func (s *Store) unavailable(err error) error {
	if errors.Is(err, store.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %s: %w", store.ErrUnavailable, s.path, err)
}

// ended wraps the end of a caller's context.
func ended(err error) error { return fmt.Errorf("%w: %w", store.ErrUnavailable, err) }

// damaged makes an error of a panic: bbolt panics on pages that make no sense,
// and a memory map faults when its file was cut or its disk is gone.
func (s *Store) damaged(r any) error {
	return s.unavailable(fmt.Errorf("the file was damaged while in use (%v): stop, and restore a backup", r))
}

var _ store.Store = (*Store)(nil)
