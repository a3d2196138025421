package session

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// copied is a session as it is kept in memory. All but the atomic fields are
// read-only.
type copied struct {
	Session
	parent   *key   // nil: none
	raw      []byte // as stored, for the compare-and-swap of a touch
	touching atomic.Bool
	built    atomic.Pointer[built]
}

// built is an Identity, and the account and parent that it was made from. Holding
// on to them keeps their addresses from being used again, so that comparing
// pointers is sound.
type built struct {
	account  *identity.Account
	parent   *copied
	identity *identity.Identity
}

// decode makes the copy of a stored session, held to today's limits.
func (m *Manager) decode(raw []byte) (*copied, error) {
	s, err := unmarshal(raw)
	if err != nil {
		return nil, err
	}
	m.limits(s.Remember).clamp(s)
	c := &copied{Session: *s, raw: raw}
	if s.Parent != "" {
		k := keyOf(s.Parent)
		c.parent = &k
	}
	return c, nil
}

// Identify returns who a session cookie stands for. The result is shared, and
// the same pointer until the session or its user changes.
//
// The error is identity.ErrUnknown for a token that stands for nobody: made up,
// ended, too old, or of a user who is gone, disabled or has ended their logins.
// Any other error means that it could not be found out. Made-up tokens are told
// by their form where possible, and are never remembered.
func (m *Manager) Identify(ctx context.Context, token string) (*identity.Identity, error) {
	_, who, err := m.lookup(ctx, token)
	return who, err
}

// Lookup is Identify, and returns the session too. It is shared: treat it as
// read-only.
func (m *Manager) Lookup(ctx context.Context, token string) (*Session, *identity.Identity, error) {
	c, who, err := m.lookup(ctx, token)
	if err != nil {
		return nil, nil, err
	}
	return &c.Session, who, nil
}

func (m *Manager) lookup(ctx context.Context, token string) (*copied, *identity.Identity, error) {
	k, ok := parseToken(token)
	if !ok {
		return nil, nil, identity.ErrUnknown
	}
	now := m.now()
	c, err := m.find(ctx, &k, now)
	if err != nil {
		return nil, nil, err
	}
	var parent *copied
	if c.parent != nil {
		if parent, err = m.parentOf(ctx, c, now); err != nil {
			return nil, nil, err
		}
	}
	who, err := m.identity(ctx, c, parent)
	if err != nil {
		return nil, nil, err
	}
	if c.stale(now) {
		m.touch(c, now)
	}
	// A request to a site is one to the portal, too.
	if parent != nil && parent.stale(now) {
		m.touch(parent, now)
	}
	return c, who, nil
}

// find returns the session under k, from memory when it can, unless it is over.
func (m *Manager) find(ctx context.Context, k *key, now time.Time) (*copied, error) {
	c, found := m.near.Hit(k[:])
	if !found {
		m.readAhead(ctx, k)
		var err error
		if c, found, err = m.near.Get(ctx, string(k[:])); err != nil {
			return nil, fmt.Errorf("looking up a session: %w", err)
		}
	}
	// A record under another's key is nobody's.
	if !found || c.ID != string(k.id()) {
		return nil, identity.ErrUnknown
	}
	if c.over(now) {
		return m.bury(ctx, c, now)
	}
	return c, nil
}

// readAhead asks for the owner and the parent of a session that was seen before
// while the session itself is read, so that all cost one round trip: whose a
// session is never changes. They are then found in memory; if not, nothing is
// lost.
func (m *Manager) readAhead(ctx context.Context, k *key) {
	old, seen := m.near.Hint(k[:])
	if !seen {
		return
	}
	username := old.Username
	if old.parent != nil {
		go func() { _, _, _ = m.near.Get(ctx, string(old.parent[:])) }()
	}
	go func() { _, _, _ = m.accounts.Account(ctx, username) }() // whoever needs the answer asks again, and hears the error
}

// Alive reports whether the session of an identity that Identify returned would
// still be honoured for the same user. It is for connections that outlive their
// request (WebSocket): it costs no more than Identify and does not count as a
// request, so a session whose only use is an open connection goes idle. It is
// false for identities that did not come from a session.
func (m *Manager) Alive(ctx context.Context, id *identity.Identity) (bool, error) {
	if !id.Authenticated() || id.Method != identity.Session || !validID(id.SessionID) {
		return false, nil
	}
	now := m.now()
	c, found, err := m.near.Get(ctx, keyPrefix+id.SessionID)
	if err != nil {
		return false, fmt.Errorf("looking up a session: %w", err)
	}
	if !found || c.ID != id.SessionID || c.UserID != id.ID || c.over(now) {
		return false, nil
	}
	if c.parent != nil {
		if _, err := m.parentOf(ctx, c, now); err != nil {
			return false, unlessUnknown(err)
		}
	}
	account, err := m.account(ctx, &c.Session)
	return account != nil, err
}

// unlessUnknown is err, or nil when it only says that somebody is not known.
func unlessUnknown(err error) error {
	if errors.Is(err, identity.ErrUnknown) {
		return nil
	}
	return err
}

// identity checks the user of a session, whose parent has been checked, and
// returns who they are.
func (m *Manager) identity(ctx context.Context, c, parent *copied) (*identity.Identity, error) {
	account, err := m.account(ctx, &c.Session)
	if err != nil {
		return nil, err
	}
	if account == nil {
		return nil, identity.ErrUnknown
	}
	if b := c.built.Load(); b != nil && b.account == account && b.parent == parent {
		return b.identity, nil
	}
	b := &built{account: account, parent: parent, identity: newIdentity(c, parent, account)}
	c.built.Store(b)
	return b.identity, nil
}

// account returns the account that a session is of, or nil when its user is
// gone, disabled, no person, another one of the same name, or has ended their
// logins.
func (m *Manager) account(ctx context.Context, s *Session) (*identity.Account, error) {
	a, found, err := m.accounts.Account(ctx, s.Username)
	if err != nil {
		return nil, fmt.Errorf("looking up the user of a session: %w", err)
	}
	if !found || a == nil || a.Disabled || a.Service || a.ID != s.UserID || a.Username != s.Username || a.Epoch != s.Epoch {
		return nil, nil //nolint:nilnil // unexported; nil is nobody
	}
	return a, nil
}

// bury settles a session whose copy says that it is over. The copy may be older
// than a touch by another instance, so the store is asked; what is over there
// too is removed, so that a clock which is set back does not bring it to life.
func (m *Manager) bury(ctx context.Context, c *copied, now time.Time) (*copied, error) {
	key := keyPrefix + c.ID
	raw, found, err := m.store.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("looking up a session: %w", err)
	}
	if found {
		newer, err := m.decode(raw)
		if err != nil {
			return nil, fmt.Errorf("the record %q cannot be read: %w", key, err)
		}
		if newer.ID == c.ID && !newer.over(now) {
			return newer, nil
		}
	}
	if !found {
		// The store may only hide what is past its time and sweep it later, and
		// judges that by a clock, too. Written once more, it can be deleted.
		if err := m.store.Put(ctx, key, c.raw, time.Second); err != nil {
			return nil, fmt.Errorf("removing a session that is over: %w", err)
		}
	}
	if _, err := m.store.Delete(ctx, key); err != nil {
		return nil, fmt.Errorf("removing a session that is over: %w", err)
	}
	return nil, identity.ErrUnknown
}
