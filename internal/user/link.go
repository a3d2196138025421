package user

import (
	"context"
	"errors"
	"slices"
)

// LinkFederated gives a user one more login at a provider. To give one that they
// have already changes nothing. ErrLinked when it is another user's.
func (d *Directory) LinkFederated(ctx context.Context, name string, id FederatedID) (*User, error) {
	return d.link(ctx, name, id, func(*User) error { return nil })
}

// LinkByEmail gives the one person who has a verified address a login at a
// provider that has verified the same address, and returns them. ErrNotFound when
// there is nobody to be linked, ErrAmbiguous when several have the address,
// ErrDisabled when who has it is disabled.
//
// Only records that were made here are linked: whoever can make one provider say
// an address must not be waiting in a record of it for the address's owner to
// come from another provider. Nor is one that has a login at the same issuer: an
// address that the provider has given to somebody new does not make them the old
// holder.
func (d *Directory) LinkByEmail(ctx context.Context, email string, id FederatedID) (*User, error) {
	u, err := d.FindByVerifiedEmail(ctx, email)
	if err != nil {
		return nil, err
	}
	address := u.Email
	return d.link(ctx, u.Username, id, func(u *User) error { // as the record is when it is written
		switch {
		case u.Email != address || !u.EmailVerified || u.Provider != "":
			return ErrNotFound
		case slices.ContainsFunc(u.Federated, func(f FederatedID) bool { return f.Issuer == id.Issuer && f.Subject != id.Subject }):
			return ErrNotFound
		case u.Disabled:
			return ErrDisabled
		}
		return nil
	})
}

// link lists the login in the record before the index leads there, so that an
// index which leads to a record is never wrong about it for longer than a write.
func (d *Directory) link(ctx context.Context, name string, id FederatedID, allowed func(*User) error) (*User, error) {
	if err := id.check(); err != nil {
		return nil, err
	}
	holder, err := d.FindFederated(ctx, id.Issuer, id.Subject)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	var added bool
	u, err := d.update(ctx, name, func(_, u *User) error {
		added = false
		switch {
		case u.Service:
			return &InvalidError{Field: "federated", Reason: "cannot be set: a service does not sign in at a provider"}
		case holder != nil && holder.ID != u.ID:
			return ErrLinked
		case u.federated(id.Issuer, id.Subject) != nil:
			return allowed(u)
		case len(u.Federated) >= maxFederated:
			return &InvalidError{Field: "federated", Reason: "list has 16 entries already"}
		}
		if err := allowed(u); err != nil {
			return err
		}
		id.Linked = d.now()
		u.Federated, added = append(u.Federated, id), true
		return nil
	}, true)
	if err != nil {
		return nil, err
	}
	if holder, err = d.settle(ctx, u, id); err != nil {
		return nil, err
	}
	if holder.ID == u.ID {
		return u, nil
	}
	if added { // a first login made it another's in between
		if _, err := d.unlist(ctx, u.Username, id); err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
	}
	return nil, ErrLinked
}

// UnlinkFederated takes a login at a provider from a user, or returns ErrNotFound
// when they do not have it. Who signs in with it from then on is a new user; the
// sessions that it has made are for the caller to end.
func (d *Directory) UnlinkFederated(ctx context.Context, name, issuer, subject string) (*User, error) {
	id := FederatedID{Issuer: issuer, Subject: subject}
	u, err := d.unlist(ctx, name, id)
	if err != nil {
		return nil, err
	}
	// An entry that stays leads to a record that does not list the login, and so to
	// nobody.
	_ = d.release(ctx, id, u.ID)
	return u, nil
}

func (d *Directory) unlist(ctx context.Context, name string, id FederatedID) (*User, error) {
	return d.update(ctx, name, func(_, u *User) error {
		before := len(u.Federated)
		u.Federated = slices.DeleteFunc(u.Federated, func(f FederatedID) bool { return f.Issuer == id.Issuer && f.Subject == id.Subject })
		if len(u.Federated) == before {
			return ErrNotFound
		}
		return nil
	}, true)
}

// FindByVerifiedEmail returns the person who has an address that is verified, or
// ErrNotFound, or ErrAmbiguous when several have it, of those whose records were
// made here. The domain is compared without regard to case, the local part
// exactly. It reads all users, and says so when one of them cannot be read: it may
// be another with that address.
func (d *Directory) FindByVerifiedEmail(ctx context.Context, email string) (*User, error) {
	email, err := cleanEmail(email)
	if err != nil || email == "" {
		return nil, ErrNotFound // nobody can have it
	}
	var found *User
	err = d.walk(ctx, "", func(u *User, damaged error) (more bool, err error) {
		switch {
		case damaged != nil:
			return false, damaged
		case u.Service || u.Provider != "" || !u.EmailVerified || u.Email != email:
			return true, nil
		case found != nil:
			return false, ErrAmbiguous
		}
		found = u
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, ErrNotFound
	}
	return found, nil
}
