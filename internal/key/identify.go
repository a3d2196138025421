package key

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// built is an Identity and the account that it was made from. Holding on to the
// account keeps its address from being used again, so that comparing pointers
// is sound.
type built struct {
	account  *identity.Account
	identity *identity.Identity // without scopes: may do nothing
	rate     identity.Rate
	bucket   string // that the rate is counted by
}

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

// Alive reports whether the key of an identity that Identify returned would
// still be honoured for the same owner, from memory when it can. It is for
// connections that outlive their request (WebSocket): it charges nothing and is
// no use of the key. It is false once the secret that was presented has ended,
// also when the key has another by now; and for identities that did not come from
// a key.
func (m *Manager) Alive(ctx context.Context, id *identity.Identity) (bool, error) {
	if !id.Authenticated() || id.Method != identity.Key {
		return false, nil
	}
	keyID, ok := parseCredential(id.Credential)
	if !ok {
		return false, nil
	}
	c, found, err := m.near.Get(ctx, recordPrefix+keyID)
	if err != nil {
		return false, fmt.Errorf("looking up a key: %w", err)
	}
	if !found || c.ID != keyID || c.OwnerID != id.ID {
		return false, nil
	}
	s := c.presented(id.Credential)
	if s == nil || !m.now().Before(s.ends) {
		return false, nil
	}
	b, err := m.owner(ctx, c, s)
	if errors.Is(err, identity.ErrUnknown) {
		return false, nil
	}
	return err == nil && len(b.identity.Scopes) > 0, err
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

// owner checks the owner of a key and returns who a secret of it stands for.
func (m *Manager) owner(ctx context.Context, c *copied, s *held) (*built, error) {
	a, found, err := m.accounts.Account(ctx, c.Owner)
	switch {
	case err != nil:
		return nil, fmt.Errorf("looking up the owner of a key: %w", err)
	case !found || a == nil || a.Username != c.Owner:
		return nil, c.refuse("its owner is gone")
	case a.ID != c.OwnerID:
		return nil, c.refuse("its owner is gone, and another has the name now")
	case a.Disabled:
		return nil, c.refuse("its owner is disabled")
	}
	if b := s.built.Load(); b != nil && b.account == a {
		return b, nil
	}
	b := &built{account: a, rate: c.Rate, identity: &identity.Identity{
		Method: identity.Key, Provider: identity.Local, ID: a.ID, Subject: a.ID,
		Username: a.Username, Email: a.Email, EmailVerified: a.EmailVerified, Name: a.Name,
		Roles: a.Roles, Groups: a.Groups, Scopes: common(c.Scopes, a.Scopes),
		Claims: map[string]any{"key_id": c.ID}, Credential: s.credential,
	}}
	if !b.rate.Limited() {
		b.rate = a.Rate
	}
	b.bucket = bucket(c.ID, b.rate)
	s.built.Store(b)
	return b, nil
}

// common returns what of a key's scopes its owner has.
func common(key, owner []string) []string {
	var out []string
	for _, s := range key {
		if slices.Contains(owner, s) {
			out = append(out, s)
		}
	}
	return out
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

// admits reports whether the key may be used from an address. One that is not
// known is in no network.
func (c *copied) admits(from netip.Addr) bool {
	if len(c.Networks) == 0 {
		return true
	}
	from = from.Unmap().WithZone("")
	return slices.ContainsFunc(c.Networks, func(p netip.Prefix) bool { return p.Contains(from) })
}

func address(a netip.Addr) string {
	if !a.IsValid() {
		return "an address that is not known"
	}
	return a.Unmap().WithZone("").String()
}

// refuse is for a key whose secret was right, so that its owner may be named.
func (c *copied) refuse(reason string) *identity.Refusal {
	return &identity.Refusal{Reason: reason, Who: c.Owner + " key " + c.ID}
}

func (c *copied) whyEnded(s *held) string {
	if s == &c.secrets[0] {
		return "it expired at " + s.ends.Format(time.RFC3339)
	}
	return "it was replaced by a rotation, and its grace ended at " + s.ends.Format(time.RFC3339)
}
