package user

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/store/near"
)

// prefix of the keys of the records of users and services alike; the rest is
// the normalised name.
const prefix = "user/"

// How the IDs of people and of services begin.
const (
	personPrefix  = "usr_"
	servicePrefix = "svc_"
)

// nearby is how many accounts are kept decoded in memory. One is about 500
// bytes; a user beyond these costs one store read a request.
const nearby = 16384

// Options of a Directory. The zero value is ready to use.
type Options struct {
	Clock func() time.Time // default time.Now
	Rand  io.Reader        // of record ids; default crypto/rand
}

// Directory keeps the users and services in a store. Methods take a name in any spelling;
// one that NormalizeName refuses is an *InvalidError where a user is made, and
// a user who does not exist elsewhere. A record that cannot be read is an error
// that names its key.
type Directory struct {
	store    store.Store
	clock    func() time.Time
	rand     io.Reader
	accounts *near.Cache[identity.Account]
}

// NewDirectory makes a directory over s, which stays the caller's to close.
func NewDirectory(s store.Store, o Options) *Directory {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	return &Directory{store: s, clock: o.Clock, rand: o.Rand, accounts: near.New(s, nearby, decodeAccount)}
}

// Close ends listening to the store. Calls after it still work, more slowly.
func (d *Directory) Close() { d.accounts.Close() }

// Add makes a user or service. ErrExists when the name is taken by either.
func (d *Directory) Add(ctx context.Context, n New) (*User, error) {
	name, err := NormalizeName(n.Username)
	if err != nil {
		return nil, err
	}
	u, err := d.newUser(n, name)
	if err != nil {
		return nil, err
	}
	raw, err := encode(u)
	if err != nil {
		return nil, err
	}
	created, err := d.store.Create(ctx, prefix+name, raw, 0)
	if err != nil {
		return nil, err
	}
	if !created {
		return nil, ErrExists
	}
	return u, nil
}

// newUser makes a record, with an ID of its own, that is not stored yet.
func (d *Directory) newUser(n New, name string) (*User, error) {
	now := d.now()
	id, err := ulid.New(ulid.Timestamp(now), d.rand)
	if err != nil {
		return nil, fmt.Errorf("no id for a new user: %w", err)
	}
	u := &User{
		ID: personPrefix + id.String(), Username: name, Service: n.Service, Email: n.Email, EmailVerified: n.EmailVerified,
		Name: n.Name, Roles: n.Roles, Groups: n.Groups, Scopes: n.Scopes, Rate: n.Rate, Epoch: 1,
		PasswordHash: n.PasswordHash, Created: now, Updated: now,
	}
	if n.Service {
		u.ID = servicePrefix + id.String()
	}
	if n.PasswordHash != "" {
		u.PasswordChanged = now
	}
	return u, u.clean()
}

// Get reads a user or service from the store, or returns ErrNotFound.
func (d *Directory) Get(ctx context.Context, name string) (*User, error) {
	u, _, err := d.read(ctx, name)
	return u, err
}

// Account returns what is known of a user or service now, from memory when it
// can; found is false when there is none of that name. It is the request path: a name spelled
// as stored costs no normalising and no allocation. The result is shared.
func (d *Directory) Account(ctx context.Context, name string) (a *identity.Account, found bool, err error) {
	// Only normalised names are stored, so a hit proves that name is one.
	var buf [len(prefix) + maxName]byte
	if len(name) <= maxName {
		key := append(append(buf[:0], prefix...), name...)
		if a, ok := d.accounts.Hit(key); ok && a.Username == name {
			return a, true, nil
		}
	}
	name, err = NormalizeName(name)
	if err != nil {
		return nil, false, nil //nolint:nilerr // nobody can have this name
	}
	a, found, err = d.accounts.Get(ctx, prefix+name)
	if err != nil || !found {
		return nil, false, err
	}
	if a.Username != name {
		return nil, false, misplaced(prefix+name, a.Username)
	}
	return a, true, nil
}

// Delete removes a user or service, or returns ErrNotFound. Their sessions are
// dead at once, and their logins at providers make a new user. It also removes a
// record that cannot be read.
func (d *Directory) Delete(ctx context.Context, name string) error {
	name, err := NormalizeName(name)
	if err != nil {
		return ErrNotFound
	}
	raw, found, err := d.store.Take(ctx, prefix+name)
	if err != nil {
		return err
	}
	if !found {
		return ErrNotFound
	}
	if u, err := unmarshal(raw); err == nil {
		for _, id := range u.Federated {
			// An entry that stays leads to a user who is gone, and so to nobody.
			_ = d.release(ctx, id, u.ID)
		}
	}
	return nil
}

func (d *Directory) read(ctx context.Context, name string) (u *User, raw []byte, err error) {
	if name, err = NormalizeName(name); err != nil {
		return nil, nil, ErrNotFound
	}
	raw, found, err := d.store.Get(ctx, prefix+name)
	if err != nil {
		return nil, nil, err
	}
	if !found {
		return nil, nil, ErrNotFound
	}
	u, err = decode(prefix+name, raw)
	return u, raw, err
}

func (d *Directory) now() time.Time { return d.clock().UTC().Round(0) }
