package key

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// writeEvery is how often the uses of one key are written.
	writeEvery = time.Minute
	// writers is how many of them are written at a time.
	writers = 16
	// writeWithin is how long one may take, and all of them together at Close.
	writeWithin = 5 * time.Second
)

// writer writes one part of the uses after the other, each once in writeEvery,
// so that the store is not asked for all at once. It ends with Close.
func (m *Manager) writer() {
	defer close(m.stopped)
	tick := time.NewTicker(writeEvery / time.Duration(len(m.uses.parts)))
	defer tick.Stop()
	for i := 0; ; i = (i + 1) % len(m.uses.parts) {
		select {
		case <-m.stop:
			return
		case <-tick.C:
		}
		if failed, err := m.writeUses(context.Background(), &m.uses.parts[i], m.stop); failed > 0 {
			m.log.Debug("uses of keys were not written, and are kept", "keys", failed, "error", err)
		}
	}
}

// writeLast writes what is left at Close.
func (m *Manager) writeLast() {
	ctx, cancel := context.WithTimeout(context.Background(), writeWithin)
	defer cancel()
	m.uses.close()
	lost, last := 0, error(nil)
	for i := range m.uses.parts {
		failed, err := m.writeUses(ctx, &m.uses.parts[i], nil)
		if lost += failed; err != nil {
			last = err
		}
	}
	if lost > 0 {
		m.log.Warn("uses of keys were not written before the end, and are lost", "keys", lost, "error", last)
	}
}

// writeUses writes the uses of all keys of a part until stop is closed, and says
// how many could not be written, and why the last of them.
func (m *Manager) writeUses(ctx context.Context, p *usesPart, stop <-chan struct{}) (int, error) {
	var (
		all    sync.WaitGroup
		slots  = make(chan struct{}, writers)
		failed atomic.Int64
		last   atomic.Pointer[error]
	)
	for id, u := range p.all() {
		slots <- struct{}{}
		select {
		case <-stop:
			<-slots
			continue
		default:
		}
		all.Go(func() {
			defer func() { <-slots }()
			if err := m.writeUse(ctx, id, u); err != nil {
				failed.Add(1)
				last.Store(&err)
				return
			}
			p.settle(id, u)
		})
	}
	all.Wait()
	if err := last.Load(); err != nil {
		return int(failed.Load()), *err
	}
	return 0, nil
}

// writeUse adds to the count of a key that still exists.
func (m *Manager) writeUse(ctx context.Context, id string, u use) error {
	ctx, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	c, found, err := m.near.Get(ctx, recordPrefix+id)
	if err != nil || !found {
		return err
	}
	ttl := c.forgotten().Sub(m.now())
	if ttl <= 0 {
		return nil
	}
	return m.addUse(ctx, id, u, ttl)
}

// renewUses gives the count of a key that was rotated the key's new end.
func (m *Manager) renewUses(ctx context.Context, id string, ttl time.Duration) {
	if err := m.addUse(ctx, id, use{}, ttl); err != nil {
		m.log.Debug("the uses of a key did not get its new end", "key", id, "error", err)
	}
}

// addUse writes by compare-and-swap, so that of several instances none takes
// another's count for its own.
func (m *Manager) addUse(ctx context.Context, id string, u use, ttl time.Duration) error {
	const tries = 20
	for range tries {
		sum, raw, err := m.readUse(ctx, id)
		if bad := (*badUseError)(nil); errors.As(err, &bad) {
			m.log.Warn("the uses of a key cannot be read; they are counted anew", "error", err)
		} else if err != nil {
			return err
		}
		if raw == nil && u == (use{}) {
			return nil
		}
		sum.add(u)
		value, err := json.Marshal(sum)
		if err != nil {
			return err
		}
		if raw == nil {
			created, err := m.store.Create(ctx, usePrefix+id, value, ttl)
			if err == nil && created {
				m.dropOrphan(ctx, id)
			}
			if err != nil || created {
				return err
			}
			continue
		}
		if swapped, err := m.store.Swap(ctx, usePrefix+id, raw, value, ttl); err != nil || swapped {
			return err
		}
	}
	return ErrContended
}

// dropOrphan takes back a count whose key was revoked while it was written. One
// that stays is no more than clutter, and has an end.
func (m *Manager) dropOrphan(ctx context.Context, id string) {
	if _, found, err := m.store.Get(ctx, recordPrefix+id); err == nil && !found {
		m.unlist(ctx, usePrefix+id)
	}
}
