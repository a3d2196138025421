package gateway

import (
	"crypto/rand"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// idSource makes request ids: ULIDs, so that they sort by time, with 80 random
// bits, so that nobody guesses the id of somebody else's decision.
type idSource struct {
	rand   io.Reader
	blocks sync.Pool // of *randomBlock
}

// randomBlock is randomness read ahead: one read serves 64 ids.
type randomBlock struct {
	buf  [640]byte
	next int // offset of the first unused byte
}

const idEntropy = 10 // bytes in a ULID

// next returns a new id.
func (s *idSource) next(now time.Time) (string, error) {
	b, _ := s.blocks.Get().(*randomBlock)
	if b == nil {
		b = &randomBlock{next: len(randomBlock{}.buf)}
	}
	if b.next == len(b.buf) {
		if _, err := io.ReadFull(s.rand, b.buf[:]); err != nil {
			return "", fmt.Errorf("reading randomness: %w", err)
		}
		b.next = 0
	}
	var id ulid.ULID
	copy(id[6:], b.buf[b.next:b.next+idEntropy])
	b.next += idEntropy
	s.blocks.Put(b)
	if err := id.SetTime(ulid.Timestamp(now)); err != nil {
		return "", fmt.Errorf("the clock does not fit an id: %w", err)
	}
	var text [ulid.EncodedSize]byte
	if err := id.MarshalTextTo(text[:]); err != nil {
		return "", fmt.Errorf("writing an id: %w", err)
	}
	return string(text[:]), nil
}

// NewID returns an id like those of requests at a gate, for one that meets none.
func NewID() string { return ulid.MustNew(ulid.Now(), rand.Reader).String() }
