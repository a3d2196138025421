package password

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

// Bucket names what a guess is counted by. It is for logs and metrics.
type Bucket string

// The buckets.
const (
	ByName    Bucket = "name"
	ByAddress Bucket = "address"
	ByDevice  Bucket = "device"
)

// ThrottledError means that there were too many guesses. Nothing was compared.
// It is the same for names that exist and names that do not.
type ThrottledError struct {
	Retry  time.Duration // when another guess will be taken
	Bucket Bucket        // which allowance was used up; never told to the guesser
}

func (e *ThrottledError) Error() string {
	return fmt.Sprintf("too many guesses by %s, the next in %v", e.Bucket, e.Retry)
}

// GuardOptions are the allowances; a zero Limit is its default.
type GuardOptions struct {
	// Name is for one user name, from wherever the guesses come: 10 at once,
	// then one a minute. NIST SP 800-63B-4 section 3.2.2 disables a password
	// after at most 100 failures in a row. We do not, since then any stranger
	// could disable anybody's. At this pace the hundredth failure takes an hour
	// and a half, and a year has half a million guesses, which finds nothing that
	// Rules let through.
	Name store.Limit
	// Address is for one client address, whatever the names: 30 at once, then
	// one each 5 seconds. An IPv6 /64 is one address, since that is what one
	// customer gets. Only failures cost, so an office behind one address signs in
	// unhindered.
	Address store.Limit
	// Device is for one browser that has signed in with this name before: 10 at
	// once, then one a minute.
	Device store.Limit
}

// Guard counts guesses in the store, so that they are counted over all
// instances and kept over restarts. Charges leak away with time and nothing is
// ever locked for good.
type Guard struct {
	store store.Store
	limit GuardOptions
}

// NewGuard makes a Guard that counts in s.
func NewGuard(s store.Store, o GuardOptions) *Guard {
	fill := func(l *store.Limit, burst int, every time.Duration) {
		if l.Burst <= 0 || l.Every <= 0 {
			*l = store.Limit{Burst: burst, Every: every}
		}
	}
	fill(&o.Name, 10, time.Minute)
	fill(&o.Address, 30, 5*time.Second)
	fill(&o.Device, 10, time.Minute)
	return &Guard{store: s, limit: o}
}

// Charge takes one guess at name before it is made, so that guesses which run
// at the same time are all counted. Name is any string; one that no user can
// have is counted like the others. Device is the token of a browser that has
// signed in before: a token that was given to name is charged by itself alone,
// so that strangers who use up the name's or the address's allowance do not lock
// its owner out; any other token counts as none.
//
// The error is a *ThrottledError, or the store's.
func (g *Guard) Charge(ctx context.Context, name string, addr netip.Addr, device string) (*Charge, error) {
	known, err := g.knows(ctx, device, name)
	if err != nil {
		return nil, err
	}
	c := &Charge{guard: g}
	if known {
		if err := c.take(ctx, ByDevice, digest(device), g.limit.Device); err != nil {
			return nil, err
		}
		return c, nil
	}
	// The address goes first: one that has no guess left then cannot touch the
	// allowances of names.
	if err := c.take(ctx, ByAddress, block(addr), g.limit.Address); err != nil {
		return nil, err
	}
	if err := c.take(ctx, ByName, digest(name), g.limit.Name); err != nil {
		if back := c.Refund(ctx); back != nil {
			return nil, back
		}
		return nil, err
	}
	return c, nil
}

// Charge is one guess that was paid for.
type Charge struct {
	guard  *Guard
	paid   []payment
	undone atomic.Bool
}

type payment struct {
	key   string
	limit store.Limit
}

func (c *Charge) take(ctx context.Context, by Bucket, id string, l store.Limit) error {
	key := "guess/" + string(by) + "/" + id
	a, err := c.guard.store.Charge(ctx, key, l, 1)
	if err != nil {
		return fmt.Errorf("counting guesses: %w", err)
	}
	if !a.Allowed {
		return &ThrottledError{Retry: a.Retry, Bucket: by}
	}
	c.paid = append(c.paid, payment{key, l})
	return nil
}

// Refund gives back what this guess cost, and nothing of what others did: it was
// right, or was never compared. A second Refund does nothing. It outlives ctx's
// cancellation, or a guesser who hangs up in time would leave its charges on
// somebody else's name.
func (c *Charge) Refund(ctx context.Context) error {
	if c.undone.Swap(true) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	var failed error
	for _, p := range c.paid {
		if _, err := c.guard.store.Charge(ctx, p.key, p.limit, -1); err != nil {
			failed = fmt.Errorf("giving back a guess: %w", err)
		}
	}
	return failed
}

// block is the part of an address that one customer holds: all of an IPv4
// address, in whichever form it came, and the first 64 bits of an IPv6 one.
// Requests whose address is not known share one block.
func block(addr netip.Addr) string {
	addr = addr.Unmap()
	bits := 64
	switch {
	case !addr.IsValid():
		return "unknown"
	case addr.Is4():
		bits = 32
	}
	p, err := addr.Prefix(bits) // without the zone
	if err != nil {             // the bits fit the address
		return "unknown"
	}
	return p.String()
}

// digest makes a key of bounded length out of what a stranger wrote, and keeps
// names and tokens out of the store's keys.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
