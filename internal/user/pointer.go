package user

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// federatedPrefix begins the keys of the index; the rest is a hash.
const federatedPrefix = "federated/"

// pointer is an entry of the index by issuer and subject. It only says where to
// look: a login is a user's when the entry leads to the record and the record
// lists the login. An entry that leads elsewhere, left by a process that died
// between two writes, counts as not there.
type pointer struct {
	Issuer   string `json:"issuer"`
	Subject  string `json:"subject"`
	Username string `json:"username"`
	UserID   string `json:"user_id"`
}

// federatedKey hashes, so that what a provider says never makes a key too long.
// No issuer holds the NUL that separates the two.
func federatedKey(issuer, subject string) string {
	sum := sha256.Sum256([]byte(issuer + "\x00" + subject))
	return federatedPrefix + base64.RawURLEncoding.EncodeToString(sum[:])
}

// pointer reads an entry of the index, and what it was read from. Without one the
// error is ErrNotFound.
func (d *Directory) pointer(ctx context.Context, issuer, subject string) (*pointer, []byte, error) {
	key := federatedKey(issuer, subject)
	raw, found, err := d.store.Get(ctx, key)
	if err != nil {
		return nil, nil, err
	}
	if !found {
		return nil, nil, ErrNotFound
	}
	p := new(pointer)
	if err := json.Unmarshal(raw, p); err != nil {
		return nil, nil, &damagedPointerError{key, err}
	}
	if p.Issuer != issuer || p.Subject != subject || p.Username == "" || p.UserID == "" {
		return nil, nil, &damagedPointerError{key, errors.New("it is of another login, or username or user_id is missing")}
	}
	return p, raw, nil
}

// pointedAt returns the user that an entry leads to, or ErrNotFound when it is
// not, or no longer, that user's login.
func (d *Directory) pointedAt(ctx context.Context, p *pointer) (*User, error) {
	u, err := d.Get(ctx, p.Username)
	if err != nil {
		return nil, err
	}
	if u.ID != p.UserID || u.Service || u.federated(p.Issuer, p.Subject) == nil {
		return nil, ErrNotFound
	}
	return u, nil
}

// settle has the index lead to u, unless it leads to another user whose login it
// is: it returns who has the login in the end. The record of u lists it already.
func (d *Directory) settle(ctx context.Context, u *User, id FederatedID) (*User, error) {
	key := federatedKey(id.Issuer, id.Subject)
	value, err := json.Marshal(pointer{Issuer: id.Issuer, Subject: id.Subject, Username: u.Username, UserID: u.ID})
	if err != nil {
		return nil, fmt.Errorf("the login of %q cannot be stored: %w", u.Username, err)
	}
	const tries = 100
	for range tries {
		p, raw, err := d.pointer(ctx, id.Issuer, id.Subject)
		if errors.Is(err, ErrNotFound) {
			created, err := d.store.Create(ctx, key, value, 0)
			if err != nil || created {
				return u, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		holder, err := d.pointedAt(ctx, p)
		if !errors.Is(err, ErrNotFound) {
			return holder, err
		}
		// IDs are never used twice and a record is written before its entry, so one
		// that leads nowhere never will.
		swapped, err := d.store.Swap(ctx, key, raw, value, 0)
		if err != nil || swapped {
			return u, err
		}
	}
	return nil, ErrContended
}

// release takes the entry of a login away if it leads to the user of that ID, or
// cannot be read. It does so by compare-and-swap, since another user may have got
// the login meanwhile: what is swapped for itself with the shortest life is gone.
func (d *Directory) release(ctx context.Context, id FederatedID, userID string) error {
	key := federatedKey(id.Issuer, id.Subject)
	p, raw, err := d.pointer(ctx, id.Issuer, id.Subject)
	damaged := (*damagedPointerError)(nil)
	switch {
	case errors.As(err, &damaged):
		_, err = d.store.Delete(ctx, key)
		return err
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	case p.UserID != userID:
		return nil
	}
	_, err = d.store.Swap(ctx, key, raw, raw, time.Millisecond)
	return err
}

// damagedPointerError is an entry that is there and cannot be read.
type damagedPointerError struct {
	key string
	err error
}

func (e *damagedPointerError) Error() string {
	return fmt.Sprintf("the record %q cannot be read: %v", e.key, e.err)
}

func (e *damagedPointerError) Unwrap() error { return e.err }
