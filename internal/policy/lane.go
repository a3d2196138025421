package policy

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"
)

// A policy that burns CPU must not slow the others. Four rules see to that:
//
//   - An entry evaluates as many questions at once as there are processors.
//   - Every evaluation looks at the clock as it goes, and ends at the budget. One
//     that has hardly begun by then was kept waiting by a busy machine: it gets
//     half as long again.
//   - One that takes longer than a slice of the budget may go on only in a lane
//     of its entry. It waits there, costing nothing, while others are in it.
//     There are as many lanes as processors, and one when the entry was cut off
//     lately. Quick evaluations never see a lane.
//   - An evaluation that sits in a builtin which looks at no clock is stuck.
//     After that the entry begins one question at a time.
const (
	caution   = 10 * time.Second // how long an entry stays limited after its last misstep
	sliceOf   = 8                // an evaluation gets 1/8 of the budget without a lane,
	thinSlice = 50               // or 1/50 when the entry was cut off lately
	maxParked = 64               // evaluations of one entry that wait for a lane
	atWork    = 2000             // looks of one that has begun; each is at least 50 ns of work
)

// lanes limits the evaluations of one entry. Its channels are semaphores.
type lanes struct {
	quick  chan struct{} // the first slice of an evaluation
	wide   chan struct{} // the rest of it
	narrow chan struct{} // the rest of it, when the entry was cut off lately
	single chan struct{} // the first slice, when the entry was stuck lately
	parked atomic.Int32
	cut    atomic.Int64 // when an evaluation was last cut off, Unix nanoseconds
	stuck  atomic.Int64 // when one was last stuck
}

func newLanes() *lanes {
	n := runtime.GOMAXPROCS(0)
	return &lanes{
		quick:  make(chan struct{}, n),
		wide:   make(chan struct{}, n),
		narrow: make(chan struct{}, 1),
		single: make(chan struct{}, 1),
	}
}

func lately(at *atomic.Int64, now time.Time) bool {
	t := at.Load()
	return t != 0 && now.UnixNano()-t < int64(caution)
}

// begin takes what an evaluation needs to start; nil means that the time ran out
// before it was free.
func (l *lanes) begin(ctx context.Context, now, deadline time.Time) chan struct{} {
	if lately(&l.stuck, now) {
		return take(ctx, l.single, deadline.Sub(now))
	}
	return take(ctx, l.quick, deadline.Sub(now))
}

// goOn takes a lane; nil means that the time ran out before one was free, or
// that too many wait already.
func (l *lanes) goOn(ctx context.Context, now, deadline time.Time) chan struct{} {
	defer l.parked.Add(-1)
	if l.parked.Add(1) > maxParked {
		return nil
	}
	if lately(&l.cut, now) {
		return take(ctx, l.narrow, deadline.Sub(now))
	}
	return take(ctx, l.wide, deadline.Sub(now))
}

// slice is how long an evaluation may take without a lane.
func (l *lanes) slice(now time.Time, budget time.Duration) time.Duration {
	if lately(&l.cut, now) {
		return budget / thinSlice
	}
	return budget / sliceOf
}

// take waits for room in a semaphore; nil means that there was none in time.
func take(ctx context.Context, from chan struct{}, wait time.Duration) chan struct{} {
	select {
	case from <- struct{}{}:
		return from
	default:
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case from <- struct{}{}:
		return from
	case <-ctx.Done():
	case <-timer.C:
	}
	return nil
}

// looksPerClock is how many times an evaluation asks whether to go on for each
// time that it looks at the clock; it asks at every expression.
const looksPerClock = 16

// brake is what an evaluation asks whether to go on (topdown.Cancel). Only the
// goroutine that evaluates asks; any may cancel.
type brake struct {
	ctx      context.Context
	lanes    *lanes
	slow     time.Time // from here on it needs a lane
	deadline time.Time // the budget ends
	last     time.Time // however little it has done
	looks    int
	begun    atomic.Bool   // it has looked often enough to have been at work
	holds    chan struct{} // of lanes: where it is now
	stop     atomic.Bool
}

// Cancel ends the evaluation at its next look.
func (b *brake) Cancel() { b.stop.Store(true) }

// Cancelled reports whether the evaluation must end, and holds it up while the
// lanes of its entry are taken.
func (b *brake) Cancelled() bool {
	if b.stop.Load() {
		return true
	}
	if b.looks++; b.looks%looksPerClock != 0 {
		return false
	}
	if b.looks == atWork {
		b.begun.Store(true)
	}
	now := time.Now()
	if now.Before(b.slow) {
		return false
	}
	end := b.deadline
	if !b.begun.Load() {
		end = b.last
	}
	if now.After(end) || !b.inLane(now, end) {
		b.Cancel()
		return true
	}
	return false
}

// inLane moves the evaluation to a lane when it is in none.
func (b *brake) inLane(now, end time.Time) bool {
	if b.holds == b.lanes.quick || b.holds == b.lanes.single {
		b.release()
		b.holds = b.lanes.goOn(b.ctx, now, end)
	}
	return b.holds != nil
}

// burned reports whether the evaluation was at work, rather than waiting, when
// it was cut off.
func (b *brake) burned() bool { return b.holds != nil }

// release gives back what the evaluation holds.
func (b *brake) release() {
	if b.holds != nil {
		<-b.holds
		b.holds = nil
	}
}
