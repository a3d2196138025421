package certificate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// revoked is a revocation as it is kept in memory. One that cannot be read
// revokes all the same; only listing fails by it.
type revoked struct {
	Revocation
	damage error
}

func decodeRevocation(k string, raw []byte) (*revoked, error) {
	r := new(revoked)
	if err := json.Unmarshal(raw, &r.Revocation); err != nil {
		r.damage = unreadable(k, err)
	} else if key(revocationKind, r.Fingerprint) != k {
		r.damage = unreadable(k, errors.New("it is about another certificate"))
	}
	return r, nil
}

// Revoke refuses a certificate from now on, and with that of an authority all
// that it has signed. The fingerprint may lack "sha256:". note, of up to 512
// bytes, is for people who read lists. It is in force here when Revoke returns,
// and on other instances as soon as they hear of it. Revoking again replaces the
// note and the time.
func (r *Registry) Revoke(ctx context.Context, fingerprint, note string) error {
	ref, err := parseFingerprint(fingerprint)
	if err != nil {
		return err
	}
	if note != "" {
		if reason := wrongText(note); reason != "" {
			return &InvalidError{Field: "note", Reason: reason}
		}
	}
	raw, err := json.Marshal(Revocation{Fingerprint: ref, Note: note, Revoked: r.clock().UTC().Round(0)})
	if err != nil {
		return fmt.Errorf("the revocation cannot be stored: %w", err)
	}
	return r.revoked.Put(ctx, key(revocationKind, ref), raw, 0)
}

// Unrevoke takes a revocation back, or returns ErrNotFound. It also removes a
// record that cannot be read.
func (r *Registry) Unrevoke(ctx context.Context, fingerprint string) error {
	ref, err := parseFingerprint(fingerprint)
	if err != nil {
		return err
	}
	found, err := r.revoked.Delete(ctx, key(revocationKind, ref))
	if err == nil && !found {
		err = ErrNotFound
	}
	return err
}

// Revoked returns what is revoked, in the order of time.
func (r *Registry) Revoked(ctx context.Context) ([]Revocation, error) {
	all, err := r.revoked.All(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Revocation, 0, len(all))
	for _, v := range all {
		if v.damage != nil {
			return nil, v.damage
		}
		out = append(out, v.Revocation)
	}
	slices.SortFunc(out, func(a, b Revocation) int {
		return cmp.Or(a.Revoked.Compare(b.Revoked), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	return out, nil
}
