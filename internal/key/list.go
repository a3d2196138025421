package key

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// pageSize is how many entries a scan reads at a time.
const pageSize = 100

// Get reads a key from the store, or returns ErrNotFound. For 30 days after it
// has expired a key is returned as that.
func (m *Manager) Get(ctx context.Context, id string) (*Key, error) {
	if !validID(id) {
		return nil, ErrNotFound
	}
	r, _, err := m.read(ctx, id)
	if err != nil {
		return nil, err
	}
	return m.usage(ctx, m.show(r, m.now()))
}

// List returns up to limit (1 to 1000; else 100) keys of an owner, whose name is
// as stored, or with owner "" of everybody, whose id sorts after the id after.
// Fewer than limit is the end. Keys that have expired are among them for 30 days.
// So are those of an owner who is gone: they are refused, also when somebody else
// has the name now, and their OwnerID tells them from that one's.
func (m *Manager) List(ctx context.Context, owner, after string, limit int) ([]*Key, error) {
	if limit < 1 || limit > 1000 {
		limit = 100
	}
	if after != "" && !validID(after) {
		return nil, &InvalidError{Field: "after", Reason: "is no id of a key"}
	}
	prefix, load := recordPrefix, m.loadScanned
	if owner != "" {
		prefix = ownerKey(owner, "")
		load = func(ctx context.Context, key string, value []byte) (*record, error) {
			return m.loadListed(ctx, owner, key, value)
		}
	}
	if after != "" {
		after = prefix + after
	}
	now, list := m.now(), make([]*Key, 0, min(limit, pageSize))
	for {
		page, err := m.store.Scan(ctx, prefix, after, pageSize)
		if err != nil {
			return nil, err
		}
		for _, e := range page {
			after = e.Key
			r, err := load(ctx, e.Key, e.Value)
			if err != nil {
				return nil, err
			}
			if r == nil {
				continue
			}
			k, err := m.usage(ctx, m.show(r, now))
			if err != nil {
				return nil, err
			}
			if list = append(list, k); len(list) == limit {
				return list, nil
			}
		}
		if len(page) < pageSize {
			return list, nil
		}
	}
}

// loadScanned reads a key from a scan of the keys themselves.
func (m *Manager) loadScanned(_ context.Context, key string, raw []byte) (*record, error) {
	return decode(key, raw)
}

// loadListed reads the key that an owner's entry points to, and tidies the entry
// away when there is none any more; nil is no key.
func (m *Manager) loadListed(ctx context.Context, owner, entry string, since []byte) (*record, error) {
	key := recordPrefix + strings.TrimPrefix(entry, ownerKey(owner, ""))
	raw, found, err := m.store.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	if !found {
		m.tidy(ctx, entry, since)
		return nil, nil //nolint:nilnil // unexported; nil is no key
	}
	r, err := decode(key, raw)
	if err != nil {
		return nil, err
	}
	if r.Owner != owner {
		return nil, nil //nolint:nilnil // unexported; nil is no key of the owner's
	}
	return r, nil
}

// read returns a stored key and what it was decoded from.
func (m *Manager) read(ctx context.Context, id string) (*record, []byte, error) {
	raw, found, err := m.store.Get(ctx, recordPrefix+id)
	if err != nil {
		return nil, nil, err
	}
	if !found {
		return nil, nil, ErrNotFound
	}
	r, err := decode(recordPrefix+id, raw)
	return r, raw, err
}

// show makes of a record what people are shown.
func (m *Manager) show(r *record, now time.Time) *Key {
	newest := r.newest()
	k := &Key{
		ID: r.ID, Owner: r.Owner, OwnerID: r.OwnerID, Description: r.Description,
		Scopes: slices.Clone(r.Scopes), Networks: slices.Clone(r.Networks), Rate: r.Rate,
		Created: r.Created, Expires: newest.ends(m.max),
	}
	k.Expired = !now.Before(k.Expires)
	if newest.Turn > 0 {
		k.Rotated = newest.Issued
	}
	for i := range r.Secrets[1:] {
		if end := r.Secrets[1+i].ends(m.max); now.Before(end) && end.After(k.GraceEnds) {
			k.GraceEnds = end
		}
	}
	return k
}

// usage adds to k how it was used: what is stored, and what this process has
// not written yet.
func (m *Manager) usage(ctx context.Context, k *Key) (*Key, error) {
	u, _, err := m.readUse(ctx, k.ID)
	if err != nil {
		return nil, fmt.Errorf("reading the uses of a key: %w", err)
	}
	u.add(m.uses.pending(k.ID))
	k.Uses, k.LastUsed = u.Uses, u.LastUsed
	return k, nil
}
