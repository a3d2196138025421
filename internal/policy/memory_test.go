package policy

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
)

func reason(s string) decision.Answer { return decision.Answer{Reasons: []string{s}, Revision: "r1"} }

func (m *memory) remembers(key string) bool {
	_, ok := m.get([]byte(key))
	return ok
}

// footprint counts what a memory holds.
func (m *memory) footprint() (entries, bytes int) {
	for i := range m.shards {
		s := &m.shards[i]
		for _, g := range []map[string]*memo{s.probation.young, s.probation.old, s.kept.young, s.kept.old} {
			entries += len(g)
			for _, r := range g {
				bytes += r.bytes
			}
		}
	}
	return entries, bytes
}

func TestMemory(t *testing.T) {
	m := newMemory(1000)
	key := []byte("key")
	if _, ok := m.get(key); ok {
		t.Fatal("remembers what nobody told it")
	}
	m.put(key, reason("no"))
	for range 3 { // in probation, promoted, kept
		a, ok := m.get(key)
		if !ok || !a.Cached || a.Revision != "r1" || a.Reasons[0] != "no" {
			t.Fatalf("%v %+v", ok, a)
		}
	}
	key[0] = 'x' // the caller goes on using its buffer
	if m.remembers("xey") || !m.remembers("key") {
		t.Error("the key is not its own")
	}
	if m.remembers("ke") || m.remembers("key ") || m.remembers("") {
		t.Error("another key gets the answer")
	}
}

func TestMemoryOfNothing(t *testing.T) {
	for _, size := range []int{0, -1} {
		m := newMemory(size)
		m.put([]byte("key"), reason("no"))
		if m.remembers("key") {
			t.Errorf("size %d remembers", size)
		}
	}
}

// TestFlood is a stranger who asks about a new path each time, or about each new
// path twice, as fast as he can.
func TestFlood(t *testing.T) {
	const size = 1000
	for _, times := range []int{1, 2} {
		t.Run(fmt.Sprintf("each path %d times", times), func(t *testing.T) {
			m := newMemory(size)
			regulars := make([]string, 50)
			for i := range regulars {
				regulars[i] = fmt.Sprintf("regular %d", i)
				m.put([]byte(regulars[i]), reason("in"))
				m.remembers(regulars[i])
			}
			missed := 0
			for i := range 100_000 {
				key := []byte(fmt.Sprintf("flood %d", i))
				for range times {
					if _, ok := m.get(key); !ok {
						m.put(key, reason(strings.Repeat("x", i%400)))
					}
				}
				if i%4 == 0 && !m.remembers(regulars[i/4%len(regulars)]) {
					missed++
					m.put([]byte(regulars[i/4%len(regulars)]), reason("in"))
				}
			}
			entries, bytes := m.footprint()
			t.Logf("%d entries, %d bytes, %d of 25,000 regular requests missed", entries, bytes, missed)
			if entries > size || bytes > size*bytesPerAnswer {
				t.Errorf("grew to %d entries, %d bytes", entries, bytes)
			}
			if times == 1 && missed > 0 {
				t.Errorf("the flood pushed out %d regulars", missed)
			}
			if missed > 25_000/4 {
				t.Errorf("the flood pushed out %d regulars", missed)
			}
		})
	}
}

func TestLargeAnswersAreBounded(t *testing.T) {
	m := newMemory(1000)
	m.put([]byte("huge"), reason(strings.Repeat("x", maxAnswerBytes)))
	if m.remembers("huge") {
		t.Error("a huge answer is remembered")
	}
	deep := decision.Answer{Log: map[string]any{"a": []any{strings.Repeat("x", maxAnswerBytes)}}}
	m.put([]byte("deep"), deep)
	if m.remembers("deep") {
		t.Error("a huge log field is remembered")
	}
	for i := range 10_000 {
		m.put([]byte(fmt.Sprint(i)), reason(strings.Repeat("x", maxAnswerBytes/2)))
		m.remembers(fmt.Sprint(i))
	}
	if _, bytes := m.footprint(); bytes > 1000*bytesPerAnswer {
		t.Errorf("%d bytes", bytes)
	}
}

func TestMemoryIsConcurrent(t *testing.T) {
	m := newMemory(64)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 5000 {
				key := fmt.Sprint((i * (g + 1)) % 200)
				if a, ok := m.get([]byte(key)); ok {
					if a.Reasons[0] != key {
						t.Errorf("%s got the answer for %s", key, a.Reasons[0])
						return
					}
					continue
				}
				m.put([]byte(key), reason(key))
			}
		})
	}
	wg.Wait()
}

func TestHitDoesNotAllocate(t *testing.T) {
	m := newMemory(1000)
	key := []byte("some key of a usual length, with a path and a role")
	m.put(key, reason("no"))
	m.get(key)
	if n := testing.AllocsPerRun(100, func() { m.get(key) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkHit(b *testing.B) {
	m := newMemory(16384)
	key := []byte("some key of a usual length, with a path and a role")
	m.put(key, reason("no"))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, ok := m.get(key); !ok {
				b.Fail()
			}
		}
	})
}

// heap is what is in use after everything that can be freed was.
func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// remembers at most what is documented, and a fifth for the rounding of allocations.
const rememberedBytes = DefaultRemember * bytesPerAnswer * 6 / 5

// TestFloodOfLongPathsIsBoundedInBytes is a stranger who asks about 200,000 paths
// of all lengths that are remembered, each once, or twice so that it is kept.
func TestFloodOfLongPathsIsBoundedInBytes(t *testing.T) {
	for _, times := range []int{1, 2} {
		t.Run(fmt.Sprintf("each path %d times", times), func(t *testing.T) {
			before := heap()
			m := newMemory(DefaultRemember)
			key := make([]byte, maxKeyBytes)
			most := 0
			for i := range 200_000 {
				binary.BigEndian.PutUint64(key, uint64(i))
				length := maxKeyBytes - i%64
				if i >= 150_000 { // then short ones, of which there are most
					length = 8 + i%200
				}
				m.put(key[:length], decision.Answer{Allow: true, Revision: "r1", Headers: map[string]string{"X-Team": "red"}})
				for range times - 1 {
					m.get(key[:length])
				}
				if i%50_000 == 49_999 {
					most = max(most, heap()-before)
				}
			}
			entries, bytes := m.footprint()
			t.Logf("%d entries, reckoned %d KiB, at most %d KiB in the heap", entries, bytes>>10, most>>10)
			if bytes > DefaultRemember*bytesPerAnswer || most > rememberedBytes {
				t.Errorf("%d bytes reckoned, %d in the heap; documented are %d", bytes, most, rememberedBytes)
			}
			runtime.KeepAlive(m)
		})
	}
}

// TestAnswersKeepNothingOfTheRequest is a stranger who asks about short paths in
// long request lines, of a policy that answers with parts of the path.
func TestAnswersKeepNothingOfTheRequest(t *testing.T) {
	e := load(t, Options{}, files{"app.rego": `package app

allow := true

deny contains concat("", [input.request.segments[1]])

headers["X-Team"] := input.request.segments[0]

log := {"team": input.request.segments[0], "all": [{input.request.segments[1]: substring(input.request.path, 0, 5)}]}
`})
	n := entry(t, e, "app")
	const line = 256 << 10
	q := question("")
	decide(t, n, q) // what is made once
	before := heap()
	for i := range 1000 {
		whole := fmt.Sprintf("/team%d/%d?", i, i) + strings.Repeat("x", line)
		path, _, _ := strings.Cut(whole, "?")
		q.Request.Path, q.Request.Segments = path, strings.Split(path[1:], "/")
		for range 2 {
			if a := decide(t, n, q); a.Headers["X-Team"] != fmt.Sprint("team", i) {
				t.Fatalf("%+v", a)
			}
		}
	}
	q = nil
	if grown := heap() - before; grown > rememberedBytes {
		t.Errorf("the heap has grown by %d KiB for 1,000 answers", grown>>10)
	}
	runtime.KeepAlive(n)
}

// TestLongPatternsAreNotKept is a policy that makes patterns out of requests.
func TestLongPatternsAreNotKept(t *testing.T) {
	p := newPatterns()
	short, long := ast.String("a*"), ast.String(strings.Repeat("a", maxPatternBytes+1))
	p.Insert(short, 1)
	p.Insert(long, 1)
	if _, ok := p.Get(short); !ok {
		t.Error("a short pattern is forgotten")
	}
	if _, ok := p.Get(long); ok {
		t.Error("a long pattern is kept")
	}
}
