package certificate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// bound is a binding as it is kept in memory. A record that cannot be read is an
// error for the certificate that it is about, which its key tells, and for
// listing; other certificates have no part in it.
type bound struct {
	Binding
	damage error
}

func decodeBinding(k string, raw []byte) (*bound, error) {
	b := new(bound)
	if err := json.Unmarshal(raw, &b.Binding); err != nil {
		b.damage = unreadable(k, err)
	} else if b.Owner == "" || b.OwnerID == "" || key(bindingKind, b.Ref) != k {
		b.damage = unreadable(k, errors.New("owner or owner_id is missing, or it is about another certificate"))
	}
	return b, nil
}

func unreadable(k string, err error) error {
	return fmt.Errorf("the record %q cannot be read: %w", k, err)
}

// Bind gives a certificate to a user or service, whose name is in any spelling.
// ref is the fingerprint of the certificate, with "sha256:" before it, or the name
// that certificates have in the part that Options.Username picks: then all
// certificates with that name are the owner's. It is in force here when Bind
// returns, and on other instances as soon as they hear of it. To bind what is
// bound to the same owner already changes nothing.
func (r *Registry) Bind(ctx context.Context, owner, ref string) error {
	ref, err := parseRef(r.source, ref)
	if err != nil {
		return err
	}
	a, found, err := r.accounts.Account(ctx, owner)
	if err != nil {
		return fmt.Errorf("looking up the owner of a certificate: %w", err)
	}
	if !found || a == nil {
		return ErrNoOwner
	}
	raw, err := json.Marshal(Binding{Ref: ref, Owner: a.Username, OwnerID: a.ID, Created: r.clock().UTC().Round(0)})
	if err != nil {
		return fmt.Errorf("the binding cannot be stored: %w", err)
	}
	for {
		created, err := r.bindings.Create(ctx, key(bindingKind, ref), raw, 0)
		if err != nil || created {
			return err
		}
		b, err := r.stored(ctx, ref)
		switch {
		case errors.Is(err, ErrNotFound): // unbound meanwhile
			continue
		case err != nil:
			return err
		case b.Owner != a.Username || b.OwnerID != a.ID:
			return ErrTaken
		}
		return nil
	}
}

// stored reads a binding from the store, or returns ErrNotFound.
func (r *Registry) stored(ctx context.Context, ref string) (*Binding, error) {
	k := key(bindingKind, ref)
	raw, found, err := r.store.Get(ctx, k)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, ErrNotFound
	}
	b, err := decodeBinding(k, raw)
	if err != nil {
		return nil, err
	}
	return &b.Binding, b.damage
}

// Unbind takes a certificate from its owner, whose name is as stored, or returns
// ErrNotFound when it is not theirs. It also removes a record that cannot be read.
// The certificate then stands for itself again, so nothing but somebody's wish
// should do this: that its owner is gone does not.
func (r *Registry) Unbind(ctx context.Context, owner, ref string) error {
	ref, err := parseRef(r.source, ref)
	if err != nil {
		return err
	}
	b, err := r.stored(ctx, ref)
	switch {
	case b == nil:
		return err
	case err == nil && b.Owner != owner:
		return ErrNotFound
	}
	found, err := r.bindings.Delete(ctx, key(bindingKind, ref))
	if err == nil && !found {
		err = ErrNotFound
	}
	return err
}

// Bindings returns what is bound to an owner, whose name is as stored, or with
// owner "" to everybody, in the order of owners and refs.
func (r *Registry) Bindings(ctx context.Context, owner string) ([]Binding, error) {
	all, err := r.bindings.All(ctx)
	if err != nil {
		return nil, err
	}
	out := []Binding{}
	for _, b := range all {
		if b.damage != nil {
			return nil, b.damage
		}
		if owner == "" || b.Owner == owner {
			out = append(out, b.Binding)
		}
	}
	slices.SortFunc(out, func(a, b Binding) int { return cmp.Or(cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.Ref, b.Ref)) })
	return out, nil
}
