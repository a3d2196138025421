package near

import (
	"sync"
	"sync/atomic"
	"time"
)

// shard is one part of the cache under one lock.
type shard[T any] struct {
	mu     sync.RWMutex
	limit  int
	copies map[string]*remembered[T]
	loads  map[string]*load[T] // reads under way that no change has overtaken
	_      [64]byte            // keeps neighbours' locks off this cache line
}

// remembered is one copy. Its zero value is believed for no time.
type remembered[T any] struct {
	value *T
	at    time.Duration // when its read began
	trust time.Duration // how long it was then good for
	used  atomic.Bool   // asked for since eviction last looked
}

// load is one read that several callers may wait for. Its results are written
// before done is closed and read only after.
type load[T any] struct {
	done      chan struct{}
	value     *T
	found     bool
	err       error
	abandoned bool // it failed for a reason of its own: waiters try again
}

func (s *shard[T]) init(limit int) {
	s.limit = limit
	s.copies = make(map[string]*remembered[T])
	s.loads = make(map[string]*load[T])
}

// fresh returns the copy of key if it may still be believed, else nil.
func (s *shard[T]) fresh(key string, now, trust time.Duration) *T {
	s.mu.RLock()
	r := s.copies[key]
	s.mu.RUnlock()
	return r.believed(now, trust)
}

// freshBytes is fresh for a key that is not a string yet.
func (s *shard[T]) freshBytes(key []byte, now, trust time.Duration) *T {
	s.mu.RLock()
	r := s.copies[string(key)] // the compiler makes no string of it
	s.mu.RUnlock()
	return r.believed(now, trust)
}

// believed returns the value if its age is within both the trust of then and of
// now. It compares ages and adds nothing, since a trust may be "for ever".
func (r *remembered[T]) believed(now, trust time.Duration) *T {
	if r == nil || now-r.at > min(trust, r.trust) {
		return nil
	}
	if !r.used.Load() { // a write only when it changes something
		r.used.Store(true)
	}
	return r.value
}

// join returns the read of key that is under way, or a new one that the caller
// has to lead.
func (s *shard[T]) join(key string) (l *load[T], leads bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l = s.loads[key]; l != nil {
		return l, false
	}
	l = &load[T]{done: make(chan struct{})}
	s.loads[key] = l
	return l, true
}

// finish ends a read and remembers its result, unless a change was told while
// it was under way: then l is no longer in loads.
func (s *shard[T]) finish(key string, l *load[T], at, trust time.Duration) {
	s.mu.Lock()
	if s.loads[key] == l {
		delete(s.loads, key)
		if l.found && trust > 0 {
			if _, there := s.copies[key]; !there && len(s.copies) >= s.limit {
				s.evict()
			}
			s.copies[key] = &remembered[T]{value: l.value, at: at, trust: trust}
		}
	}
	s.mu.Unlock()
	close(l.done)
}

// evict makes room for one: the first of a few picked by Go's random map order
// that was not asked for since the last look, else the last of them.
func (s *shard[T]) evict() {
	const look = 8
	seen, victim := 0, ""
	for key, r := range s.copies {
		victim = key
		if seen++; seen == look || !r.used.Swap(false) {
			break
		}
	}
	delete(s.copies, victim)
}

// forget drops the copy of key and overtakes a read of it that is under way, so
// that whoever asks from now on reads anew.
func (s *shard[T]) forget(key string) {
	s.mu.Lock()
	delete(s.copies, key)
	delete(s.loads, key)
	s.mu.Unlock()
}

func (s *shard[T]) forgetAll() {
	s.mu.Lock()
	clear(s.copies)
	clear(s.loads)
	s.mu.Unlock()
}
