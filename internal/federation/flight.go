package federation

import (
	"context"
	"fmt"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/session"
)

const (
	// patience is how long a request waits for a provider that should have been
	// asked before.
	patience = 5 * time.Second
	// flightWithin bounds one question with all that belongs to it, callWithin the
	// provider's part, and keepWithin the storing of its answer.
	flightWithin = time.Minute
	callWithin   = 30 * time.Second
	keepWithin   = 10 * time.Second

	firstPause = 30 * time.Second // after a question that nothing came of, doubling up to a quarter of Recheck
	lastPause  = 5 * time.Minute  // up to which it doubles without a Recheck
)

// outcome is what came of a question. Its zero value is our own failure, which
// nobody passes on.
type outcome uint8

const (
	failed   outcome = iota // the store, or a record: see the error
	answered                // the session is new, or gone
	unknown                 // the provider gave no answer, or none yet
)

// flight is one question about one session, and all who wait for its answer.
type flight struct {
	began   time.Time // monotonic: the wall clock may jump
	done    chan struct{}
	outcome outcome
	err     error
}

// wait returns what came of the question, or unknown once it has taken too long,
// for whoever comes to wait.
func (f *flight) wait(ctx context.Context) (outcome, error) {
	timer := time.NewTimer(patience - time.Since(f.began))
	defer timer.Stop()
	select {
	case <-f.done:
		return f.outcome, f.err
	case <-timer.C:
		return unknown, nil
	case <-ctx.Done():
		return failed, fmt.Errorf("waiting for the provider: %w", ctx.Err())
	}
}

// start asks about a session that looked like seen, unless that is under way
// already, was tried in vain a moment ago, or cannot be done now; then f is nil.
// failing says that the last question was in vain: nobody is to wait for this one.
func (g *Guard) start(e *entry, seen *session.Session, w *watch) (f *flight, failing bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	failing = w.fails > 0
	if f = g.flights[seen.ID]; f != nil {
		return f, failing
	}
	if g.closed || len(g.flights) >= atOnce || g.now().Before(w.next) {
		return nil, failing
	}
	f = &flight{began: time.Now(), done: make(chan struct{})}
	g.flights[seen.ID] = f
	g.running.Go(func() { g.fly(f, e, seen, w) })
	return f, failing
}

// fly asks, for everybody who waits on f.
func (g *Guard) fly(f *flight, e *entry, seen *session.Session, w *watch) {
	ctx, cancel := context.WithTimeout(g.ctx, flightWithin)
	defer cancel()
	a := g.ask(ctx, e, seen, w)
	g.mu.Lock()
	defer g.mu.Unlock()
	f.outcome, f.err = a.outcome, a.err
	w.fault = nil
	switch a.outcome {
	case answered:
		w.fails, w.next = 0, time.Time{}
	case unknown:
		if a.idle {
			w.next = a.next
			break
		}
		w.fails = max(w.fails+1, a.fails)
		w.next = g.now().Add(pause(e, w.fails))
		if !a.next.IsZero() && a.next.Before(w.next) {
			w.next = a.next
		}
	case failed:
		w.fault = a.err
	}
	delete(g.flights, seen.ID)
	close(f.done)
}

// answer is what came of one question.
type answer struct {
	outcome outcome
	err     error     // of failed
	fails   int       // of unknown: how often it was in vain, as another instance tells
	next    time.Time // of unknown: when it is to be tried again, at the latest
	idle    bool      // of unknown: nobody was asked, which is no fault of the provider
}

// pause is how long nothing is asked after a number of questions in vain.
func pause(e *entry, fails int) time.Duration {
	most := e.Recheck / 4
	if most <= 0 {
		most = lastPause
	}
	return min(firstPause<<min(max(fails-1, 0), 16), most)
}
