package password

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestHashAndVerify(t *testing.T) {
	ctx := context.Background()
	h := NewHasher(cheap, HasherOptions{})
	hash := func(pw string) string {
		t.Helper()
		s, err := h.Hash(ctx, pw)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	long := strings.Repeat("umbrella cactus ", 16)
	for _, c := range []struct {
		name, set, typed string
		want             bool
	}{
		{"the same", "umbrella cactus", "umbrella cactus", true},
		{"another case", "umbrella cactus", "Umbrella cactus", false},
		{"space at the end", "umbrella cactus", "umbrella cactus ", false},
		{"accents apart", "Zürich im März", "Zu\u0308rich im Ma\u0308rz", true},
		{"accents missing", "Zürich im März", "Zurich im Marz", false},
		{"no-break space", "umbrella cactus", "umbrella\u00a0cactus", true},
		{"full-width letters are others", "umbrella", "ｕmbrella", false},
		{"the 256th byte counts", long, long[:255] + "x", false},
		{"nothing is cut off", long, long + "x", false},
		{"256 bytes", long, long, true},
		{"256 bytes, typed apart", strings.Repeat("ä", 128), strings.Repeat("a\u0308", 128), true},
		{"empty", "umbrella cactus", "", false},
		{"NUL at the end", "umbrella cactus", "umbrella cactus\x00", false},
		{"invalid UTF-8", "umbrella cactus", "umbrella cactus\xff", false},
		{"a megabyte", "umbrella cactus", strings.Repeat("x", 1<<20), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ok, outdated, err := h.Verify(ctx, hash(c.set), c.typed)
			if err != nil || ok != c.want || outdated {
				t.Errorf("got %v, outdated %v, %v; want %v", ok, outdated, err, c.want)
			}
		})
	}
	if a, b := hash("umbrella cactus"), hash("umbrella cactus"); a == b {
		t.Error("one password was hashed twice with the same salt")
	}
}

// The hash of "" under the zero salt is the nearest thing to a skeleton key: an
// unusable password is hashed as "".
func TestUnusablePasswordNeverFits(t *testing.T) {
	ctx := context.Background()
	h := NewHasher(cheap, HasherOptions{})
	sum := phc{params: cheap, salt: make([]byte, saltSize), tag: make([]byte, tagSize)}
	tag, err := h.run(ctx, "", sum)
	if err != nil {
		t.Fatal(err)
	}
	sum.tag = tag
	for _, pw := range []string{"", "\x00", "\xff", strings.Repeat("x", 1<<20)} {
		if ok, _, err := h.Verify(ctx, sum.String(), pw); ok || err != nil {
			t.Errorf("%.10q: got %v, %v", pw, ok, err)
		}
		if _, err := h.Hash(ctx, pw); !errors.As(err, new(*WeakError)) {
			t.Errorf("%.10q was hashed: %v", pw, err)
		}
	}
}

func TestOutdated(t *testing.T) {
	ctx := context.Background()
	old, err := NewHasher(cheap, HasherOptions{}).Hash(ctx, "umbrella cactus")
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]Params{
		"more memory": {128, 1, 1}, "more iterations": {64, 2, 1}, "more lanes": {64, 1, 2}, "less memory": {32, 1, 1},
	} {
		h := NewHasher(p, HasherOptions{})
		if ok, outdated, err := h.Verify(ctx, old, "umbrella cactus"); !ok || !outdated || err != nil {
			t.Errorf("%s: got %v, outdated %v, %v", name, ok, outdated, err)
		}
		if ok, outdated, err := h.Verify(ctx, old, "something else"); ok || outdated || err != nil {
			t.Errorf("%s, wrong password: got %v, outdated %v, %v", name, ok, outdated, err)
		}
	}
	short := phc{params: cheap, salt: []byte("somesalt"), tag: make([]byte, 16)}
	h := NewHasher(cheap, HasherOptions{})
	if short.tag, err = h.run(ctx, "umbrella cactus", short); err != nil {
		t.Fatal(err)
	}
	if ok, outdated, err := h.Verify(ctx, short.String(), "umbrella cactus"); !ok || !outdated || err != nil {
		t.Errorf("short salt and tag: got %v, outdated %v, %v", ok, outdated, err)
	}
}

func TestImpossibleParamsAndNoRandomness(t *testing.T) {
	ctx := context.Background()
	if _, err := NewHasher(Params{MemoryKiB: 1 << 30}, HasherOptions{}).Hash(ctx, "umbrella"); err == nil {
		t.Error("a hash of a terabyte was begun")
	}
	if _, err := NewHasher(cheap, HasherOptions{Rand: bytes.NewReader(make([]byte, 5))}).Hash(ctx, "umbrella"); err == nil {
		t.Error("a hash was made with five bytes of salt")
	}
}

// held replaces the hash function by one that waits, and counts.
type held struct {
	release       chan struct{}
	now, most, in atomic.Int64
}

func hold(h *Hasher) *held {
	g := &held{release: make(chan struct{})}
	h.key = func(_, _ []byte, _, _ uint32, _ uint8, n uint32) []byte {
		g.in.Add(1)
		now := g.now.Add(1)
		defer g.now.Add(-1)
		for most := g.most.Load(); now > most && !g.most.CompareAndSwap(most, now); most = g.most.Load() {
		}
		<-g.release
		return make([]byte, n)
	}
	return g
}

func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHasher(cheap, HasherOptions{Workers: 2, Queue: 3})
		g := hold(h)
		results := make(chan error, 100)
		verify := func(ctx context.Context) {
			_, _, err := h.Verify(ctx, h.decoy, "umbrella")
			results <- err
		}
		ctx, cancel := context.WithCancel(context.Background())
		go verify(ctx)
		go verify(ctx)
		synctest.Wait()
		for range 3 {
			go verify(ctx)
		}
		synctest.Wait()
		if in := g.in.Load(); in != 2 {
			t.Fatalf("%d hashes run, want 2 for 2 workers", in)
		}
		for range 5 { // at once: the bubble's clock does not move
			start := time.Now()
			if _, err := h.Hash(context.Background(), "umbrella"); !errors.Is(err, ErrBusy) || time.Since(start) != 0 {
				t.Errorf("full queue: got %v after %v, want ErrBusy at once", err, time.Since(start))
			}
		}
		cancel()
		synctest.Wait()
		for range 3 { // those who waited have left
			if err := <-results; !errors.Is(err, context.Canceled) {
				t.Errorf("waiting, then cancelled: got %v", err)
			}
		}
		go verify(context.Background()) // and made room
		synctest.Wait()
		close(g.release)
		for range 3 {
			if err := <-results; err != nil {
				t.Errorf("got %v", err)
			}
		}
		if in := g.in.Load(); in != 3 {
			t.Errorf("%d hashes were computed, want 3: those cancelled must not run", in)
		}
		if h.taken.Load() != 0 || len(h.slots) != 0 {
			t.Errorf("%d places and %d workers were not given back", h.taken.Load(), len(h.slots))
		}
	})
}

func TestCancelledBeforeItBegins(t *testing.T) {
	h := NewHasher(cheap, HasherOptions{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := h.Verify(ctx, h.decoy, "umbrella"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// 500 logins at once run no more hashes than there are workers, and memory
// stays within what those need.
func TestFiveHundredLoginsAtOnce(t *testing.T) {
	const logins, workers = 500, 2
	p := Params{MemoryKiB: 8 << 10, Iterations: 1, Parallelism: 1}
	h := NewHasher(p, HasherOptions{Workers: workers, Queue: 60})
	var running, most atomic.Int64
	real := h.key
	h.key = func(pw, salt []byte, tm, m uint32, th uint8, n uint32) []byte {
		if now := running.Add(1); now > most.Load() {
			most.Store(now)
		}
		defer running.Add(-1)
		return real(pw, salt, tm, m, th, n)
	}
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)

	var busy, done atomic.Int64
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range logins {
		wg.Go(func() {
			<-start
			_, _, err := h.Verify(context.Background(), h.decoy, "umbrella cactus")
			switch {
			case errors.Is(err, ErrBusy):
				busy.Add(1)
			case err == nil:
				done.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	stop, peak := make(chan struct{}), make(chan uint64)
	go func() {
		var top uint64
		for {
			select {
			case <-stop:
				peak <- top
				return
			case <-time.After(2 * time.Millisecond):
				var now runtime.MemStats
				runtime.ReadMemStats(&now)
				top = max(top, now.HeapAlloc)
			}
		}
	}()
	close(start)
	wg.Wait()
	close(stop)
	grown := int64(<-peak) - int64(before.HeapAlloc)

	if done.Load()+busy.Load() != logins || done.Load() < workers || busy.Load() == 0 {
		t.Errorf("%d done and %d refused of %d", done.Load(), busy.Load(), logins)
	}
	if most.Load() > workers {
		t.Errorf("%d hashes ran at once, want at most %d", most.Load(), workers)
	}
	// Each worker's memory, and what the collector has not taken yet. Were the
	// ones that wait to hold theirs too, it would be 31 times the workers'.
	if limit := int64(8 * workers * p.MemoryKiB << 10); grown > limit {
		t.Errorf("the heap grew by %d MiB, want at most %d", grown>>20, limit>>20)
	}
	t.Logf("%d done, %d refused, heap grew by %d MiB", done.Load(), busy.Load(), grown>>20)
}

func BenchmarkHash(b *testing.B) {
	h := NewHasher(Params{}, HasherOptions{})
	for b.Loop() {
		if _, err := h.Hash(context.Background(), "umbrella cactus"); err != nil {
			b.Fatal(err)
		}
	}
}
