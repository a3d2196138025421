package user

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
)

const (
	lastNumber = 50 // the last of "alice-2", "alice-3", …
	letters    = 8  // of a name that is made up
	madeUp     = 10 // how many names are made up before it is given up
)

// AddFederated makes the user of a person who comes from a provider for the first
// time, and returns the one they have when they have one: of several first logins
// at once, all get the same user. The record is written before the index; what a
// process that dies in between leaves is taken up by the next login.
//
// The name is the first of candidates that is well-formed and free. A name that
// exists is never taken over: after the candidates come the first well-formed one
// with -2 to -50, then "user-" and eight letters. What does not fit of the
// profile in n is left out (Profile); n's Username is not looked at.
func (d *Directory) AddFederated(ctx context.Context, n New, id FederatedID, candidates []string) (*User, error) {
	if err := id.check(); err != nil {
		return nil, err
	}
	if n.Service || n.PasswordHash != "" {
		return nil, &InvalidError{Field: "federated", Reason: "cannot be set: a service or a user with a password is not made by a provider"}
	}
	known, err := d.FindFederated(ctx, id.Issuer, id.Subject)
	if !errors.Is(err, ErrNotFound) {
		return known, err
	}
	p := Profile{Email: n.Email, EmailVerified: n.EmailVerified, Name: n.Name}.fit()
	n.Email, n.EmailVerified, n.Name = p.Email, p.EmailVerified, p.Name
	u, raw, err := d.underFreeName(ctx, n, id, candidates)
	if err != nil {
		return nil, err
	}
	holder, err := d.settle(ctx, u, id)
	if err == nil && holder.ID != u.ID && raw != nil {
		err = d.discard(ctx, u, raw)
	}
	if err != nil {
		return nil, err
	}
	return holder, nil
}

// underFreeName stores a new record under the first name that is free, and
// returns it with what was stored; or, with a nil raw, the record that a first
// login of the same person has left under one of the names.
func (d *Directory) underFreeName(ctx context.Context, n New, id FederatedID, candidates []string) (u *User, raw []byte, err error) {
	for name, err := range d.names(candidates) {
		if err != nil {
			return nil, nil, err
		}
		taken, err := d.Get(ctx, name)
		if errors.Is(err, ErrNotFound) {
			if u, raw, err = d.create(ctx, n, id, name); err == nil {
				return u, raw, nil
			}
			if errors.Is(err, ErrExists) { // somebody was faster: perhaps the same person
				taken, err = d.Get(ctx, name)
			}
		}
		switch {
		case errors.Is(err, ErrNotFound): // and has gone again
		case err != nil:
			return nil, nil, err
		case taken.Provider == id.Provider && !taken.Service && taken.federated(id.Issuer, id.Subject) != nil:
			return taken, nil, nil
		}
	}
	return nil, nil, ErrExists
}

func (d *Directory) create(ctx context.Context, n New, id FederatedID, name string) (*User, []byte, error) {
	u, err := d.newUser(n, name)
	if err != nil {
		return nil, nil, err
	}
	id.Linked = u.Created
	u.Provider, u.Federated = id.Provider, []FederatedID{id}
	raw, err := encode(u)
	if err != nil {
		return nil, nil, err
	}
	created, err := d.store.Create(ctx, prefix+name, raw, 0)
	if err == nil && !created {
		err = ErrExists
	}
	return u, raw, err
}

// names are the names to be tried, in order, normalised.
func (d *Directory) names(candidates []string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		first := ""
		for _, c := range candidates {
			name, err := NormalizeName(c)
			if err != nil {
				continue
			}
			if first == "" {
				first = name
			}
			if !yield(name, nil) {
				return
			}
		}
		for i := 2; first != "" && i <= lastNumber; i++ {
			name, err := NormalizeName(first + "-" + strconv.Itoa(i))
			if err == nil && !yield(name, nil) { // else it has become too long
				return
			}
		}
		for range madeUp {
			if !yield(d.madeUpName()) {
				return
			}
		}
	}
}

func (d *Directory) madeUpName() (string, error) {
	var b [letters]byte
	if _, err := io.ReadFull(d.rand, b[:]); err != nil {
		return "", fmt.Errorf("no random name for a new user: %w", err)
	}
	for i := range b {
		b[i] = 'a' + b[i]%26
	}
	return "user-" + string(b[:]), nil
}

// discard removes a record that was made a moment ago by a first login which
// another one has overtaken. The index never led to it, so nobody is signed in as
// it. One that somebody has changed meanwhile stays.
func (d *Directory) discard(ctx context.Context, u *User, raw []byte) error {
	dead := u.clone()
	dead.Disabled, dead.Federated = true, nil
	value, err := encode(dead)
	if err != nil {
		return err
	}
	swapped, err := d.store.Swap(ctx, prefix+u.Username, raw, value, 0)
	if err != nil || !swapped {
		return err
	}
	_, err = d.store.Delete(ctx, prefix+u.Username)
	return err
}
