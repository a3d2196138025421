package key

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"sync"
	"time"
)

// use is how often a key was used, and when last.
type use struct {
	Uses     int64     `json:"uses"`
	LastUsed time.Time `json:"last_used"`
}

// add never moves the time back: a clock may, and so may the order of writes.
func (u *use) add(more use) {
	u.Uses += more.Uses
	if more.LastUsed.After(u.LastUsed) {
		u.LastUsed = more.LastUsed
	}
}

// uses counts what is not written yet, in parts with a lock each. Only real keys
// get here, so that their number bounds the memory.
type uses struct {
	seed  maphash.Seed
	parts [16]usesPart
}

type usesPart struct {
	mu     sync.Mutex
	closed bool
	of     map[string]*use
	_      [64]byte // keeps neighbours' locks off this cache line
}

func newUses() *uses {
	u := &uses{seed: maphash.MakeSeed()}
	for i := range u.parts {
		u.parts[i].of = map[string]*use{}
	}
	return u
}

func (u *uses) part(id string) *usesPart {
	return &u.parts[maphash.String(u.seed, id)%uint64(len(u.parts))]
}

// count notes one use, unless nobody will write it any more.
func (u *uses) count(id string, now time.Time) {
	p := u.part(id)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	of := p.of[id]
	if of == nil {
		of = new(use)
		p.of[id] = of
	}
	of.add(use{Uses: 1, LastUsed: now})
}

// pending returns what is not written yet of a key.
func (u *uses) pending(id string) use {
	p := u.part(id)
	p.mu.Lock()
	defer p.mu.Unlock()
	if of := p.of[id]; of != nil {
		return *of
	}
	return use{}
}

// drop forgets what is not written of a key that is gone.
func (u *uses) drop(id string) {
	p := u.part(id)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.of, id)
}

// all returns what is not written yet of all keys of a part. It goes on being
// pending until it is settled.
func (p *usesPart) all() map[string]use {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make(map[string]use, len(p.of))
	for id, of := range p.of {
		out[id] = *of
	}
	return out
}

// settle takes off what was written.
func (p *usesPart) settle(id string, written use) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := p.of[id]
	if of == nil {
		return
	}
	if of.Uses -= written.Uses; of.Uses <= 0 {
		delete(p.of, id)
	}
}

// close ends counting.
func (u *uses) close() {
	for i := range u.parts {
		p := &u.parts[i]
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
	}
}

// badUseError is a count that is there and cannot be read.
type badUseError struct{ err error }

func (e *badUseError) Error() string { return e.err.Error() }
func (e *badUseError) Unwrap() error { return e.err }

// readUse returns the stored count of a key and what it was read from, which is
// nil when there is none.
func (m *Manager) readUse(ctx context.Context, id string) (u use, raw []byte, err error) {
	raw, found, err := m.store.Get(ctx, usePrefix+id)
	if err != nil || !found {
		return use{}, nil, err
	}
	if raw == nil {
		raw = []byte{} // empty is not none
	}
	if err = json.Unmarshal(raw, &u); err == nil && u.Uses < 0 {
		err = fmt.Errorf("%d uses", u.Uses)
	}
	if err != nil {
		return use{}, raw, &badUseError{unreadable(usePrefix+id, err)}
	}
	return u, raw, nil
}
