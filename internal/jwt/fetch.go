package jwt

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// current returns the keys, from memory whenever it can. Only a request that
// comes before the first keys, or after the last ones have become too old, waits
// for a fetch; while fetches fail, few do, and the others are told so at once.
func (s *Source) current(ctx context.Context) (*Set, error) {
	now := s.clock()
	k := s.known.Load()
	usable := s.usable(k, now)
	if usable && now.Before(k.next) {
		return k.set, nil
	}
	f := s.begin(now)
	if usable {
		return k.set, nil
	}
	if f == nil {
		return s.settled()
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := f.wait(ctx); err != nil {
		return nil, err
	}
	return s.settled()
}

// renewed looks for keys that seen does not have, for a token whose key is not
// in it. It returns seen when there is nothing newer, and an error when that
// could not be found out: then the token may be good.
func (s *Source) renewed(ctx context.Context, seen *Set) (*Set, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for early := true; ; early = false {
		if set, err := s.settled(); err != nil || set != seen {
			return set, err
		}
		f, ours := s.look()
		if f == nil {
			break
		}
		if err := f.wait(ctx); err != nil {
			return nil, err
		}
		// A fetch that had begun before may have been answered too early.
		if ours || !early {
			break
		}
	}
	if k := s.known.Load(); k.err != nil {
		return nil, s.fault(k)
	}
	return s.settled()
}

// settled is the set that is known now, or why there is none.
func (s *Source) settled() (*Set, error) {
	k := s.known.Load()
	if !s.usable(k, s.clock()) {
		return nil, s.fault(k)
	}
	return k.set, nil
}

func (s *Source) fault(k *known) error {
	if k.err == nil {
		return fmt.Errorf("%w yet (%s)", ErrNoKeys, s.origin)
	}
	return fmt.Errorf("%w: %w", ErrNoKeys, k.err)
}

// usable reports whether a set is there and not too old: an issuer that could
// not be asked for a day may have withdrawn its keys.
func (s *Source) usable(k *known, now time.Time) bool {
	return k.set != nil && (s.pace.stale == 0 || now.Sub(k.good) <= s.pace.stale)
}

// begin starts a fetch if one is due, and returns the one that is under way now;
// nil for none.
func (s *Source) begin(now time.Time) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight == nil && !now.Before(s.known.Load().next) {
		s.launch()
	}
	return s.flight
}

// look starts a fetch for an unknown kid, unless there was one only now: made-up
// kids must not make us ask the issuer all the time. ours is false for a fetch
// that was under way.
func (s *Source) look() (f *flight, ours bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil {
		return s.flight, false
	}
	now := s.clock()
	if now.Before(s.unknown) {
		return nil, false
	}
	s.unknown = now.Add(s.pace.unknown)
	s.launch()
	return s.flight, true
}

// launch is called with mu held and no flight under way.
func (s *Source) launch() {
	if s.closed {
		return
	}
	f := &flight{done: make(chan struct{})}
	s.flight = f
	s.running.Go(func() {
		_ = s.fetch(s.ctx) // kept in known, and logged
		s.mu.Lock()
		s.flight = nil
		s.mu.Unlock()
		close(f.done)
	})
}

func (f *flight) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: waiting for them: %w", ErrNoKeys, ctx.Err())
	}
}

// fetch asks once, and settles what is known.
func (s *Source) fetch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := s.clock()
	set, out, err := s.origin.read(ctx)
	if err != nil && s.ctx.Err() != nil {
		return err // closed meanwhile: that says nothing about the issuer
	}
	s.settle(began, set, out, err)
	s.observer.Load().onFetch(resultOf(err))
	return err
}

func (s *Source) settle(began time.Time, set *Set, out []skipped, err error) {
	s.settling.Lock()
	defer s.settling.Unlock()
	old, now := s.known.Load(), s.clock()
	if err != nil {
		k := &known{set: old.set, good: old.good, err: err, failures: old.failures + 1}
		wait := s.jitter(s.pace.after(k.failures))
		k.next = now.Add(wait)
		s.known.Store(k)
		s.tellFailure(k, wait, now)
		return
	}
	changed := old.set == nil || old.set.print != set.print
	if !changed {
		set = old.set // the same keys keep their address
	}
	s.known.Store(&known{set: set, good: began, next: now.Add(s.jitter(s.pace.refresh))})
	s.tellSkipped(out)
	if log := s.observer.Load().log; changed || old.failures > 0 {
		log.Info("the issuer's keys were fetched", "issuer", s.issuer, "keys", len(set.keys), "changed", changed)
	}
}

// after is how long to wait after a number of failures in a row.
func (p pace) after(failures int) time.Duration {
	wait := p.retry
	for i := 1; i < failures && wait < p.slowest; i++ {
		wait *= 2
	}
	return min(wait, p.slowest)
}

// tellFailure logs the first failures of an outage, and then ever fewer.
func (s *Source) tellFailure(k *known, wait time.Duration, now time.Time) {
	if k.failures&(k.failures-1) != 0 {
		return
	}
	log := s.observer.Load().log
	switch {
	case s.usable(k, now):
		log.Warn("the issuer's keys could not be fetched; the last ones are kept", "issuer", s.issuer,
			"error", k.err, "last_good", k.good, "failures", k.failures, "again_in", wait)
	default:
		log.Error("the issuer's keys could not be fetched, and there are none: its tokens cannot be checked", "issuer", s.issuer,
			"error", k.err, "failures", k.failures, "again_in", wait)
	}
}

// tellSkipped logs each key that cannot be used, once.
func (s *Source) tellSkipped(out []skipped) {
	said := s.skipped
	s.skipped = make(map[skipped]bool, len(out))
	for _, k := range out {
		if !said[k] && !s.skipped[k] {
			s.observer.Load().log.Warn("a key of the issuer is not used", "issuer", s.issuer, "kid", short(k.kid), "reason", k.reason)
		}
		s.skipped[k] = true
	}
}

// short makes text from outside fit into a line.
func short(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most] + "…"
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}
