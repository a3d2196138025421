package policy

import (
	"sync"
	"time"
)

// The pool's bounds. An evaluation that waits for a lane keeps its worker, and
// so does one that is stuck.
const (
	maxWorkers  = 256
	idleWorkers = 8 // those that stay when there is nothing to do
)

// pool runs evaluations on goroutines that live long, because evaluation is
// deep: on a fresh goroutine most of its cost is a growing stack. The worker
// that finished last is used first, while its stack is in the processor's cache.
type pool struct {
	room   chan struct{} // one for each worker at work
	tasks  sync.Pool     // finished ones, to be used again
	mu     sync.Mutex
	idle   []chan *task
	closed bool
}

func newPool() *pool { return &pool{room: make(chan struct{}, maxWorkers)} }

// task returns an empty task, whose timer is stopped.
func (p *pool) task() *task {
	if t, ok := p.tasks.Get().(*task); ok {
		return t
	}
	t := &task{done: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	t.timer.Stop()
	return t
}

// finish returns the outcome of a task whose worker has said that it is done, and
// so will not touch it any more. A task that was left behind is never used again.
func (p *pool) finish(t *task) (values, error) {
	t.timer.Stop()
	out, err := t.values, t.err
	*t = task{done: t.done, timer: t.timer}
	p.tasks.Put(t)
	return out, err
}

// run hands the task to a worker; the caller has taken room for it. It reports
// false when the pool is closed.
func (p *pool) run(t *task) bool {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		<-p.room
		return false
	}
	var w chan *task
	if n := len(p.idle); n > 0 {
		w, p.idle = p.idle[n-1], p.idle[:n-1]
	}
	p.mu.Unlock()
	if w == nil {
		w = make(chan *task, 1)
		go p.work(w)
	}
	w <- t
	return true
}

// work does tasks until the pool has enough idle workers, or is closed.
func (p *pool) work(w chan *task) {
	for t := range w {
		t.evaluate()
		stay := p.back(w)
		t.done <- struct{}{} // has room for one
		if !stay {
			return
		}
	}
}

// back makes the worker available before its result is, so that the next
// question of the same caller finds it.
func (p *pool) back(w chan *task) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	<-p.room
	if p.closed || len(p.idle) >= idleWorkers {
		return false
	}
	p.idle = append(p.idle, w)
	return true
}

// close ends the idle workers now, and the others when they have finished.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, w := range p.idle {
		close(w)
	}
	p.idle = nil
}
