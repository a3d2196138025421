package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/store/storetest"
)

func open(t testing.TB, url string, o Options) *Store {
	t.Helper()
	s, err := Open(url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// openReady waits until the store listens for notices.
func openReady(t testing.TB, url string, o Options) *Store {
	t.Helper()
	s := open(t, url, o)
	eventually(t, 10*time.Second, "the notices to arrive", func() bool { return s.Trust() > 0 })
	return s
}

func eventually(t testing.TB, within time.Duration, what string, done func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !done() {
		if time.Since(start) > within {
			t.Fatalf("waited %v for %s", within, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(start)
}

// logbook is a log that a test reads while it is written.
type logbook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logbook) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), s)
}

func (l *logbook) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func TestStore(t *testing.T) {
	server := storetest.Redis(t)
	storetest.Run(t, func(t *testing.T) store.Store {
		server.Command(t, "FLUSHALL")
		return open(t, server.URL(), Options{})
	})
}

func TestStoreOnCluster(t *testing.T) {
	t.Parallel()
	nodes := storetest.RedisCluster(t)
	url := "redis+cluster://" + nodes[0].Addr + "," + nodes[1].Addr
	storetest.Run(t, func(t *testing.T) store.Store {
		for _, n := range nodes {
			n.Command(t, "FLUSHALL")
		}
		return open(t, url, Options{})
	})
	s := open(t, url, Options{})
	for i := range 200 {
		if err := s.Put(t.Context(), fmt.Sprintf("k/%d", i), nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range nodes {
		if size := n.Command(t, "DBSIZE"); len(size) < 2 {
			t.Errorf("node %s holds only %s keys: the load is not spread", n.Addr, size)
		}
	}
}

func TestStoreBehindSentinel(t *testing.T) {
	t.Parallel()
	master, replica, sentinel := storetest.RedisSentinel(t)
	url := "redis+sentinel://" + sentinel.Addr + "/gatehouse?db=3"
	storetest.Run(t, func(t *testing.T) store.Store {
		master.Command(t, "FLUSHALL")
		return open(t, url, Options{})
	})
	t.Run("failover", func(t *testing.T) {
		var log logbook
		s := openReady(t, url, Options{Logger: log.logger()})
		if err := s.Put(t.Context(), "k/a", []byte("v"), 0); err != nil {
			t.Fatal(err)
		}
		eventually(t, 5*time.Second, "the replica to hold the key", func() bool {
			return strings.Contains(replica.Command(t, "INFO", "keyspace"), "db3:keys=2")
		})
		master.Stop()
		took := eventually(t, 20*time.Second, "the replica to take over", func() bool {
			return s.Put(t.Context(), "k/b", []byte("v"), 0) == nil
		})
		eventually(t, 10*time.Second, "the notices to arrive", func() bool { return s.Trust() > 0 })
		if v, found, err := s.Get(t.Context(), "k/a"); err != nil || !found || string(v) != "v" {
			t.Errorf("after the failover: %q, %v, %v", v, found, err)
		}
		t.Logf("writes went on after %v", took)
	})
}

func TestNoticesBetweenInstances(t *testing.T) {
	nodes := storetest.RedisCluster(t)
	single := storetest.Redis(t)
	for name, urls := range map[string][2]string{
		"single":  {single.URL(), single.URL()},
		"cluster": {"redis+cluster://" + nodes[0].Addr, "redis+cluster://" + nodes[2].Addr},
	} {
		t.Run(name, func(t *testing.T) {
			one, two := openReady(t, urls[0], Options{}), openReady(t, urls[1], Options{})
			other := openReady(t, strings.Replace(single.URL(), "/0", "/1", 1), Options{})
			var mu sync.Mutex
			heard, elsewhere := map[string]bool{}, 0
			defer two.Watch(func(key string) { mu.Lock(); heard[key] = true; mu.Unlock() })()
			defer other.Watch(func(string) { mu.Lock(); elsewhere++; mu.Unlock() })()
			for _, key := range storetest.OddKeys() { // so that every node of a cluster has some
				if err := one.Put(t.Context(), key, nil, time.Minute); err != nil {
					t.Fatal(err)
				}
				took := eventually(t, time.Second, fmt.Sprintf("the notice of %q", key), func() bool {
					mu.Lock()
					defer mu.Unlock()
					return heard[key]
				})
				if took > 500*time.Millisecond {
					t.Errorf("%q took %v", key, took)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if elsewhere != 0 {
				t.Errorf("another database heard %d notices", elsewhere)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	const drops, forgets, unchecked = "may drop keys", "keeps nothing on disk", "were not checked"
	for _, c := range []struct {
		name            string
		args            []string
		want, wantNever string
	}{
		{"evicts", []string{"--maxmemory-policy", "allkeys-lru", "--appendonly", "yes"}, drops, forgets},
		{"evicts what expires", []string{"--maxmemory-policy", "volatile-ttl", "--maxmemory", "64mb", "--save", "60 1"}, drops, forgets},
		{"keeps nothing", nil, forgets, drops},
		{"CONFIG is forbidden", []string{"--maxmemory-policy", "allkeys-random", "--rename-command", "CONFIG", ""}, drops, forgets},
		{"CONFIG and INFO are forbidden", []string{"--maxmemory-policy", "allkeys-random", "--rename-command", "CONFIG", "", "--rename-command", "INFO", ""}, unchecked, drops},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := storetest.Redis(t, c.args...)
			var log logbook
			open(t, server.URL(), Options{Logger: log.logger()})
			eventually(t, 5*time.Second, "the log to say: "+c.want, func() bool { return log.count(c.want) == 1 })
			if log.count(c.wantNever) != 0 {
				t.Errorf("it also says: %s", c.wantNever)
			}
		})
	}
	t.Run("nothing to warn of", func(t *testing.T) {
		server := storetest.Redis(t, "--appendonly", "yes")
		var log logbook
		s := openReady(t, server.URL(), Options{Logger: log.logger()})
		time.Sleep(200 * time.Millisecond)
		_ = s.Close()
		if log.count("level=WARN") != 0 {
			t.Error(log.buf.String())
		}
	})
}

func TestPassword(t *testing.T) {
	server := storetest.Redis(t, "--requirepass", "s3cr/t:@")
	url := "redis://:s3cr%2Ft%3A%40@" + server.Addr
	s := openReady(t, url, Options{})
	if err := s.Put(t.Context(), "k/a", nil, 0); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, url string }{
		{"none", "redis://" + server.Addr}, {"wrong", "redis://:wrong-hunter2@" + server.Addr},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log logbook
			s := open(t, c.url, Options{Logger: log.logger()})
			_, _, err := s.Get(t.Context(), "k/a")
			if !errors.Is(err, store.ErrUnavailable) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("Get: %v", err)
			}
			eventually(t, 5*time.Second, "the log", func() bool { return log.count("cannot be reached") == 1 })
			if log.count("hunter2") != 0 {
				t.Error("the log holds the password")
			}
		})
	}
}

// TestWritesAreSentOnce cuts the connection after each command was delivered
// and before it is answered.
func TestWritesAreSentOnce(t *testing.T) {
	server := storetest.Redis(t)
	proxy := newProxy(t, server.Addr)
	s := open(t, "redis://"+proxy.addr, Options{})
	ctx := t.Context()
	direct := open(t, server.URL(), Options{})
	limit := store.Limit{Burst: 10, Every: time.Hour}
	if _, err := s.Charge(ctx, "guess/a", limit, 0); err != nil { // loads the script
		t.Fatal(err)
	}
	proxy.swallow.Store(true)
	if _, err := s.Charge(ctx, "guess/a", limit, 1); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("Charge without an answer: %v", err)
	}
	if created, err := s.Create(ctx, "k/a", []byte("v"), 0); created || !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("Create without an answer: %v, %v", created, err)
	}
	proxy.swallow.Store(false)
	if a, err := direct.Charge(ctx, "guess/a", limit, 0); err != nil || a.Remaining != 9 {
		t.Errorf("charged more than once: %+v, %v", a, err)
	}
}

func TestErrorsOfOurTimeLimitAreNotTheCallers(t *testing.T) {
	s := open(t, "redis://127.0.0.1:1", Options{})
	if err := s.unavailable(t.Context(), context.DeadlineExceeded); errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

// TestNothingIsLeftBehind wants the indexes to shrink, too: by what is counted,
// scanned or written, or they would grow for ever.
func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	server := storetest.Redis(t)
	s := open(t, server.URL(), Options{})
	ctx := t.Context()
	fill := func() {
		server.Command(t, "FLUSHALL")
		for i := range 100 {
			if err := s.Put(ctx, fmt.Sprintf("k/%d", i), []byte("v"), 10*time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(1100 * time.Millisecond)
	}
	for _, c := range []struct {
		name  string
		clear func() error
	}{
		{"count", func() error { _, err := s.Count(ctx, "k"); return err }},
		{"scan", func() error { _, err := s.Scan(ctx, "k/", "", 1000); return err }},
		{"write", func() error {
			for i := range 200 {
				if err := s.Put(ctx, fmt.Sprintf("k/%d", i), nil, 0); err != nil {
					return err
				}
				if _, err := s.Delete(ctx, fmt.Sprintf("k/%d", i)); err != nil {
					return err
				}
			}
			return nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fill()
			if err := c.clear(); err != nil {
				t.Fatal(err)
			}
			if left := server.Command(t, "DBSIZE"); left != "0" {
				t.Errorf("%s keys are left: %s", left, server.Command(t, "KEYS", "*"))
			}
		})
	}
	t.Run("charges", func(t *testing.T) {
		server.Command(t, "FLUSHALL")
		if _, err := s.Charge(ctx, "guess/a", store.Limit{Burst: 5, Every: 10 * time.Millisecond}, 3); err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Second, "the charge to expire", func() bool { return server.Command(t, "DBSIZE") == "0" })
	})
}

func BenchmarkGet(b *testing.B) {
	s := openReady(b, storetest.Redis(b).URL(), Options{})
	if err := s.Put(b.Context(), "session/x", make([]byte, 400), time.Hour); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := s.Get(b.Context(), "session/x"); err != nil {
			b.Fatal(err)
		}
	}
}
