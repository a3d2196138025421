package config

// Passwords says how people sign in with a password kept here.
type Passwords struct {
	// Off turns passwords off: nobody can sign in with one, and none can be set.
	Off bool `json:"off,omitempty"`

	// MinLength is the fewest characters (Unicode code points) of a new password.
	// From 15 to 64. Default: 15, for a password that is the only factor (NIST SP
	// 800-63B-4 section 3.1.1.2).
	MinLength int `json:"min_length,omitempty"`

	// Registration says who may make an account for themselves. Only "closed",
	// nobody, is available. Default: "closed".
	Registration string `json:"registration,omitempty"`

	// Argon2id is the cost of one password hash. Passwords hashed at another cost
	// are hashed anew at their next login.
	Argon2id Argon2id `json:"argon2id,omitzero"`
}

// Argon2id is the cost of one password hash (RFC 9106). It must be no weaker
// than the settings that OWASP lists in its Password Storage Cheat Sheet.
type Argon2id struct {
	// Memory that one hash takes, a multiple of 1KiB. From 7MiB to 256MiB.
	// Default: 19MiB.
	Memory Size `json:"memory,omitzero"`

	// Iterations over that memory. From 1 to 64, and no more than 4GiB of memory
	// passed over. Default: 2.
	Iterations uint32 `json:"iterations,omitempty"`

	// Parallelism is the number of lanes. From 1 to 16. Default: 1.
	Parallelism uint8 `json:"parallelism,omitempty"`
}

// The defaults of Passwords.
const (
	DefaultMinLength    = 15
	maxMinLength        = 64
	RegistrationClosed  = "closed"
	DefaultMemory       = 19 * MiB
	DefaultIterations   = 2
	DefaultParallelism  = 1
	minMemory           = 7 * MiB
	maxMemory           = 256 * MiB
	maxIterations       = 64
	maxWork             = 4 * GiB // memory times iterations: some seconds a hash
	maxParallelism      = 16
	minLengthWithFactor = 8
)

// weakest are the cheapest settings that OWASP lists: at that memory, so many
// iterations at least.
var weakest = []struct {
	memory     Size
	iterations uint32
}{{46 * MiB, 1}, {19 * MiB, 2}, {12 * MiB, 3}, {9 * MiB, 4}, {7 * MiB, 5}}

func (p *Passwords) validate() error {
	if p.Off && *p != (Passwords{Off: true}) {
		return fault("off", "passwords are off, and yet have options: keep one or the other")
	}
	switch n := p.MinLength; {
	case n == 0: // left out
	case n < minLengthWithFactor:
		return fault("min_length", "%d is too short: write 15 or more", n)
	case n < DefaultMinLength:
		return fault("min_length", "%d is only for passwords that need a second factor beside them, which this version of Gatehouse does not have: write 15 or more", n)
	case n > maxMinLength:
		return fault("min_length", "%d is more than people can be asked for: write a number from 15 to 64", n)
	}
	switch p.Registration {
	case "", RegistrationClosed:
	case "invite", "open":
		return fault("registration", "%s", Unavailable(p.Registration, `write "closed" and add people with "caddy gatehouse user add"`))
	default:
		return fault("registration", "%s", Unknown("value", p.Registration, []string{RegistrationClosed}))
	}
	if err := p.Argon2id.validate(); err != nil {
		return under("argon2id", err)
	}
	return nil
}

func (p Passwords) withDefaults() Passwords {
	if p.Off {
		return p
	}
	if p.MinLength == 0 {
		p.MinLength = DefaultMinLength
	}
	if p.Registration == "" {
		p.Registration = RegistrationClosed
	}
	p.Argon2id = p.Argon2id.withDefaults()
	return p
}

func (a Argon2id) withDefaults() Argon2id {
	if a.Memory == 0 {
		a.Memory = DefaultMemory
	}
	if a.Iterations == 0 {
		a.Iterations = DefaultIterations
	}
	if a.Parallelism == 0 {
		a.Parallelism = DefaultParallelism
	}
	return a
}

func (a *Argon2id) validate() error {
	full := a.withDefaults()
	switch {
	case full.Memory < minMemory || full.Memory > maxMemory:
		return fault("memory", "%s is out of bounds: write a size from 7MiB to 256MiB", full.Memory)
	case full.Memory%KiB != 0:
		return fault("memory", "%s is no multiple of 1KiB", full.Memory)
	case full.Iterations < 1 || full.Iterations > maxIterations:
		return fault("iterations", "%d is out of bounds: write a number from 1 to 64", full.Iterations)
	case full.Parallelism < 1 || full.Parallelism > maxParallelism:
		return fault("parallelism", "%d is out of bounds: write a number from 1 to 16", full.Parallelism)
	case full.Memory*Size(full.Iterations) > maxWork:
		return fault("iterations", "%d is too much with memory %s: write %d or fewer", full.Iterations, full.Memory, maxWork/full.Memory)
	}
	for _, w := range weakest {
		if full.Memory < w.memory {
			continue
		}
		if full.Iterations < w.iterations {
			return fault("iterations", "%d is too weak with memory %s: write %d or more", full.Iterations, full.Memory, w.iterations)
		}
		return nil
	}
	return nil
}
