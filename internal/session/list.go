package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Get returns a session that is still honoured, or ErrNotFound. It reads the
// store, not the memory.
func (m *Manager) Get(ctx context.Context, id string) (*Session, error) {
	if !validID(id) {
		return nil, ErrNotFound
	}
	raw, found, err := m.store.Get(ctx, keyPrefix+id)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, ErrNotFound
	}
	s, err := m.current(ctx, keyPrefix+id, raw)
	if err == nil && s == nil {
		err = ErrNotFound
	}
	return s, err
}

// Revoke ends a session, or returns ErrNotFound. It is refused here from the
// moment this returns, and on other instances as soon as they hear of it, and so
// are the sessions that hang on it. A record that cannot be read is removed like
// any other.
func (m *Manager) Revoke(ctx context.Context, id string) error {
	if !validID(id) {
		return ErrNotFound
	}
	raw, found, err := m.store.Take(ctx, keyPrefix+id)
	if err != nil {
		return err
	}
	if !found {
		return ErrNotFound
	}
	if s, err := unmarshal(raw); err == nil {
		m.unlist(ctx, indexKey(s.Username, id))
		if s.ProviderSID != "" {
			m.unlist(ctx, sidKey(s.ProviderIssuer, s.ProviderSID)+id)
		}
	}
	return nil
}

// RevokeUser ends all sessions of a user, whose name is as stored, and says how
// many there were. A login that is under way meanwhile may slip through: where
// that matters (a stolen account) let the user's Epoch grow first.
func (m *Manager) RevokeUser(ctx context.Context, username string) (n int, err error) {
	return m.revokeListed(ctx, indexKey(username, ""), func(string) (bool, error) { return true, nil })
}

// revokeListed ends the sessions of an index, if wanted.
func (m *Manager) revokeListed(ctx context.Context, prefix string, wanted func(id string) (bool, error)) (n int, err error) {
	for after := ""; ; {
		page, err := m.store.Scan(ctx, prefix, after, pageSize)
		if err != nil {
			return n, err
		}
		for _, e := range page {
			after = e.Key
			id := strings.TrimPrefix(e.Key, prefix)
			if yes, err := wanted(id); err != nil {
				return n, err
			} else if !yes {
				continue
			}
			switch err := m.Revoke(ctx, id); {
			case err == nil:
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

// pageSize is how many entries a scan reads at a time.
const pageSize = 100

// List returns up to limit (1 to 1000; else 100) sessions of a user, or with
// username "" of everybody, whose id sorts after the id after. Sessions that
// would be refused now are left out. Fewer than limit is the end.
func (m *Manager) List(ctx context.Context, username, after string, limit int) ([]*Session, error) {
	if limit < 1 || limit > 1000 {
		limit = 100
	}
	prefix, load := keyPrefix, m.loadScanned
	if username != "" {
		prefix, load = indexKey(username, ""), m.loadIndexed
	}
	if after != "" {
		after = prefix + after
	}
	list := make([]*Session, 0, min(limit, pageSize))
	for {
		page, err := m.store.Scan(ctx, prefix, after, pageSize)
		if err != nil {
			return nil, err
		}
		for _, e := range page {
			after = e.Key
			s, err := load(ctx, strings.TrimPrefix(e.Key, prefix), e.Key, e.Value)
			if err != nil {
				return nil, err
			}
			if s == nil {
				continue
			}
			if list = append(list, s); len(list) == limit {
				return list, nil
			}
		}
		if len(page) < pageSize {
			return list, nil
		}
	}
}

// Count returns about how many sessions there are, for the metric.
func (m *Manager) Count(ctx context.Context) (int, error) {
	return m.store.Count(ctx, strings.TrimSuffix(keyPrefix, "/"))
}

// loadScanned reads a session from a scan of the sessions themselves; nil is
// one that is over.
func (m *Manager) loadScanned(ctx context.Context, _, key string, raw []byte) (*Session, error) {
	return m.current(ctx, key, raw)
}

// loadIndexed reads the session that an index entry points to, and tidies the
// entry away when there is none any more.
func (m *Manager) loadIndexed(ctx context.Context, id, key string, since []byte) (*Session, error) {
	raw, found, err := m.store.Get(ctx, keyPrefix+id)
	if err != nil {
		return nil, err
	}
	if !found {
		m.tidy(ctx, key, since)
		return nil, nil //nolint:nilnil // unexported; nil is no session
	}
	return m.current(ctx, keyPrefix+id, raw)
}

// current decodes a session and returns nil when it would be refused now.
func (m *Manager) current(ctx context.Context, key string, raw []byte) (*Session, error) {
	c, err := m.decode(raw)
	if err != nil {
		return nil, fmt.Errorf("the record %q cannot be read: %w", key, err)
	}
	s := c.Session
	if keyPrefix+s.ID != key || s.over(m.now()) {
		return nil, nil //nolint:nilnil // unexported; nil is no session
	}
	if c.parent != nil {
		if _, err := m.parentOf(ctx, c, m.now()); err != nil {
			return nil, unlessUnknown(err)
		}
	}
	account, err := m.account(ctx, &s)
	if err != nil || account == nil {
		return nil, err
	}
	return &s, nil
}

// tidy removes an index entry whose session is gone. One that was written just
// now may be waiting for its session, and stays.
func (m *Manager) tidy(ctx context.Context, key string, since []byte) {
	const grace = time.Minute
	t, err := time.Parse(time.RFC3339, string(since))
	if err == nil && m.now().Sub(t) < grace {
		return
	}
	m.unlist(ctx, key)
}

// unlist removes an index entry. Its session is gone already, and the entry has
// an end of its own, so a failure costs no more than a look at it.
func (m *Manager) unlist(ctx context.Context, key string) {
	if _, err := m.store.Delete(ctx, key); err != nil {
		m.log.Debug("an entry of a session that is gone was not removed", "key", key, "error", err)
	}
}
