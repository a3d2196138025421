package federation

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/session"
)

const (
	leasePrefix = "lease/"         // and the session's id
	leaseFor    = 15 * time.Second // without a renewal: whoever held it is dead
	renewEvery  = leaseFor / 3
	pollEvery   = 50 * time.Millisecond // for what comes of another's question
)

// leaseRecord says who asks about a session now or, with Fails, that asking was in
// vain and is not to be tried before Until.
type leaseRecord struct {
	Owner string    `json:"owner"`
	Fails int       `json:"fails,omitempty"`
	Until time.Time `json:"until,omitzero"`
}

// lease is the right to ask about one session.
type lease struct {
	guard *Guard
	key   string
	raw   []byte
	lost  atomic.Bool
	stop  context.CancelFunc
	done  sync.WaitGroup
}

// acquire returns the lease of a session, which is renewed until it is released;
// or nil, when somebody else has it.
func (g *Guard) acquire(ctx context.Context, id string) (*lease, error) {
	var name [16]byte
	if _, err := io.ReadFull(g.rand, name[:]); err != nil {
		return nil, fmt.Errorf("no random name for a lease: %w", err)
	}
	raw, err := json.Marshal(leaseRecord{Owner: hex.EncodeToString(name[:])})
	if err != nil {
		return nil, err
	}
	l := &lease{guard: g, key: leasePrefix + id, raw: raw}
	created, err := g.store.Create(ctx, l.key, raw, leaseFor)
	if err != nil {
		return nil, fmt.Errorf("taking the lease of a session: %w", err)
	}
	if !created {
		return nil, nil //nolint:nilnil // unexported; nil is another's
	}
	renewing, stop := context.WithCancel(ctx)
	l.stop = stop
	l.done.Go(func() { l.renew(renewing) })
	return l, nil
}

func (l *lease) renew(ctx context.Context) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !l.held(ctx) {
			return
		}
	}
}

// held renews the lease, and reports whether it still is ours. When the store
// does not answer it may be: ErrUnavailable is no "no".
func (l *lease) held(ctx context.Context) bool {
	if l.lost.Load() {
		return false
	}
	mine, err := l.guard.store.Swap(ctx, l.key, l.raw, l.raw, leaseFor)
	if err == nil && !mine {
		l.lost.Store(true)
	}
	return err != nil || mine
}

// end stops renewing, and leaves a record for a time in place of the lease if it
// still is ours.
func (l *lease) end(ctx context.Context, r leaseRecord, ttl time.Duration) bool {
	l.stop()
	l.done.Wait()
	raw, err := json.Marshal(r)
	if err != nil {
		return false
	}
	mine, err := l.guard.store.Swap(ctx, l.key, l.raw, raw, ttl)
	if err != nil {
		l.guard.log.Debug("a lease was not given up, and ends by itself", "key", l.key, "error", err)
	}
	return mine
}

// release gives the lease up. It is taken away in two steps, since a store deletes
// without comparing: what is ours is marked first, which nobody else then takes.
func (l *lease) release(ctx context.Context) {
	if !l.end(ctx, leaseRecord{}, time.Second) {
		return
	}
	if _, err := l.guard.store.Delete(ctx, l.key); err != nil {
		l.guard.log.Debug("a lease was not deleted, and ends by itself", "key", l.key, "error", err)
	}
}

// follow waits for what comes of the question that somebody else is asking about
// a session that looked like seen. again says that they have given up without
// leaving word, or died.
func (g *Guard) follow(ctx context.Context, seen *session.Session) (a answer, again bool) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		s, err := g.sessions.Recall(ctx, seen.ID)
		switch {
		case errors.Is(err, session.ErrNotFound), err == nil && !s.Checked.Equal(seen.Checked):
			return answer{outcome: answered}, false
		case err != nil:
			return g.fault(ctx, err), false
		}
		raw, found, err := g.store.Get(ctx, leasePrefix+seen.ID)
		if err != nil {
			return g.fault(ctx, err), false
		}
		if !found {
			return answer{}, true
		}
		var r leaseRecord
		if err := json.Unmarshal(raw, &r); err != nil {
			return answer{err: fmt.Errorf("the record %q cannot be read: %w", leasePrefix+seen.ID, err)}, false
		}
		if r.Fails > 0 {
			return answer{outcome: unknown, fails: r.Fails, next: r.Until}, false
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return answer{outcome: unknown}, false
		}
	}
}

// fault is our own failure; but that time is up, or that we close, is none.
func (g *Guard) fault(ctx context.Context, err error) answer {
	if ctx.Err() != nil {
		return answer{outcome: unknown}
	}
	return answer{err: err}
}
