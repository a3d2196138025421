package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	bbolt "go.etcd.io/bbolt"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/store/storetest"
)

func open(t testing.TB, path string, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		return open(t, filepath.Join(t.TempDir(), "gatehouse.db"), Options{})
	})
}

// clock is a time that a test moves on.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ns.Store(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time      { return time.Unix(0, c.ns.Load()) }
func (c *clock) add(d time.Duration) { c.ns.Add(int64(d)) }

func TestOpenMakesFileAndFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	path := filepath.Join(dir, "gatehouse.db")
	s := open(t, path, Options{})
	for p, want := range map[string]fs.FileMode{dir: 0o700, path: 0o600} {
		info, err := os.Stat(p)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want mode %v", p, info.Mode().Perm(), err, want)
		}
	}
	if err := s.Put(t.Context(), "k/a", []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{})
	if v, found, err := s.Get(t.Context(), "k/a"); err != nil || !found || string(v) != "v" {
		t.Errorf("after opening again: %q, %v, %v", v, found, err)
	}
	if left, _ := filepath.Glob(path + ".*"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestOpenAtOnceInManyGoroutines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	var wg sync.WaitGroup
	var opened atomic.Int32
	for range 8 {
		wg.Go(func() {
			s, err := Open(t.Context(), path, Options{})
			if err != nil {
				if !strings.Contains(err.Error(), "in use by another process") {
					t.Error(err)
				}
				return
			}
			opened.Add(1)
			time.Sleep(2 * time.Second)
			_ = s.Close()
		})
	}
	wg.Wait()
	if opened.Load() != 1 {
		t.Errorf("%d opened it", opened.Load())
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(dir, "newer")
	edit(t, newer, func(tx *bbolt.Tx) error {
		if err := layout(tx); err != nil {
			return err
		}
		return tx.Bucket(metaBucket).Put(formatKey, []byte("gatehouse 2"))
	})
	foreign := filepath.Join(dir, "foreign")
	edit(t, foreign, func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("something"))
		if err != nil {
			return err
		}
		return b.Put([]byte("k"), []byte("v"))
	})
	nested := filepath.Join(dir, "nested")
	edit(t, nested, func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("v1"))
		if err != nil {
			return err
		}
		_, err = b.CreateBucket([]byte("inner"))
		return err
	})
	fresh := filepath.Join(dir, "fresh")
	edit(t, fresh, func(tx *bbolt.Tx) error { return nil })
	damagedRecord := filepath.Join(dir, "record")
	edit(t, damagedRecord, func(tx *bbolt.Tx) error {
		if err := layout(tx); err != nil {
			return err
		}
		return tx.Bucket(dataBucket).Put([]byte("user/a"), encode(dataSpace, []byte("user/b"), 0, nil))
	})
	for _, c := range []struct{ name, path, want string }{
		{"a directory", dir, "it is a directory"},
		{"below a file", filepath.Join(file, "x"), "is a file, not a directory"},
		{"a text file", file, "is no Gatehouse store"},
		{"an empty file", empty, "is empty"},
		{"a device", "/dev/null", "is no regular file"},
		{"a newer format", newer, "written by a newer Gatehouse (format 2, this one knows up to 1)"},
		{"a foreign bbolt file", foreign, "is no Gatehouse store"},
		{"a foreign bbolt file with nested buckets", nested, "is no Gatehouse store"},
		{"a fresh bbolt file", fresh, "is no Gatehouse store"},
		{"a record under another key", damagedRecord, "is damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, _ := os.ReadFile(c.path)
			s, err := Open(t.Context(), c.path, Options{})
			if err == nil {
				_ = s.Close()
				t.Fatal("it was opened")
			}
			if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path) {
				t.Errorf("error: %v", err)
			}
			if after, _ := os.ReadFile(c.path); !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}
}

// edit makes a bbolt file by hand.
func edit(t *testing.T, path string, fn func(*bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(fn), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestWarnsOfOpenMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	if err := open(t, path, Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	open(t, path, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if !strings.Contains(log.String(), "other users") {
		t.Errorf("log: %s", log.String())
	}
}

func TestExpiryByTheClock(t *testing.T) {
	c := newClock()
	s := open(t, filepath.Join(t.TempDir(), "gatehouse.db"), Options{Clock: c.now})
	ctx := t.Context()
	if err := s.Put(ctx, "k/a", []byte("v"), time.Hour); err != nil {
		t.Fatal(err)
	}
	c.add(time.Hour - time.Millisecond)
	if _, found, _ := s.Get(ctx, "k/a"); !found {
		t.Error("gone a millisecond early")
	}
	c.add(time.Millisecond)
	if _, found, _ := s.Get(ctx, "k/a"); found {
		t.Error("still there when its time had come")
	}
	if n, _ := s.Count(ctx, "k"); n != 0 {
		t.Errorf("counted: %d", n)
	}
}

func TestSweep(t *testing.T) {
	c := newClock()
	s := open(t, filepath.Join(t.TempDir(), "gatehouse.db"), Options{Clock: c.now})
	ctx := t.Context()
	var wg sync.WaitGroup
	for i := range sweepBatch + 100 {
		wg.Go(func() { _ = s.Put(ctx, fmt.Sprintf("k/%d", i), []byte("v"), time.Minute) })
	}
	wg.Wait()
	for _, e := range []struct {
		key string
		ttl time.Duration
	}{{"k/longer", time.Hour}, {"k/ever", 0}} {
		// Each first has a ttl that is past when the sweeper comes.
		if err := errors.Join(s.Put(ctx, e.key, []byte("v"), time.Minute), s.Put(ctx, e.key, []byte("v"), e.ttl)); err != nil {
			t.Fatal(err)
		}
	}
	l := store.Limit{Burst: 10, Every: time.Minute}
	for range 5 {
		if _, err := s.Charge(ctx, "guess/long", l, 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Charge(ctx, "guess/short", l, 1); err != nil {
		t.Fatal(err)
	}
	sweepAll := func() {
		t.Helper()
		for {
			n, err := s.sweep(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if n < sweepBatch {
				return
			}
		}
	}
	sweepAll()
	wantSizes(t, s, sweepBatch+102, 2)
	c.add(time.Minute + time.Second)
	sweepAll()
	wantSizes(t, s, 2, 1)
	if a, err := s.Charge(ctx, "guess/long", l, 0); err != nil || a.Remaining != 6 {
		t.Errorf("charges of the longer one: %+v, %v", a, err)
	}
	c.add(2 * time.Hour)
	sweepAll()
	sweepAll()
	wantSizes(t, s, 1, 0)
}

// wantSizes looks at what is in the file, expired or not.
func wantSizes(t *testing.T, s *Store, data, charge int) {
	t.Helper()
	_ = s.db.View(func(tx *bbolt.Tx) error {
		if n := tx.Bucket(dataBucket).Stats().KeyN; n != data {
			t.Errorf("%d values, want %d", n, data)
		}
		if n := tx.Bucket(chargeBucket).Stats().KeyN; n != charge {
			t.Errorf("%d charges, want %d", n, charge)
		}
		ever := 0
		if data > 0 {
			ever = 1
		}
		if n := tx.Bucket(expiryBucket).Stats().KeyN; data < 10 && n != data-ever+charge {
			t.Errorf("%d expiry entries for %d values and %d charges", n, data, charge)
		}
		return nil
	})
}

func TestChargesSurviveRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	l := store.Limit{Burst: 2, Every: time.Hour}
	s := open(t, path, Options{})
	if _, err := s.Charge(t.Context(), "guess/a", l, 2); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{})
	if a, err := s.Charge(t.Context(), "guess/a", l, 1); err != nil || a.Allowed {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestOutcomesWithoutDiskSync(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "gatehouse.db"), Options{})
	ctx := t.Context()
	l := store.Limit{Burst: 1, Every: time.Hour}
	if err := s.Put(ctx, "k/a", []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Charge(ctx, "guess/a", l, 1); err != nil {
		t.Fatal(err)
	}
	txid := func() (id int) {
		_ = s.db.View(func(tx *bbolt.Tx) error { id = tx.ID(); return nil })
		return id
	}
	before := txid()
	_, _ = s.Create(ctx, "k/a", nil, 0)
	_, _ = s.Swap(ctx, "k/a", []byte("x"), nil, 0)
	_, _, _ = s.Take(ctx, "k/b")
	_, _ = s.Delete(ctx, "k/b")
	_, _ = s.Charge(ctx, "guess/a", l, 1)
	_, _ = s.Charge(ctx, "guess/a", l, 0)
	if after := txid(); after != before {
		t.Errorf("%d transactions for what changed nothing", after-before)
	}
}

// TestGivenUpWhileQueued holds the writer in a transaction, gives up a write
// that waits behind it, and sees that it is not done.
func TestGivenUpWhileQueued(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "gatehouse.db"), Options{})
	entered, release := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() {
		first <- s.write(t.Context(), "", 0, func(*txn) (bool, error) {
			close(entered)
			<-release
			return false, nil
		})
	}()
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Put(ctx, "k/a", []byte("v"), 0); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Put: %v", err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "k/b", []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	if _, found, err := s.Get(t.Context(), "k/a"); err != nil || found {
		t.Errorf("the write that was given up was done: %v, %v", found, err)
	}
}

func TestManyWritersShareASync(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "gatehouse.db"), Options{})
	txid := func() (id int) {
		_ = s.db.View(func(tx *bbolt.Tx) error { id = tx.ID(); return nil })
		return id
	}
	before := txid()
	var wg sync.WaitGroup
	for i := range 400 {
		wg.Go(func() {
			if err := s.Put(t.Context(), fmt.Sprintf("k/%d", i), []byte("v"), 0); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := txid() - before; n > 200 {
		t.Errorf("%d transactions for 400 writes at once", n)
	}
}

func TestCloseAnswersAll(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "gatehouse.db"), Options{})
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			err := s.Put(t.Context(), fmt.Sprintf("k/%d", i), []byte("v"), 0)
			if err != nil && !errors.Is(err, store.ErrUnavailable) {
				t.Error(err)
			}
		})
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

func BenchmarkGet(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "gatehouse.db"), Options{})
	for i := range 1000 {
		if err := s.Put(b.Context(), fmt.Sprintf("session/%d", i), make([]byte, 400), time.Hour); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := s.Get(b.Context(), "session/500"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPut(b *testing.B) {
	for _, writers := range []int{1, 32} {
		b.Run(fmt.Sprintf("%d writers", writers), func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "gatehouse.db"), Options{})
			b.SetParallelism(writers)
			var n atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := s.Put(b.Context(), fmt.Sprintf("session/%d", n.Add(1)%1000), make([]byte, 400), time.Hour); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
