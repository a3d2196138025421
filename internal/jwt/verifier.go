package jwt

import (
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// Options of a Verifier.
type Options struct {
	Issuers     []Issuer     // at least one; names and issuers are each used once
	Revocations *Revocations // nil: nothing is ever revoked here
	// Normalize makes usernames what they are elsewhere, and refuses those that
	// are not allowed. Default: they are taken as they are.
	Normalize func(username string) (string, error)
	Clock     func() time.Time // default time.Now
	CacheSize int              // tokens remembered; default 16,384, of 1 KiB on average
}

// Verifier tells who a bearer token stands for. Its methods may be called at the
// same time. It has no background work; the Sources and Revocations that it was
// given are their owner's to close.
type Verifier struct {
	byIssuer    map[string]*issuer // by iss
	byName      map[string]*issuer
	opaque      *opaque // nil: opaque tokens are refused
	revocations *Revocations
	normalize   func(string) (string, error)
	clock       func() time.Time
	memory      *memory[verified]
}

// verified is a JWT that was found good. All but clear is read-only.
type verified struct {
	identity *identity.Identity
	issuer   *issuer
	keys     *Set // by which it was found good; nil with a secret
	standing
}

// New checks the options. Nothing is asked of issuers yet.
func New(o Options) (*Verifier, error) {
	v := &Verifier{
		byIssuer: map[string]*issuer{}, byName: map[string]*issuer{},
		revocations: o.Revocations, normalize: o.Normalize, clock: o.Clock,
	}
	if v.clock == nil {
		v.clock = time.Now
	}
	if o.CacheSize <= 0 {
		o.CacheSize = defaultSize
	}
	if len(o.Issuers) == 0 {
		return nil, errors.New("there is no issuer whose tokens count")
	}
	for n := range o.Issuers {
		if err := v.add(&o.Issuers[n], o.CacheSize); err != nil {
			return nil, fmt.Errorf("issuer %.80q: %w", o.Issuers[n].Name, err)
		}
	}
	var err error
	v.memory, err = newMemory[verified](o.CacheSize)
	return v, err
}

func (v *Verifier) add(o *Issuer, size int) error {
	i, err := newIssuer(o)
	switch {
	case err != nil:
		return err
	case v.byName[i.name] != nil:
		return errors.New("there are two of this name")
	case v.byIssuer[i.iss] != nil:
		return fmt.Errorf("it is the same issuer as %s: put the audiences together", v.byIssuer[i.iss].name)
	}
	v.byName[i.name], v.byIssuer[i.iss] = i, i
	if o.Introspection == nil {
		return nil
	}
	if v.opaque != nil {
		return fmt.Errorf("an opaque token does not say whose it is, and %s has introspection already", v.opaque.issuer.name)
	}
	v.opaque, err = newOpaque(v, i, o.Introspection, size)
	return err
}
