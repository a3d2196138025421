package portal

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

// Errors of set-up links.
var (
	ErrSetupDone    = errors.New("set-up is done: there are users")
	ErrSetupUnknown = errors.New("the set-up link is unknown, used or expired")
)

// setupAge is how long a set-up link works. A restart makes a new one.
const setupAge = 24 * time.Hour

// setupHold bounds how long one visitor who is making the first administrator
// keeps others from it, if the process dies in between.
const setupHold = time.Minute

// setupClaim is the key that one maker of the first administrator holds. It
// cannot be a link's: those are 64 hex digits.
const setupClaim = "setup/claim"

// Anybody tells whether there is a user at all.
type Anybody interface {
	Any(ctx context.Context) (bool, error)
}

// Setup owns the one-time links that make the first administrator. Each
// instance that starts without users may issue one; all of them die with the
// first user. Only hashes are stored.
//
// Tries are not throttled: a token is 256 random bits, so that a billion tries
// a second for the link's whole day reach one in 10^63 of them.
type Setup struct {
	store store.Store
	users Anybody
	rand  io.Reader
}

// NewSetup keeps links in s.
func NewSetup(s store.Store, users Anybody) *Setup {
	return &Setup{store: s, users: users, rand: rand.Reader}
}

// Issue makes a link's token, or returns "" when there are users already.
func (s *Setup) Issue(ctx context.Context) (token string, err error) {
	if err := s.undone(ctx); err != nil {
		if errors.Is(err, ErrSetupDone) {
			return "", nil
		}
		return "", err
	}
	raw := make([]byte, 32)
	if _, err := io.ReadFull(s.rand, raw); err != nil {
		return "", fmt.Errorf("making a set-up link: %w", err)
	}
	token = base64.RawURLEncoding.EncodeToString(raw)
	created, err := s.store.Create(ctx, setupKey(token), nil, setupAge)
	if err != nil {
		return "", fmt.Errorf("making a set-up link: %w", err)
	}
	if !created {
		return "", errors.New("making a set-up link: the random source repeats itself")
	}
	return token, nil
}

// Valid returns nil for a token that would work now, ErrSetupDone or
// ErrSetupUnknown for others, or the store's error. It uses nothing up.
func (s *Setup) Valid(ctx context.Context, token string) error {
	if err := s.undone(ctx); err != nil {
		return err
	}
	_, found, err := s.store.Get(ctx, setupKey(token))
	if err != nil {
		return err
	}
	if !found {
		return ErrSetupUnknown
	}
	return nil
}

// Use has create make the first user with a token, which then is used up. When
// create fails, its error is returned and the token works again. Of several
// callers at the same time, also with different tokens on different instances,
// one gets to create; the others get ErrSetupUnknown or, later, ErrSetupDone.
func (s *Setup) Use(ctx context.Context, token string, create func() error) (err error) {
	claimed, err := s.store.Create(ctx, setupClaim, nil, setupHold)
	if err != nil {
		return err
	}
	if !claimed {
		return ErrSetupUnknown
	}
	// What is put back or let go must be, even if the visitor leaves now.
	after := context.WithoutCancel(ctx)
	defer func() {
		if _, e := s.store.Delete(after, setupClaim); e != nil && err == nil {
			err = e
		}
	}()
	if err := s.undone(ctx); err != nil {
		return err
	}
	_, found, err := s.store.Take(ctx, setupKey(token))
	if err != nil {
		return err
	}
	if !found {
		return ErrSetupUnknown
	}
	if err := create(); err != nil {
		if e := s.store.Put(after, setupKey(token), nil, setupAge); e != nil {
			return errors.Join(err, e)
		}
		return err
	}
	return nil
}

func (s *Setup) undone(ctx context.Context) error {
	somebody, err := s.users.Any(ctx)
	if err != nil {
		return err
	}
	if somebody {
		return ErrSetupDone
	}
	return nil
}

// setupKey has one length whatever the token: a hash.
func setupKey(token string) string {
	sum := sha256.Sum256([]byte(token))
	return "setup/" + hex.EncodeToString(sum[:])
}
