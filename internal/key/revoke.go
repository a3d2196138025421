package key

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Revoke ends a key and deletes its record, or returns ErrNotFound. It is refused
// here from the moment this returns, and on other instances as soon as they hear
// of it. A record that cannot be read is removed like any other.
func (m *Manager) Revoke(ctx context.Context, id string) error {
	if !validID(id) {
		return ErrNotFound
	}
	raw, found, err := m.store.Take(ctx, recordPrefix+id)
	if err != nil {
		return err
	}
	if !found {
		return ErrNotFound
	}
	m.uses.drop(id)
	if r, err := unmarshal(raw); err == nil {
		m.unlist(ctx, ownerKey(r.Owner, id))
	}
	m.unlist(ctx, usePrefix+id)
	return nil
}

// RevokeOwner revokes all keys of an owner, whose name is as stored, and says how
// many there were. A key that is being made meanwhile may slip through: where
// that matters, disable the owner first.
func (m *Manager) RevokeOwner(ctx context.Context, owner string) (n int, err error) {
	prefix := ownerKey(owner, "")
	for after := ""; ; {
		page, err := m.store.Scan(ctx, prefix, after, pageSize)
		if err != nil {
			return n, err
		}
		for _, e := range page {
			after = e.Key
			id := strings.TrimPrefix(e.Key, prefix)
			if foreign, err := m.foreign(ctx, id, owner); err != nil {
				return n, err
			} else if foreign {
				continue
			}
			err := m.Revoke(ctx, id)
			switch {
			case err == nil:
				// Also when the record could not be read, and so did not say whose it was.
				m.unlist(ctx, e.Key)
				n++
			case errors.Is(err, ErrNotFound):
				m.tidy(ctx, e.Key, e.Value)
			default:
				return n, err
			}
		}
		if len(page) < pageSize {
			return n, nil
		}
	}
}

// foreign reports whether a key on an owner's list is certainly somebody else's.
// A record that cannot be read is not.
func (m *Manager) foreign(ctx context.Context, id, owner string) (bool, error) {
	raw, found, err := m.store.Get(ctx, recordPrefix+id)
	if err != nil || !found {
		return false, err
	}
	r, err := unmarshal(raw)
	return err == nil && r.Owner != owner, nil
}

// tidy removes an entry whose key is gone. One that was written just now may be
// waiting for its key, and stays.
func (m *Manager) tidy(ctx context.Context, entry string, since []byte) {
	const wait = time.Minute
	t, err := time.Parse(time.RFC3339, string(since))
	if err == nil && m.now().Sub(t) < wait {
		return
	}
	m.unlist(ctx, entry)
}

// unlist removes what belongs to a key that is gone already. It has an end of its
// own, so a failure costs no more than a look at it.
func (m *Manager) unlist(ctx context.Context, entry string) {
	if _, err := m.store.Delete(ctx, entry); err != nil {
		m.log.Debug("an entry of a key that is gone was not removed", "entry", entry, "error", err)
	}
}
