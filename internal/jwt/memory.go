package jwt

import (
	"crypto/sha256"
	"sync/atomic"

	lru "github.com/hashicorp/golang-lru/v2"
)

// digest is a SHA-256: tokens are remembered and compared by it, never kept
// themselves if that can be helped.
type digest = [sha256.Size]byte

// digestOf hashes a token, those of usual length without an allocation.
func digestOf(token string) digest {
	const usual = 1 << 10
	if len(token) > usual {
		return sha256.Sum256([]byte(token))
	}
	var text [usual]byte
	return sha256.Sum256(text[:copy(text[:], token)])
}

const (
	// defaultSize is how many tokens are remembered.
	defaultSize = 16384
	// perToken is how many bytes of token a remembered one may have on average. A
	// decoded one takes several times its length, so this bounds memory where a
	// count alone would not: large tokens are remembered in smaller number.
	perToken = 1 << 10
)

// memory remembers values by the hash of a token: a bounded number of bounded
// weight, and those that were wanted least recently go first.
type memory[T any] struct {
	cache  *lru.Cache[digest, weighed[T]]
	weight atomic.Int64
	most   int64
}

type weighed[T any] struct {
	value  *T
	weight int64
}

func newMemory[T any](size int) (*memory[T], error) {
	m := &memory[T]{most: int64(size) * perToken}
	var err error
	m.cache, err = lru.NewWithEvict(size, func(_ digest, w weighed[T]) { m.weight.Add(-w.weight) })
	return m, err
}

// get returns what is remembered, or nil.
func (m *memory[T]) get(k digest) *T {
	w, _ := m.cache.Get(k)
	return w.value
}

// add remembers v, unless there is something already, which is then returned:
// whoever comes at the same time gets the same.
func (m *memory[T]) add(k digest, v *T, weight int) *T {
	w := weighed[T]{v, int64(weight)}
	m.weight.Add(w.weight)
	if before, found, _ := m.cache.PeekOrAdd(k, w); found {
		m.weight.Add(-w.weight)
		return before.value
	}
	for m.weight.Load() > m.most && m.cache.Len() > 1 {
		m.cache.RemoveOldest()
	}
	return v
}

// replace remembers v in place of what is there.
func (m *memory[T]) replace(k digest, v *T, weight int) {
	m.cache.Remove(k)
	m.add(k, v, weight)
}

func (m *memory[T]) remove(k digest) { m.cache.Remove(k) }
