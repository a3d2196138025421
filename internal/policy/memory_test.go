package policy

import (
	"fmt"
	"strings"
	"sync"
	"testing"

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
