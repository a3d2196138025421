package policy

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// How long the folders must be quiet before they are read. Something that went
// away is given longer to come back: many programs save by removing first.
const (
	quiet     = 50 * time.Millisecond
	quietGone = 250 * time.Millisecond
	quietMax  = 2 * time.Second // then they are read even when they never are quiet
	pollEvery = 2 * time.Second // for file systems that tell of no changes
)

// watcher reloads an engine when its folders change.
type watcher struct {
	engine *Engine
	notify *fsnotify.Watcher // nil when the system gives none
	cancel context.CancelFunc
	done   sync.WaitGroup
	due    *time.Timer
	first  time.Time // of the changes that are not read yet; zero: there are none
	told   bool      // one of them came as a notice, which is believed whatever the times say
	said   string    // the last error that was logged
}

// Watch tells OnRevision of the revision in force, and reloads the policies
// whenever their folders change, until Close. A set that is broken is logged once
// and left out; what is in force stays.
func (e *Engine) Watch() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrClosed
	}
	if e.telling {
		return errors.New("the policy folders are watched already")
	}
	e.announce()
	if len(e.dirs) == 0 {
		return nil // nothing can change
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &watcher{engine: e, cancel: cancel, due: time.NewTimer(quiet)}
	var err error
	if w.notify, err = fsnotify.NewWatcher(); err != nil {
		e.log.Warn("policy folders are polled: the system gives no notices of changes", "every", pollEvery.String(), "error", err)
		w.notify = nil
	}
	w.follow()
	e.watcher = w
	w.done.Go(func() { w.loop(ctx) })
	return nil
}

func (w *watcher) stop() {
	w.cancel()
	w.done.Wait()
	if w.notify != nil {
		_ = w.notify.Close() // nothing is written through it
	}
}

func (w *watcher) loop(ctx context.Context) {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	defer w.due.Stop()
	var events chan fsnotify.Event
	var failures chan error
	if w.notify != nil {
		events, failures = w.notify.Events, w.notify.Errors
	}
	for {
		select {
		case <-ctx.Done():
			return
		case event := <-events:
			w.event(event)
		case err := <-failures: // a full queue, say: look for ourselves
			w.engine.log.Debug("watching the policy folders", "error", err)
			w.soon(quiet)
		case <-poll.C:
			if w.first.IsZero() && w.changed() {
				w.soon(quiet)
			}
		case <-w.due.C:
			w.reload(ctx)
		}
	}
}

func (w *watcher) event(event fsnotify.Event) {
	if !w.concerns(event.Name) {
		return
	}
	w.told = true
	if event.Has(fsnotify.Remove) || event.Has(fsnotify.Rename) {
		w.soon(quietGone)
		return
	}
	w.soon(quiet)
}

// concerns reports whether a change of path can matter: one of the folders
// themselves, or what is in them. The folder around each is watched as well, and
// is full of other things. The ..data of Kubernetes is hidden, but moves files.
func (w *watcher) concerns(path string) bool {
	path = filepath.Clean(path)
	name := filepath.Base(path)
	return slices.ContainsFunc(w.engine.dirs, func(dir string) bool {
		dir = filepath.Clean(dir)
		return path == dir || within(path, dir) && (visible(name) || name == "..data")
	})
}

// soon puts the next reload off until the folders have been quiet for a while,
// but not for ever.
func (w *watcher) soon(wait time.Duration) {
	now := time.Now()
	if w.first.IsZero() {
		w.first = now
	}
	if left := w.first.Add(quietMax).Sub(now); wait > left {
		wait = max(left, 0)
	}
	w.due.Reset(wait)
}

// changed reports whether the folders hold something else than when they were
// last read, by names, sizes and times.
func (w *watcher) changed() bool {
	src, err := look(w.engine.dirs)
	w.engine.mu.Lock()
	defer w.engine.mu.Unlock()
	if err != nil { // gone, say: worth a load when the last one did not say so
		return w.engine.Status().Err == nil
	}
	return src.print != w.engine.tried
}

// reload loads what the folders hold now, when that is new.
func (w *watcher) reload(ctx context.Context) {
	if w.unsettled() {
		w.soon(quiet)
		return
	}
	told := w.told
	w.first, w.told = time.Time{}, false
	w.follow()
	if !told && !w.changed() {
		return
	}
	e := w.engine
	e.mu.Lock()
	before := e.Revision()
	err := ErrClosed
	if !e.closed {
		err = e.load(ctx)
	}
	after := e.Revision()
	e.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	w.say(before, after, err)
	w.follow()
	if err == nil && w.changed() { // since it was read
		w.soon(quiet)
	}
}

// unsettled reports whether a file was written so lately that more of it may
// follow, unless that has gone on for too long. Times in the future, of another
// machine's clock, say nothing.
func (w *watcher) unsettled() bool {
	if !w.first.IsZero() && time.Since(w.first) >= quietMax {
		return false
	}
	src, err := look(w.engine.dirs)
	if err != nil {
		return false
	}
	age := time.Since(src.newest)
	return age >= 0 && age < quiet
}

// say logs an outcome, each error once.
func (w *watcher) say(before, after string, err error) {
	log := w.engine.log
	switch {
	case err != nil && err.Error() != w.said:
		w.said = err.Error()
		log.Error("the changed policies are broken and not in force", "error", err, "revision", after)
	case err != nil:
	case w.said != "" && before == after:
		w.said = ""
		log.Info("the policies are whole again", "revision", after)
	case before != after:
		w.said = ""
		log.Info("policies changed", "revision", after, "before", before)
	}
}
