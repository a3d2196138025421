package key

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

const (
	// tidyAt is from how many entries on a part looks for those that are idle.
	tidyAt = 256
	// mostLocal bounds the entries of a part: about two million keys in use at a
	// time in all, and 200 MB.
	mostLocal = 1 << 16
)

// local counts requests in this process, with the arithmetic of the stores. Only
// keys whose secret was right get here, so nobody else can push one out. A key
// that has its full burst back needs no entry.
type local struct {
	seed  maphash.Seed
	most  int
	parts [32]localPart
}

type localPart struct {
	mu   sync.Mutex
	back map[string]int64 // µs of elapsed time at which the full burst is back
	tidy int              // at how many entries to look for idle ones
	_    [64]byte         // keeps neighbours' locks off this cache line
}

func newLocal() *local {
	l := &local{seed: maphash.MakeSeed(), most: mostLocal}
	for i := range l.parts {
		l.parts[i].back, l.parts[i].tidy = map[string]int64{}, tidyAt
	}
	return l
}

func (l *local) charge(bucket string, limit store.Limit, elapsed time.Duration) store.Allowance {
	rate, ok := store.NewRate(limit, 1)
	if !ok {
		return store.Allowance{}
	}
	now := elapsed.Microseconds()
	p := &l.parts[maphash.String(l.seed, bucket)%uint64(len(l.parts))]
	p.mu.Lock()
	defer p.mu.Unlock()
	back, known := p.back[bucket]
	after, allowed := rate.Charge(back - now)
	if allowed && !known {
		p.makeRoom(now, l.most)
	}
	if allowed || back-now > rate.Window { // the latter: the clock was set back
		p.back[bucket] = now + after
	}
	return rate.Allowance(after, allowed)
}

// makeRoom drops what is idle when the part has doubled since it looked last, so
// that looking costs little a request.
func (p *localPart) makeRoom(now int64, most int) {
	if len(p.back) >= p.tidy {
		for bucket, back := range p.back {
			if back <= now {
				delete(p.back, bucket)
			}
		}
		p.tidy = max(tidyAt, 2*len(p.back))
	}
	if len(p.back) >= most {
		p.dropOne()
	}
}

// dropOne drops, of a few, the entry that would be idle first: its key gets
// back the least that is not its own.
func (p *localPart) dropOne() {
	const few = 16
	var first string
	var soonest int64
	n := 0
	for bucket, back := range p.back {
		if n == 0 || back < soonest {
			first, soonest = bucket, back
		}
		if n++; n == few {
			break
		}
	}
	delete(p.back, first)
}
