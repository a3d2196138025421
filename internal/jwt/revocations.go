package jwt

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/store/near"
)

// Revocations are kept in a store, shared by all instances: on this one a
// revocation is in force when Add returns, on others when they hear of it.
type Revocations struct {
	list  *near.List[Revocation]
	clock func() time.Time
	index lastIndex
}

// NewRevocations makes the revocations in s, which stays the caller's to close.
// clock is time.Now if nil.
func NewRevocations(s store.Store, clock func() time.Time) *Revocations {
	if clock == nil {
		clock = time.Now
	}
	return &Revocations{list: near.NewList(s, revokedKind, decodeRevocation), clock: clock}
}

// Close ends listening to the store. Later calls still work, more slowly.
func (r *Revocations) Close() { r.list.Close() }

func decodeRevocation(_ string, raw []byte) (*Revocation, error) {
	var r Revocation
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, err
	}
	if _, err := r.mark(); err != nil {
		return nil, err
	}
	return &r, nil
}

// Add revokes, and returns what was stored. The error is an ErrRevocation or the
// store's; after the latter it may be in force, and should be added again.
func (r *Revocations) Add(ctx context.Context, v Revocation) (*Revocation, error) {
	now := r.clock().UTC().Round(0)
	v.Created, v.Before, v.Until = now, v.Before.UTC().Round(0), v.Until.UTC().Round(0)
	if v.Subject != "" && v.Before.IsZero() {
		v.Before = now
	}
	if _, err := v.mark(); err != nil {
		return nil, err
	}
	if len(v.Note) > maxNote || !utf8.ValidString(v.Note) {
		return nil, fmt.Errorf("%w: the note is longer than %d bytes, or not UTF-8", ErrRevocation, maxNote)
	}
	ttl := time.Duration(0)
	if !v.Until.IsZero() {
		if ttl = v.Until.Sub(now); ttl <= 0 {
			return nil, fmt.Errorf("%w: it would be forgotten at once", ErrRevocation)
		}
	}
	key, err := v.key()
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if err := r.list.Put(ctx, key, raw, ttl); err != nil {
		return nil, fmt.Errorf("revoking a token: %w", err)
	}
	return &v, nil
}

// List returns all revocations that are in force, oldest first.
func (r *Revocations) List(ctx context.Context) ([]Revocation, error) {
	records, err := r.list.All(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the revocations: %w", err)
	}
	now := r.clock()
	out := make([]Revocation, 0, len(records))
	for _, v := range records {
		if v.Until.IsZero() || now.Before(v.Until) {
			out = append(out, *v)
		}
	}
	slices.SortFunc(out, func(a, b Revocation) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
	})
	return out, nil
}
