package key

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// Identify returns who a presented key stands for, and what is left of its rate
// limit, which is nil when it has none. from is the client's address. The
// identity is shared, and the same pointer until the key or its owner changes.
//
// The error is an *identity.Refusal for everything that is the key's own fault,
// with the reason for the operator, and an *identity.ThrottledError for a good key
// that is used too often. Any other error means that it could not be found out.
// Only a request that is let in counts as a use, and only a key that is right in
// everything else is charged: strangers cannot use up somebody's limit.
func (m *Manager) Identify(ctx context.Context, presented string, from netip.Addr) (*identity.Identity, *identity.Quota, error) {
	text, refused := parse(presented)
	if refused != nil {
		return nil, nil, refused
	}
	c, s, err := m.find(ctx, text)
	if err != nil {
		return nil, nil, err
	}
	now := m.now()
	if !now.Before(s.ends) {
		return nil, nil, c.refuse(c.whyEnded(s))
	}
	b, err := m.owner(ctx, c, s)
	if err != nil {
		return nil, nil, err
	}
	if !c.admits(from) {
		return nil, nil, c.refuse("it may not be used from " + address(from))
	}
	if len(b.identity.Scopes) == 0 {
		return nil, nil, c.refuse("its owner has none of its scopes any more")
	}
	quota, err := m.charge(ctx, b)
	if err != nil {
		return nil, nil, err
	}
	m.uses.count(c.ID, now)
	return b.identity, quota, nil
}

// find returns the key that a text is of, from memory when it can, and which of
// its secrets the text is.
func (m *Manager) find(ctx context.Context, text []byte) (*copied, *held, error) {
	var k [len(recordPrefix) + idLen]byte // without an allocation
	copy(k[copy(k[:], recordPrefix):], text[len(prefix):idEnd])
	c, found := m.near.Hit(k[:])
	if !found {
		var err error
		if c, found, err = m.near.Get(ctx, string(k[:])); err != nil {
			return nil, nil, fmt.Errorf("looking up a key: %w", err)
		}
	}
	id := k[len(recordPrefix):]
	if !found {
		return nil, nil, &identity.Refusal{Reason: "there is no key " + string(id) + ", or none any more"}
	}
	if c.ID != string(id) {
		return nil, nil, misplaced(string(k[:]), c.ID)
	}
	if s := c.match(text); s != nil {
		return c, s, nil
	}
	return m.findRotated(ctx, c, text)
}

// findRotated looks for a secret that the copy in memory does not know: it may be
// one that another instance has issued a moment ago, whose notice is under way.
func (m *Manager) findRotated(ctx context.Context, old *copied, text []byte) (*copied, *held, error) {
	key := recordPrefix + old.ID
	raw, found, err := m.store.Get(ctx, key)
	if err != nil {
		return nil, nil, fmt.Errorf("looking up a key: %w", err)
	}
	if found && !bytes.Equal(raw, old.raw) {
		c, err := m.hold(raw)
		if err != nil {
			return nil, nil, unreadable(key, err)
		}
		if c.ID != old.ID {
			return nil, nil, misplaced(key, c.ID)
		}
		if s := c.match(text); s != nil {
			return c, s, nil
		}
	}
	return nil, nil, &identity.Refusal{Reason: "the secret is not that of the key " + old.ID}
}

func (m *Manager) charge(ctx context.Context, b *built) (*identity.Quota, error) {
	if !b.rate.Limited() {
		return nil, nil //nolint:nilnil // unexported; nil is no limit
	}
	a, err := m.limiter.charge(ctx, b.bucket, b.rate)
	if err != nil {
		return nil, fmt.Errorf("counting the requests of a key: %w", err)
	}
	quota := identity.Quota{Rate: b.rate, Remaining: a.Remaining, Reset: a.Reset}
	if !a.Allowed {
		return nil, &identity.ThrottledError{Quota: quota, Retry: a.Retry, Who: b.identity}
	}
	return &quota, nil
}
