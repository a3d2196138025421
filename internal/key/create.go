package key

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// maxKeys is how many keys one owner may have, those that are shown as expired
// included. Whoever may make keys for themselves cannot fill the store with
// them.
const maxKeys = 1000

// New is what Create needs to know of a key. Owner and Scopes are required.
type New struct {
	Owner       string        // a user's or service's name
	Scopes      []string      // up to 64, each of which the owner has
	Networks    []string      // up to 32 prefixes or addresses; none: from everywhere
	Description string        // up to 256 bytes
	Lifetime    time.Duration // 1 minute to MaxLifetime; 0: Options.Lifetime
	Rate        identity.Rate // zero: the owner's
}

// Create makes a key. text is the whole key, to be shown once: it is kept
// nowhere. Bad input is an *InvalidError, and nothing was done then.
func (m *Manager) Create(ctx context.Context, n New) (text string, k *Key, err error) {
	now := m.now()
	r, lifetime, err := m.draft(ctx, n)
	if err != nil {
		return "", nil, err
	}
	if r.ID, err = random(m.rand, idLen); err != nil {
		return "", nil, err
	}
	if text, err = mint(m.rand, r.ID); err != nil {
		return "", nil, err
	}
	r.Created, r.Secrets = now, []secret{newSecret(text, 0, now, lifetime)}
	if err := m.insert(ctx, r, now); err != nil {
		return "", nil, err
	}
	return text, m.show(r, now), nil
}

// draft checks what a key is to be made with. Checks that ask nobody go first.
func (m *Manager) draft(ctx context.Context, n New) (*record, time.Duration, error) {
	lifetime, err := m.checkLifetime(n.Lifetime)
	if err != nil {
		return nil, 0, err
	}
	r := &record{Rate: n.Rate}
	if err := checkRate(n.Rate); err != nil {
		return nil, 0, err
	}
	if r.Description, err = cleanDescription(n.Description); err != nil {
		return nil, 0, err
	}
	if r.Networks, err = cleanNetworks(n.Networks); err != nil {
		return nil, 0, err
	}
	owner, err := m.newOwner(ctx, n.Owner)
	if err != nil {
		return nil, 0, err
	}
	r.Owner, r.OwnerID = owner.Username, owner.ID
	r.Scopes, err = cleanScopes(n.Scopes, owner)
	return r, lifetime, err
}

// newOwner returns the account of somebody who may be given one more key.
func (m *Manager) newOwner(ctx context.Context, name string) (*identity.Account, error) {
	bad := func(reason string) error { return &InvalidError{Field: "owner", Reason: reason} }
	a, found, err := m.accounts.Account(ctx, name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("looking up the owner of a key: %w", err)
	case !found || a == nil || a.ID == "" || a.Username == "":
		return nil, bad("does not exist")
	case a.Disabled:
		return nil, bad("is disabled")
	}
	have, err := m.store.Scan(ctx, ownerKey(a.Username, ""), "", maxKeys)
	switch {
	case err != nil:
		return nil, fmt.Errorf("counting the keys of an owner: %w", err)
	case len(have) >= maxKeys:
		return nil, bad(fmt.Sprintf("has %d keys already, and may have no more: revoke some", maxKeys))
	}
	return a, nil
}

// insert stores a new key. The owner's list goes first: a key that is not listed
// cannot be revoked with its owner's others, while an entry without a key is only
// tidied away.
func (m *Manager) insert(ctx context.Context, r *record, now time.Time) error {
	raw, err := r.encode()
	if err != nil {
		return err
	}
	ttl := r.forgotten().Sub(now)
	if err := m.store.Put(ctx, ownerKey(r.Owner, r.ID), stamp(now), ttl); err != nil {
		return fmt.Errorf("storing a key: %w", err)
	}
	created, err := m.store.Create(ctx, recordPrefix+r.ID, raw, ttl)
	if err != nil {
		return fmt.Errorf("storing a key: %w", err)
	}
	if !created {
		return errors.New("the random source repeats itself: refusing to share a key's id")
	}
	return nil
}

func newSecret(text string, turn int, now time.Time, lifetime time.Duration) secret {
	sum := sha256.Sum256([]byte(text))
	return secret{Turn: turn, Hash: sum[:], Issued: now, Until: now.Add(lifetime)}
}

// ownerKey is where an owner's key is listed. Names have no "/"; escaping makes
// that no matter of trust.
func ownerKey(owner, id string) string { return ownerPrefix + url.PathEscape(owner) + "/" + id }

func stamp(t time.Time) []byte { return []byte(t.Format(time.RFC3339)) }
