package policy

import (
	"encoding/json"
	"hash/maphash"
	"slices"
	"strings"
	"sync"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
)

// What an answer may take in memory, in bytes. Most take about 300. So a memory
// for n answers takes n times bytesPerAnswer at most, which is 4 MiB for
// DefaultRemember, and a fifth more for the rounding of allocations; the least is
// 32 KiB. That holds however long the keys are: longer ones mean fewer answers.
const (
	bytesPerAnswer = 512     // the average that the bound of a memory reckons with
	maxAnswerBytes = 8 << 10 // a larger answer is not remembered
)

// memory remembers answers by key, for one entry point at one revision. It
// compares whole keys, never only their hashes, and is safe for concurrent use.
//
// It is bounded in entries and in bytes, and built for a flood: a stranger can
// ask about as many paths as he likes. An answer is on probation until it is
// asked for again; only then does it move to the kept ones, which newcomers can
// never push out. Either half ages in two generations, so that forgetting costs
// nothing per entry.
type memory struct {
	seed   maphash.Seed
	shards []shard // a power of two
}

// newMemory makes a memory for about size answers. With size 0 or less it
// remembers nothing.
func newMemory(size int) *memory {
	m := &memory{seed: maphash.MakeSeed()}
	if size <= 0 {
		return m
	}
	n := 1
	for n < 64 && size/n > 64 {
		n *= 2
	}
	m.shards = make([]shard, n)
	// A shard holds four generations: two on probation with a quarter of the
	// room, two kept with the rest.
	for i := range m.shards {
		m.shards[i].probation.limit(max(1, size/n/8))
		m.shards[i].kept.limit(max(1, size/n*3/8))
	}
	return m
}

// get returns the answer remembered for key, marked as cached.
func (m *memory) get(key []byte) (decision.Answer, bool) {
	if len(m.shards) == 0 {
		return decision.Answer{}, false
	}
	return m.shard(key).get(key)
}

// put remembers an answer. It keeps nothing of a but the revision.
func (m *memory) put(key []byte, a decision.Answer) {
	size := len(key) + answerBytes(a)
	if len(m.shards) == 0 || size > maxAnswerBytes {
		return
	}
	a = own(a)
	a.Cached = true
	m.shard(key).put(key, &memo{key: string(key), answer: a, bytes: size})
}

func (m *memory) shard(key []byte) *shard {
	return &m.shards[maphash.Bytes(m.seed, key)&uint64(len(m.shards)-1)]
}

// memo is one answer with its key, so that a move needs no new string.
type memo struct {
	key    string
	answer decision.Answer
	bytes  int
}

type shard struct {
	mu        sync.RWMutex
	probation generations
	kept      generations
}

func (s *shard) get(key []byte) (decision.Answer, bool) {
	s.mu.RLock()
	r := s.kept.young[string(key)]
	s.mu.RUnlock()
	if r == nil {
		if r = s.promote(key); r == nil {
			return decision.Answer{}, false
		}
	}
	return r.answer, true
}

// promote finds key in one of the other three generations, and makes it a young
// kept one.
func (s *shard) promote(key []byte) *memo {
	s.mu.RLock()
	r := s.elsewhere(key)
	s.mu.RUnlock()
	if r == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.kept.young[r.key]; !there {
		s.probation.remove(r.key)
		s.kept.add(r)
	}
	return r
}

func (s *shard) elsewhere(key []byte) *memo {
	for _, from := range [...]map[string]*memo{s.kept.old, s.probation.young, s.probation.old} {
		if r := from[string(key)]; r != nil {
			return r
		}
	}
	return nil
}

func (s *shard) put(key []byte, r *memo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept.young[r.key] == nil && s.elsewhere(key) == nil {
		s.probation.add(r)
	}
}

// generations is a bounded map that forgets half of itself at a time: when the
// young one is full it becomes the old one, and what was old is dropped.
type generations struct {
	young, old map[string]*memo
	bytes      int // of the young one
	maxEntries int
	maxBytes   int
}

func (g *generations) limit(entries int) {
	g.maxEntries = entries
	g.maxBytes = max(entries*bytesPerAnswer, maxAnswerBytes)
}

func (g *generations) add(r *memo) {
	if g.young == nil || len(g.young) >= g.maxEntries || g.bytes+r.bytes > g.maxBytes {
		g.old, g.young, g.bytes = g.young, make(map[string]*memo), 0
	}
	delete(g.old, r.key)
	g.young[r.key] = r
	g.bytes += r.bytes
}

func (g *generations) remove(key string) {
	if r := g.young[key]; r != nil {
		g.bytes -= r.bytes
	}
	delete(g.young, key)
	delete(g.old, key)
}

// own copies an answer with every string in it. A policy that answers with a part
// of the path answers with a piece of the request line, and would keep all of it
// in memory: a megabyte for each answer, if a stranger so wishes.
func own(a decision.Answer) decision.Answer {
	a.Reasons = slices.Clone(a.Reasons)
	for i, reason := range a.Reasons {
		a.Reasons[i] = strings.Clone(reason)
	}
	if a.Headers != nil {
		headers := make(map[string]string, len(a.Headers))
		for name, value := range a.Headers {
			headers[strings.Clone(name)] = strings.Clone(value)
		}
		a.Headers = headers
	}
	if a.Log != nil {
		a.Log, _ = ownLog(a.Log).(map[string]any)
	}
	a.Require = slices.Clone(a.Require)
	for i, step := range a.Require {
		a.Require[i] = decision.Step(strings.Clone(string(step)))
	}
	return a
}

func ownLog(v any) any {
	switch v := v.(type) {
	case string:
		return strings.Clone(v)
	case json.Number:
		return json.Number(strings.Clone(string(v)))
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = ownLog(item)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, item := range v {
			out[strings.Clone(name)] = ownLog(item)
		}
		return out
	}
	return v
}

// answerBytes estimates what an answer holds in memory.
func answerBytes(a decision.Answer) int {
	const perItem = 32 // a string header and its share of the map or slice
	n := 192 + len(a.Revision)
	for _, reason := range a.Reasons {
		n += perItem + len(reason)
	}
	n += perItem * len(a.Require)
	for name, value := range a.Headers {
		n += 2*perItem + len(name) + len(value)
	}
	return n + logBytes(a.Log)
}

// logBytes estimates a log field as decoded from a policy's result.
func logBytes(v any) int {
	const perItem = 32
	switch v := v.(type) {
	case string:
		return perItem + len(v)
	case []any:
		n := perItem
		for _, item := range v {
			n += logBytes(item)
		}
		return n
	case map[string]any:
		n := perItem
		for name, item := range v {
			n += perItem + len(name) + logBytes(item)
		}
		return n
	}
	return perItem
}
