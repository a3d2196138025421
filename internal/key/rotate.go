package key

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// maxSecrets is how many secrets of one key may work at a time.
const maxSecrets = 6

// Rotate gives a key a new secret under the same id, and a new life of the same
// length from now, within MaxLifetime. text is the whole key, to be shown once.
//
// Secrets that the key had before go on working for grace, but no longer than
// each was to work anyhow: a rotation shortens the grace of the rotations before
// it and never lengthens anything. 0 ends them all at once, and on other
// instances as soon as they hear of it; a negative grace is DefaultGrace; more
// than MaxGrace is an *InvalidError, as is a sixth rotation within one grace. A
// key that has expired may be rotated for as long as it is listed: its earlier
// secrets stay dead.
//
// ErrNotFound when there is no such key; one that is revoked meanwhile stays
// revoked. After a fault of the store the new secret may be in force although
// nobody was told it: rotate again.
func (m *Manager) Rotate(ctx context.Context, id string, grace time.Duration) (text string, k *Key, err error) {
	if grace < 0 {
		grace = DefaultGrace
	}
	if grace > MaxGrace {
		return "", nil, &InvalidError{Field: "grace", Reason: "is longer than " + span(MaxGrace)}
	}
	if !validID(id) {
		return "", nil, ErrNotFound
	}
	if text, err = mint(m.rand, id); err != nil {
		return "", nil, err
	}
	const tries = 100
	for try := range tries {
		k, err := m.tryRotate(ctx, id, text, grace)
		if err == nil {
			return text, k, nil
		}
		if !errors.Is(err, errOvertaken) {
			return "", nil, err
		}
		// Somebody was faster. Spread out, so that each round more than one gets on.
		select {
		case <-time.After(rand.N(min(time.Duration(try+1)*time.Millisecond, 20*time.Millisecond))):
		case <-ctx.Done():
			return "", nil, context.Cause(ctx)
		}
	}
	return "", nil, ErrContended
}

// errOvertaken says that the record changed since it was read.
var errOvertaken = errors.New("overtaken")

// tryRotate writes by compare-and-swap from exactly what was read: a key that
// was revoked meanwhile is not brought back.
func (m *Manager) tryRotate(ctx context.Context, id, text string, grace time.Duration) (*Key, error) {
	was, raw, err := m.read(ctx, id)
	if err != nil {
		return nil, err
	}
	now := m.now()
	r, err := was.rotated(text, now, grace, m.max)
	if err != nil {
		return nil, err
	}
	value, err := r.encode()
	if err != nil {
		return nil, err
	}
	ttl := r.forgotten().Sub(now)
	// The owner's list goes first, as when the key was made.
	entry := ownerKey(r.Owner, id)
	if err := m.store.Put(ctx, entry, stamp(now), ttl); err != nil {
		return nil, fmt.Errorf("storing a key: %w", err)
	}
	swapped, err := m.store.Swap(ctx, recordPrefix+id, raw, value, ttl)
	if err != nil {
		return nil, fmt.Errorf("storing a key: %w", err)
	}
	if !swapped {
		return nil, m.overtaken(ctx, id, entry)
	}
	m.renewUses(ctx, id, ttl)
	return m.usage(ctx, m.show(r, now))
}

// overtaken says what became of a key that changed since it was read. If it was
// revoked, the entry that was just written goes again.
func (m *Manager) overtaken(ctx context.Context, id, entry string) error {
	_, found, err := m.store.Get(ctx, recordPrefix+id)
	if err != nil {
		return err
	}
	if !found {
		m.unlist(ctx, entry)
		return ErrNotFound
	}
	return errOvertaken
}

// rotated returns the record with a new secret in front.
func (r *record) rotated(text string, now time.Time, grace, most time.Duration) (*record, error) {
	last, cut := r.newest(), now.Add(grace)
	length := min(last.Until.Sub(last.Issued), most)
	next := *r
	next.Secrets = []secret{newSecret(text, last.Turn+1, now, length)}
	for i, s := range r.Secrets {
		if end := s.ends(most); end.Before(cut) {
			s.Until = end
		} else {
			s.Until = cut
		}
		// The last is kept also when it is at its end, so that its use can be told
		// from a guess.
		if i == 0 || now.Before(s.Until) {
			next.Secrets = append(next.Secrets, s)
		}
	}
	if len(next.Secrets) > maxSecrets {
		return nil, &InvalidError{Field: "grace", Reason: fmt.Sprintf(
			"cannot be given: %d earlier secrets of this key still work; wait, or rotate with a grace of 0, which ends them all", maxSecrets-1)}
	}
	return &next, nil
}
