package session

import (
	"context"
	"math/rand/v2"
	"time"
)

// Update changes what a provider says in a session that is still honoured: it
// reads the record, lets change work on a copy, and stores that if nobody was
// faster, else begins again; change may therefore run more than once. An error of
// change ends the update and is returned as it is. Without such a session it is
// ErrNotFound: one that was revoked is not brought back.
//
// Only Roles, Groups, Claims, Sealed and Checked can be changed: who somebody is,
// how and when they proved it, and when the session ends, stays as it was.
func (m *Manager) Update(ctx context.Context, id string, change func(*Session) error) (*Session, error) {
	if !validID(id) {
		return nil, ErrNotFound
	}
	const tries = 50
	for try := range tries {
		raw, found, err := m.store.Get(ctx, keyPrefix+id)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, ErrNotFound
		}
		s, err := m.current(ctx, keyPrefix+id, raw)
		if err != nil {
			return nil, err
		}
		if s == nil {
			return nil, ErrNotFound
		}
		if err := m.changed(s, change); err != nil {
			return nil, err
		}
		value, err := marshal(s)
		if err != nil {
			return nil, err
		}
		ttl := s.Ends().Sub(m.now())
		if ttl <= 0 {
			return nil, ErrNotFound
		}
		swapped, err := m.store.Swap(ctx, keyPrefix+id, raw, value, ttl)
		if err != nil {
			return nil, err
		}
		if swapped {
			return s, nil
		}
		select { // somebody was faster: a touch, mostly
		case <-time.After(rand.N(min(time.Duration(try+1)*time.Millisecond, 20*time.Millisecond))):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return nil, ErrContended
}

// changed lets change work on s, and takes over what may change.
func (m *Manager) changed(s *Session, change func(*Session) error) error {
	c := *s
	if err := change(&c); err != nil {
		return err
	}
	s.Roles, s.Groups, s.Claims, s.Sealed = c.Roles, c.Groups, c.Claims, c.Sealed
	s.Checked = c.Checked.UTC().Round(0)
	return m.bound(s)
}
