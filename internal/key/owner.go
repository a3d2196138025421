package key

import (
	"context"
	"fmt"
	"slices"

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
