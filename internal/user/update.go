package user

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"
)

// Update changes a user: it reads the record, lets change work on a copy, and
// stores that if nobody was faster, else begins again; change may therefore run
// more than once. An error of change ends the update and is returned as it is.
//
// ID, Username, Service, Created, Provider and Federated cannot be changed. A new password hash and a step
// from enabled to disabled end all logins, also when change did not ask for it:
// whoever lost a password or was shut out must not stay on through an open
// session, nor find it again when enabled.
func (d *Directory) Update(ctx context.Context, name string, change func(*User) error) (*User, error) {
	return d.update(ctx, name, func(was, u *User) error {
		if err := change(u); err != nil {
			return err
		}
		u.ID, u.Username, u.Service, u.Created = was.ID, was.Username, was.Service, was.Created
		u.Provider, u.Federated = was.Provider, slices.Clone(was.Federated)
		if u.PasswordHash != was.PasswordHash {
			u.PasswordChanged = d.now()
		}
		if u.PasswordHash != was.PasswordHash || u.Disabled && !was.Disabled {
			u.Epoch = max(u.Epoch, was.Epoch+1)
		}
		u.Epoch = max(u.Epoch, was.Epoch) // going back would revive dead logins
		return u.clean()
	}, true)
}

// SeenLogin notes when a user last signed in. It is a convenience for people
// who read lists: callers may ignore its error. An earlier time than the one
// known changes nothing.
func (d *Directory) SeenLogin(ctx context.Context, name string, when time.Time) error {
	_, err := d.update(ctx, name, func(_, u *User) error {
		if when.After(u.LastLogin) {
			u.LastLogin = when.UTC().Round(0)
		}
		return nil
	}, false)
	return err
}

// Credential returns the hash of a user's password for a login. ok is false,
// without an error, for whoever cannot sign in with one: unknown, disabled,
// without a password, or a service.
func (d *Directory) Credential(ctx context.Context, name string) (phc string, ok bool, err error) {
	u, _, err := d.read(ctx, name)
	switch {
	case errors.Is(err, ErrNotFound):
		return "", false, nil
	case err != nil:
		return "", false, err
	case u.Disabled || u.Service || u.PasswordHash == "":
		return "", false, nil
	}
	return u.PasswordHash, true, nil
}

// Rehash replaces a password's hash by another of the same password, made with
// newer parameters. It does nothing when the hash is not old any more: somebody
// has changed the password meanwhile. Logins stay alive.
func (d *Directory) Rehash(ctx context.Context, name, old, hash string) error {
	_, err := d.update(ctx, name, func(_, u *User) error {
		if u.PasswordHash == old && old != "" && hash != "" {
			u.PasswordHash = hash
		}
		return nil
	}, false)
	return err
}

// update is the compare-and-swap loop. A change that changes nothing writes
// nothing; stamp sets Updated when something did change.
func (d *Directory) update(ctx context.Context, name string, change func(was, u *User) error, stamp bool) (*User, error) {
	const tries = 100
	for try := range tries {
		was, raw, err := d.read(ctx, name)
		if err != nil {
			return nil, err
		}
		u := was.clone()
		if err := change(was, u); err != nil {
			return nil, err
		}
		if same, err := equal(was, u); err != nil || same {
			return u, err
		}
		if stamp {
			u.Updated = d.now()
		}
		value, err := encode(u)
		if err != nil {
			return nil, err
		}
		swapped, err := d.store.Swap(ctx, prefix+u.Username, raw, value, 0)
		if err != nil {
			return nil, err
		}
		if swapped {
			return u, nil
		}
		// Somebody was faster. Spread out, so that each round more than one gets on.
		select {
		case <-time.After(rand.N(min(time.Duration(try+1)*time.Millisecond, 20*time.Millisecond))):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return nil, ErrContended
}

// equal compares two states of one record as they would be stored.
func equal(a, b *User) (bool, error) {
	x, err := encode(a)
	if err != nil {
		return false, err
	}
	y, err := encode(b)
	return bytes.Equal(x, y), err
}
