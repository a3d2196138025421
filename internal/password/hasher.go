package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"

	"golang.org/x/crypto/argon2"
)

// ErrBusy means that as many passwords are being hashed and are waiting as the
// Hasher takes. Nothing was hashed: the caller answers 503.
var ErrBusy = errors.New("too many passwords are being checked at once")

// HasherOptions bound a Hasher. The zero value is the default.
type HasherOptions struct {
	// Workers is how many hashes are computed at the same time, each with its
	// own memory. 0 means one less than the processors (by lane of the hash), at
	// least 1 and at most 4: hashing may never hold every processor, or a burst
	// of logins would slow down everybody who is signed in already. Four workers
	// do some 80 logins a second in 80 MiB, and about as much again that the
	// collector has not taken back yet.
	Workers int
	// Queue is how many more may wait. 0 means 32 for each worker, which at
	// 50 ms a hash keeps the last one waiting for less than two seconds; who
	// comes after that is told at once, which is better than a login page that
	// hangs.
	Queue int
	// Rand yields salts; nil means crypto/rand.
	Rand io.Reader
}

// Hasher hashes passwords with argon2id and checks them. It is safe for use by
// many goroutines and starts none of its own.
type Hasher struct {
	params Params
	rand   io.Reader
	slots  chan struct{} // one for each worker
	places int64         // workers and queue together
	taken  atomic.Int64
	decoy  string                                                                          // of the current cost and of no password: what an unknown name is checked against
	key    func(pw, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte // argon2.IDKey
}

// NewHasher makes a Hasher that writes hashes of cost p; zero fields of p are
// those of DefaultParams. Params.Validate is the caller's to ask: tests may want
// less than it allows.
func NewHasher(p Params, o HasherOptions) *Hasher {
	if p.MemoryKiB == 0 {
		p.MemoryKiB = DefaultParams.MemoryKiB
	}
	if p.Iterations == 0 {
		p.Iterations = DefaultParams.Iterations
	}
	if p.Parallelism == 0 {
		p.Parallelism = DefaultParams.Parallelism
	}
	if o.Workers <= 0 {
		o.Workers = min(4, max(1, (runtime.GOMAXPROCS(0)-1)/int(p.Parallelism)))
	}
	if o.Queue <= 0 {
		o.Queue = 32 * o.Workers
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	return &Hasher{
		params: p,
		rand:   o.Rand,
		slots:  make(chan struct{}, o.Workers),
		places: int64(o.Workers) + int64(o.Queue),
		decoy:  phc{params: p, salt: make([]byte, saltSize), tag: make([]byte, tagSize)}.String(),
		key:    argon2.IDKey,
	}
}

// Hash returns pw's hash in PHC form, with a fresh salt. The error is a
// *WeakError when pw cannot be a password at all, ErrBusy, or ctx's own.
func (h *Hasher) Hash(ctx context.Context, pw string) (string, error) {
	normal, ok := normalize(pw)
	if !ok {
		return "", unusable(pw)
	}
	if !h.params.bounded() {
		return "", fmt.Errorf("argon2id cannot run with %+v", h.params)
	}
	salt := make([]byte, saltSize)
	if _, err := io.ReadFull(h.rand, salt); err != nil {
		return "", fmt.Errorf("no randomness for a salt: %w", err)
	}
	sum := phc{params: h.params, salt: salt, tag: make([]byte, tagSize)}
	tag, err := h.run(ctx, normal, sum)
	if err != nil {
		return "", err
	}
	sum.tag = tag
	return sum.String(), nil
}

// Verify reports whether stored is the hash of pw, and if so whether it is
// outdated: of another cost or shape than Hash writes now. A pw that no rule
// would ever accept costs the same work as one that is merely wrong. The error
// is an ErrHash for a stored hash that cannot be read, ErrBusy, or ctx's own;
// with each of them nothing was compared.
func (h *Hasher) Verify(ctx context.Context, stored, pw string) (ok, outdated bool, err error) {
	want, err := parsePHC(stored)
	if err != nil {
		return false, false, err
	}
	normal, usable := normalize(pw)
	tag, err := h.run(ctx, normal, want)
	if err != nil {
		return false, false, err
	}
	if subtle.ConstantTimeCompare(tag, want.tag) != 1 || !usable {
		return false, false, nil
	}
	return true, want.params != h.params || len(want.salt) != saltSize || len(want.tag) != tagSize, nil
}

// run computes a tag like sum's in the caller's goroutine, when it is its turn.
// Waiting ends with ctx; a hash that has begun is not cut short.
func (h *Hasher) run(ctx context.Context, pw string, sum phc) ([]byte, error) {
	if h.taken.Add(1) > h.places {
		h.taken.Add(-1)
		return nil, ErrBusy
	}
	defer h.taken.Add(-1)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-h.slots }()
	p := sum.params
	return h.key([]byte(pw), sum.salt, p.Iterations, p.MemoryKiB, p.Parallelism, uint32(len(sum.tag))), nil
}
