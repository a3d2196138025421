package bolt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	bbolt "go.etcd.io/bbolt"
)

// How long Open waits for another process to let go of the file (a restart
// overlaps for a moment), and how often it looks.
const (
	lockWait  = time.Second
	lockRetry = 20 * time.Millisecond
)

// openFile returns the store file at path, locked and found sound.
func openFile(ctx context.Context, path string, log *slog.Logger) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, fmt.Errorf("making the store file %s: %w", path, plain(err))
		}
		file, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the store file %s: %w", path, plain(err))
	}
	if err := acceptFile(ctx, file, log); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// acceptFile locks a file and reads all of it before anything may write to it.
func acceptFile(ctx context.Context, file *os.File, log *slog.Logger) error {
	path := file.Name()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("opening the store file %s: %w", path, plain(err))
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file; `store bolt` takes the path of a file of its own", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		log.Warn("the store file can be read or changed by other users of this machine; give it mode 0600", "file", path, "mode", info.Mode().Perm().String())
	}
	if err := awaitLock(ctx, file); err != nil {
		return err
	}
	info, err = file.Stat() // another process may have written while we waited
	if err != nil {
		return fmt.Errorf("opening the store file %s: %w", path, plain(err))
	}
	var newer newerError
	switch err := check(file, info.Size()); {
	case err == nil:
		return nil
	case info.Size() == 0:
		return fmt.Errorf("the store file %s is empty: if it was a store, restore a backup; if not, remove it and a new one is made", path)
	case errors.As(err, &newer):
		return fmt.Errorf("the store file %s was written by a newer Gatehouse (%w); it was left as it is: run that version, or restore a backup from before", path, err)
	case errors.Is(err, errForeign):
		return fmt.Errorf("the file %s is no Gatehouse store (%w); it was left as it is: name another file in `store bolt`", path, err)
	default:
		return fmt.Errorf("the store file %s is damaged (%w); it was left as it is: restore a backup, or move it away to begin with an empty store", path, err)
	}
}

func awaitLock(ctx context.Context, file *os.File) error {
	deadline := time.Now().Add(lockWait)
	for {
		held, err := lock(file)
		if err != nil {
			return fmt.Errorf("locking the store file %s: %w", file.Name(), plain(err))
		}
		if !held {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the store file %s is in use by another process: stop that one, give this one a file of its own, or share a Redis with `store redis <url>`", file.Name())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the store file %s: %w", file.Name(), ctx.Err())
		case <-time.After(lockRetry):
		}
	}
}

// create makes an empty store under a name of its own and then gives it its
// real one, so that a crash never leaves half a store behind, and of two
// processes that start at once one wins and the other one waits for the lock.
func create(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	db, err := openDB(file)
	if err != nil {
		_ = file.Close()
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error { return layout(tx) })
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Link(file.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, statErr := os.Lstat(path); statErr == nil {
			return nil
		}
		if err := os.Rename(file.Name(), path); err != nil { // a file system without links
			return err
		}
	}
	return syncDir(dir)
}

// plain turns what the system says into what to do about it.
func plain(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("this user may not read and write there; change the owner or the mode, or name another file in `store bolt`: %w", err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("it is on a read-only file system; name another file in `store bolt`: %w", err)
	case errors.Is(err, syscall.EISDIR):
		return fmt.Errorf("it is a directory; `store bolt` takes the path of a file: %w", err)
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("a part of the path is a file, not a directory: %w", err)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("the disk is full: %w", err)
	}
	return err
}
