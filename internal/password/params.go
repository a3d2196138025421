package password

import "fmt"

// Params are the cost of one argon2id hash (RFC 9106 section 3.1).
type Params struct {
	MemoryKiB   uint32 // memory of one hash, in KiB
	Iterations  uint32 // passes over that memory
	Parallelism uint8  // lanes; each lane is a thread
}

// DefaultParams are OWASP's first choice of 2025 for argon2id with little
// memory: 19 MiB, two passes, one lane. About 50 ms on a server core.
var DefaultParams = Params{MemoryKiB: 19456, Iterations: 2, Parallelism: 1}

// What a hash may cost at most, be it in the configuration or in a stored hash.
// The bounds keep a damaged or planted record from taking the machine: RFC 9106
// itself asks for 64 MiB where memory is scarce, so 256 MiB leaves room, and the
// product bounds the time of one hash to some seconds.
const (
	maxMemoryKiB   = 256 << 10
	maxIterations  = 64
	maxParallelism = 16
	maxWorkKiB     = 4 << 20 // memory times iterations
)

// What we write ourselves costs at least this. OWASP names five settings of
// equal strength, from 46 MiB and one pass to 7 MiB and five; in all of them
// memory times passes is 35 MiB or more.
const (
	minMemoryKiB = 7 << 10
	minWorkKiB   = 35 << 10
)

// Validate says in words for a configuration's author what is wrong with p.
func (p Params) Validate() error {
	switch work := uint64(p.MemoryKiB) * uint64(p.Iterations); {
	case p.MemoryKiB < minMemoryKiB || p.MemoryKiB > maxMemoryKiB:
		return fmt.Errorf("argon2id memory must be from %d MiB to %d MiB, not %d KiB", minMemoryKiB>>10, maxMemoryKiB>>10, p.MemoryKiB)
	case p.Iterations < 1 || p.Iterations > maxIterations:
		return fmt.Errorf("argon2id iterations must be from 1 to %d, not %d", maxIterations, p.Iterations)
	case p.Parallelism < 1 || p.Parallelism > maxParallelism:
		return fmt.Errorf("argon2id parallelism must be from 1 to %d, not %d", maxParallelism, p.Parallelism)
	case work < minWorkKiB:
		return fmt.Errorf("argon2id is too cheap: memory times iterations is %d MiB and must be at least %d MiB (19 MiB with 2 iterations is the default)", work>>10, minWorkKiB>>10)
	case work > maxWorkKiB:
		return fmt.Errorf("argon2id is too dear: memory times iterations is %d MiB and must be at most %d MiB", work>>10, maxWorkKiB>>10)
	}
	return nil
}

// bounded reports whether a hash with p may be computed at all. It is laxer
// below than Validate, since stored hashes may be older than today's advice.
func (p Params) bounded() bool {
	return p.Iterations >= 1 && p.Iterations <= maxIterations &&
		p.Parallelism >= 1 && p.Parallelism <= maxParallelism &&
		p.MemoryKiB >= 8*uint32(p.Parallelism) && p.MemoryKiB <= maxMemoryKiB && // RFC 9106: at least 8 KiB a lane
		uint64(p.MemoryKiB)*uint64(p.Iterations) <= maxWorkKiB
}
