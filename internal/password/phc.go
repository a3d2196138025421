package password

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// ErrHash is the error for a stored hash that cannot be read. It never holds
// any part of the hash.
var ErrHash = errors.New("the stored password hash is damaged or of an unknown kind")

// Sizes in bytes: those we write (RFC 9106 section 3.1 recommends them), and
// those we read.
const (
	saltSize   = 16
	tagSize    = 32
	minSalt    = 8
	minTag     = 16
	maxSaltTag = 64
	maxPHC     = 256
)

// phc is a stored hash in the PHC string format:
// $argon2id$v=19$m=19456,t=2,p=1$<salt>$<tag>, both in base64 without padding.
type phc struct {
	params    Params
	salt, tag []byte
}

// strict also refuses base64 whose unused last bits are set.
var strict = base64.RawStdEncoding.Strict()

func (h phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		h.params.MemoryKiB, h.params.Iterations, h.params.Parallelism,
		strict.EncodeToString(h.salt), strict.EncodeToString(h.tag))
}

// parsePHC reads exactly what String writes, within the bounds of a cost that
// we are willing to pay. Everything else is an ErrHash.
func parsePHC(s string) (phc, error) {
	if len(s) > maxPHC {
		return phc{}, fmt.Errorf("%w: %d bytes long", ErrHash, len(s))
	}
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" {
		return phc{}, fmt.Errorf("%w: not in PHC form", ErrHash)
	}
	if parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return phc{}, fmt.Errorf("%w: only argon2id version %d is read", ErrHash, argon2.Version)
	}
	var h phc
	var ok bool
	if h.params, ok = parseParams(parts[3]); !ok || !h.params.bounded() {
		return phc{}, fmt.Errorf("%w: its cost is out of bounds", ErrHash)
	}
	if h.salt, ok = decode(parts[4], minSalt); !ok {
		return phc{}, fmt.Errorf("%w: bad salt", ErrHash)
	}
	if h.tag, ok = decode(parts[5], minTag); !ok {
		return phc{}, fmt.Errorf("%w: bad tag", ErrHash)
	}
	return h, nil
}

func parseParams(s string) (Params, bool) {
	parts := strings.Split(s, ",")
	if len(parts) != 3 {
		return Params{}, false
	}
	m, okM := number(parts[0], "m=", 32)
	t, okT := number(parts[1], "t=", 32)
	p, okP := number(parts[2], "p=", 8)
	return Params{MemoryKiB: uint32(m), Iterations: uint32(t), Parallelism: uint8(p)}, okM && okT && okP
}

// number reads a decimal without sign or leading zeros, so that one cost has
// one spelling.
func number(s, name string, bits int) (uint64, bool) {
	digits, ok := strings.CutPrefix(s, name)
	n, err := strconv.ParseUint(digits, 10, bits)
	return n, ok && err == nil && strconv.FormatUint(n, 10) == digits
}

func decode(s string, least int) ([]byte, bool) {
	if strings.ContainsAny(s, "\r\n") { // which the decoder would skip
		return nil, false
	}
	b, err := strict.DecodeString(s)
	return b, err == nil && len(b) >= least && len(b) <= maxSaltTag
}
