package portal

import (
	"context"
	"sync"
	"time"
)

const (
	// maxErrands is how many errands may be under way at once. More are not run:
	// they are a courtesy.
	maxErrands = 16
	// errandLife is how long one may take, and so how long Close may.
	errandLife = 5 * time.Second
)

// errands are what is done for nobody who waits. The zero value is ready.
type errands struct {
	mu      sync.Mutex
	closed  bool
	running int
	all     sync.WaitGroup
}

// run has do called in the background, or returns false.
func (e *errands) run(do func(context.Context)) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.running == maxErrands {
		return false
	}
	e.running++
	e.all.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), errandLife)
		defer func() {
			cancel()
			e.mu.Lock()
			e.running--
			e.mu.Unlock()
		}()
		do(ctx)
	})
	return true
}

// close waits for those that are under way; no more are begun.
func (e *errands) close() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.all.Wait()
}
