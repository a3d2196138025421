package jwt

import (
	"context"
	"errors"
	"fmt"
)

var (
	errSignature = errors.New("its signature is wrong")
	errNoKey     = errors.New("its kid names no key of its issuer")
	errMisfit    = errors.New("the key that its kid names is not for its algorithm")
	errKeyless   = errors.New("its issuer signs no tokens that could be checked here")
)

// current is the issuer's key set.
func (i *issuer) current(ctx context.Context) (*Set, error) {
	set, err := i.keys.current(ctx)
	if err != nil {
		return nil, fmt.Errorf("a token of issuer %s cannot be checked: %w", i.name, err)
	}
	return set, nil
}

// signsWith reports whether the issuer still has a key. One that leaked goes from
// its set, and so must go what began with tokens that anybody could make by then.
func (i *issuer) signsWith(ctx context.Context, bare string) (bool, error) {
	if i.keys == nil {
		return false, nil
	}
	set, err := i.current(ctx)
	return err == nil && set.has(bare), err
}

// checkSignature checks a token whose algorithm is allowed, with keys of its
// issuer alone, and returns the right one and the set that it was in; both nil for
// a secret.
func (i *issuer) checkSignature(ctx context.Context, t *token) (*key, *Set, error) {
	if i.secret != nil {
		return nil, nil, i.try(t, i.secret)
	}
	if i.keys == nil {
		return nil, nil, refused(errKeyless)
	}
	set, err := i.current(ctx)
	if err != nil {
		return nil, nil, err
	}
	k, settled, err := i.checkIn(set, t)
	if err == nil || settled {
		return k, set, err
	}
	// The issuer may have a new key.
	newer, failed := i.keys.renewed(ctx, set)
	switch {
	case failed != nil:
		return nil, nil, fmt.Errorf("a token of issuer %s cannot be checked: %w", i.name, failed)
	case newer == set:
		return nil, nil, err
	}
	k, _, err = i.checkIn(newer, t)
	return k, newer, err
}

// checkIn checks a token with the keys of one set, and returns the right one.
// settled means that a newer set would change nothing.
func (i *issuer) checkIn(set *Set, t *token) (k *key, settled bool, err error) {
	keys, settled := set.candidates(t.header.kid, t.header.alg)
	switch {
	case len(keys) == 0 && settled:
		return nil, true, refused(errMisfit)
	case len(keys) == 0:
		return nil, false, refused(errNoKey)
	}
	for _, k := range keys {
		if err = i.try(t, k.public); err == nil {
			return k, true, nil
		}
	}
	return nil, settled, err
}

// try checks the signature with one key. The algorithm is the one that the
// issuer allows and the key fits, whatever else the token may say.
func (i *issuer) try(t *token, key any) error {
	if err := i.verifiers[t.header.alg].Verify([]byte(t.input), t.signature, key); err != nil {
		return refused(errSignature)
	}
	return nil
}
