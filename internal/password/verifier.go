package password

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"
)

// ErrWrong is the one answer to every password that does not fit: the name is
// unknown, disabled, has no password or cannot be a name, or the password is
// not its. All of them cost the same work.
var ErrWrong = errors.New("wrong user name or password")

// WrongError is the form in which Verify returns ErrWrong. Its text is the same
// for all.
type WrongError struct {
	// Known is the name that was guessed at if it can sign in, else "". It is for
	// the audit trail, where a name that nobody has may be a password typed into
	// the wrong field. Whoever asked must not learn it.
	Known string
}

func (e *WrongError) Error() string { return ErrWrong.Error() }

// Is makes errors.Is(err, ErrWrong) true.
func (e *WrongError) Is(target error) bool { return target == ErrWrong }

// Users is where the hashes are kept.
type Users interface {
	// Credential returns the stored hash of a user. ok is false when there is no
	// such user, or it is disabled or has no password. An error means that this
	// could not be found out.
	Credential(ctx context.Context, username string) (phc string, ok bool, err error)
	// Rehash replaces old by new, the same password at another cost. If old is no
	// longer what is stored, nothing happens.
	Rehash(ctx context.Context, username, old, new string) error
}

// VerifierOptions are the parts of a Verifier. The first four are required.
type VerifierOptions struct {
	Users     Users
	Hasher    *Hasher
	Guard     *Guard
	Normalize func(name string) (string, error) // the rule by which names are stored

	Logger *slog.Logger     // nil: discarded
	Clock  func() time.Time // nil: time.Now
	Rand   io.Reader        // of device tokens; nil: crypto/rand
}

// Verifier checks a name and a password.
type Verifier struct{ o VerifierOptions }

// NewVerifier makes a Verifier. It panics when a required part is missing: that
// is a mistake in the program.
func NewVerifier(o VerifierOptions) *Verifier {
	if o.Users == nil || o.Hasher == nil || o.Guard == nil || o.Normalize == nil {
		panic("password: a Verifier needs Users, Hasher, Guard and Normalize")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	return &Verifier{o: o}
}

// Attempt is one try at signing in.
type Attempt struct {
	Username string // as typed
	Password string // as typed
	Addr     netip.Addr
	Device   string // what RememberDevice once gave this browser, or ""
}

// Verify returns the normalised name when the password is that user's. Else the
// name is "" and the error is one of
//
//   - ErrWrong (as a *WrongError): no, without a word why;
//   - a *ThrottledError: too many guesses, nothing was compared;
//   - ErrBusy or ctx's own: not now, nothing was compared;
//   - any other, store.ErrUnavailable among them: it could not be found out.
func (v *Verifier) Verify(ctx context.Context, a Attempt) (string, error) {
	name, err := v.o.Normalize(a.Username)
	possible := err == nil
	if !possible {
		// Nobody has this name. It is counted by what was typed; no name that
		// somebody has can begin with NUL.
		name = "\x00" + a.Username
	}
	charge, err := v.o.Guard.Charge(ctx, name, a.Addr, a.Device)
	if err != nil {
		return "", err
	}
	c, err := v.compare(ctx, name, possible, a.Password)
	if err != nil || c.right {
		if back := charge.Refund(ctx); back != nil {
			// The guess stays counted, and fades with time. What was found out
			// stands.
			v.o.Logger.WarnContext(ctx, "a guess was not given back", "error", back)
		}
	}
	switch {
	case err != nil:
		return "", err
	case !c.known:
		return "", &WrongError{}
	case !c.right:
		return "", &WrongError{Known: name}
	}
	if c.outdated {
		v.rehash(ctx, name, c.stored, a.Password)
	}
	return name, nil
}

// comparison is what came out of one.
type comparison struct {
	stored                 string
	known, right, outdated bool
}

// compare does one hash's work whatever name it is given: where there is no
// hash to compare with, the Hasher's decoy takes its place.
func (v *Verifier) compare(ctx context.Context, name string, possible bool, pw string) (comparison, error) {
	var c comparison
	if possible {
		var err error
		if c.stored, c.known, err = v.o.Users.Credential(ctx, name); err != nil {
			return c, fmt.Errorf("reading a credential: %w", err)
		}
	}
	if c.known {
		if _, err := parsePHC(c.stored); err != nil {
			// As if there were no password: an answer of its own would tell that
			// the name exists.
			v.o.Logger.ErrorContext(ctx, "a user cannot sign in", "username", name, "error", err)
			c.known = false
		}
	}
	against := v.o.Hasher.decoy
	if c.known {
		against = c.stored
	}
	ok, outdated, err := v.o.Hasher.Verify(ctx, against, pw)
	if err != nil {
		return c, err
	}
	c.right = ok && c.known
	c.outdated = outdated && c.right
	return c, nil
}

// rehash brings a hash to today's cost while the password is at hand. Failing
// that, the next login tries again.
func (v *Verifier) rehash(ctx context.Context, name, old, pw string) {
	fresh, err := v.o.Hasher.Hash(ctx, pw)
	if err == nil {
		err = v.o.Users.Rehash(ctx, name, old, fresh)
	}
	if err != nil {
		v.o.Logger.WarnContext(ctx, "a password hash was not brought up to date", "username", name, "error", err)
	}
}

// RememberDevice returns a token for a browser that has just signed in as
// username. Given with later attempts at that name, it gives the browser an
// allowance of guesses of its own, and nothing else. It is good for
// DeviceLifetime. Presented is the token that the browser holds already, or "":
// one that was given to username stays the same and begins its time anew, so
// that a browser costs one record however often somebody signs in.
func (v *Verifier) RememberDevice(ctx context.Context, username, presented string) (string, error) {
	name, err := v.o.Normalize(username)
	if err != nil {
		return "", fmt.Errorf("remembering a device: %w", err)
	}
	now := v.o.Clock()
	kept, err := v.o.Guard.renew(ctx, presented, name, now)
	switch {
	case err != nil:
		return "", err
	case kept:
		return presented, nil
	}
	return v.o.Guard.remember(ctx, name, now, v.o.Rand)
}
