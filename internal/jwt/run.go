package jwt

import "time"

// Start fetches the keys in the background, now and from then on, also while
// nobody uses them. It does not wait, and may be called more than once.
func (s *Source) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started || s.closed {
		return
	}
	s.started = true
	s.running.Go(s.run)
}

func (s *Source) run() {
	for {
		wait := time.NewTimer(s.known.Load().next.Sub(s.clock()))
		select {
		case <-wait.C:
		case <-s.ctx.Done():
			wait.Stop()
			return
		}
		if f := s.begin(s.clock()); f != nil {
			select {
			case <-f.done:
			case <-s.ctx.Done():
				return
			}
		}
	}
}

// Load reads a key file now and says what is wrong with it, for the check of a
// configuration. For keys from the network it does nothing.
func (s *Source) Load() error {
	if _, local := s.origin.(*fileOrigin); !local {
		return nil
	}
	return s.fetch(s.ctx)
}

// Close ends what runs in the background. The keys that are known then serve
// requests which outlive it; no more are fetched.
func (s *Source) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.running.Wait()
	s.release()
}

// SourceStatus is what an operator may want to know of a Source.
type SourceStatus struct {
	Keys int       // usable ones that are known
	Good time.Time // last good fetch; zero: none yet
	Err  error     // why the last fetch failed; nil: it did not
}

// Status tells how the source is.
func (s *Source) Status() SourceStatus {
	k := s.known.Load()
	st := SourceStatus{Good: k.good, Err: k.err}
	if k.set != nil {
		st.Keys = len(k.set.keys)
	}
	return st
}
