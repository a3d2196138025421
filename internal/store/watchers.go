package store

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Watchers is the list behind Watch, for those who implement a store. It is
// read much more often than changed. The zero value is empty.
type Watchers struct {
	mu   sync.Mutex
	list atomic.Pointer[[]*func(string)]
}

// Add is Watch.
func (w *Watchers) Add(fn func(key string)) (stop func()) {
	entry := &fn
	w.edit(func(l []*func(string)) []*func(string) { return append(l, entry) })
	return func() {
		w.edit(func(l []*func(string)) []*func(string) {
			return slices.DeleteFunc(l, func(e *func(string)) bool { return e == entry })
		})
	}
}

func (w *Watchers) edit(change func([]*func(string)) []*func(string)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []*func(string)
	if p := w.list.Load(); p != nil {
		list = slices.Clone(*p) // Tell may be going through the old one
	}
	list = change(list)
	w.list.Store(&list)
}

// Tell calls every watcher with key.
func (w *Watchers) Tell(key string) {
	if p := w.list.Load(); p != nil {
		for _, fn := range *p {
			(*fn)(key)
		}
	}
}
