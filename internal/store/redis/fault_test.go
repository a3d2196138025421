package redis

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/store/storetest"
)

// proxy is a TCP relay that can let answers vanish.
type proxy struct {
	addr    string
	swallow atomic.Bool // cut the connection instead of passing on an answer
}

func newProxy(t *testing.T, target string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	p := &proxy{addr: l.Addr().String()}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				_ = in.Close()
				continue
			}
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
			go func() {
				defer in.Close()
				defer out.Close()
				buf := make([]byte, 64<<10)
				for {
					n, err := out.Read(buf)
					// The handshake of a new connection is let through.
					if err != nil || p.swallow.Load() && !strings.Contains(string(buf[:n]), "proto") && !strings.HasPrefix(string(buf[:n]), "+OK") {
						return
					}
					if _, err := in.Write(buf[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return p
}

// refusedFast asks for an answer within the time that an operation may take.
func refusedFast(t *testing.T, s *Store) {
	t.Helper()
	start := time.Now()
	_, _, err := s.Get(t.Context(), "k/a")
	if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Get: %v", err)
	}
	if err := s.Put(t.Context(), "k/a", nil, 0); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Put: %v", err)
	}
	if took := time.Since(start); took > 2*opTimeout+time.Second {
		t.Errorf("two operations took %v", took)
	}
	if s.Trust() != 0 {
		t.Error("notices are still trusted")
	}
}

func TestGoneAtStart(t *testing.T) {
	t.Parallel()
	server := storetest.Redis(t)
	server.Stop()
	var log logbook
	start := time.Now()
	s := open(t, server.URL(), Options{Logger: log.logger()})
	if took := time.Since(start); took > 200*time.Millisecond {
		t.Errorf("Open took %v", took)
	}
	refusedFast(t, s)
	time.Sleep(time.Second)
	if n := log.count("cannot be reached"); n != 1 {
		t.Errorf("logged %d times that it is gone", n)
	}
	server.Restart(t)
	took := eventually(t, 5*time.Second, "the store to work", func() bool { return s.Put(t.Context(), "k/a", nil, 0) == nil })
	eventually(t, 5*time.Second, "the notices to arrive", func() bool { return s.Trust() > 0 })
	eventually(t, time.Second, "the log", func() bool { return log.count("answers again") == 1 })
	t.Logf("worked %v after the server was up", took)
}

func TestKilledMidRun(t *testing.T) {
	server := storetest.Redis(t)
	var log logbook
	s := openReady(t, server.URL(), Options{Logger: log.logger()})
	var forget atomic.Int32
	defer s.Watch(func(key string) {
		if key == "" {
			forget.Add(1)
		}
	})()
	for round := 1; round <= 3; round++ {
		if err := s.Put(t.Context(), "k/a", []byte("v"), 0); err != nil {
			t.Fatal(err)
		}
		before := forget.Load()
		server.Stop()
		eventually(t, 2*time.Second, "the watchers to be told to forget", func() bool { return forget.Load() > before })
		refusedFast(t, s)
		server.Restart(t)
		eventually(t, 5*time.Second, "the store to work", func() bool { _, _, err := s.Get(t.Context(), "k/a"); return err == nil })
		eventually(t, 5*time.Second, "the notices to arrive", func() bool { return s.Trust() > 0 })
		if log.count("cannot be reached") != round || log.count("answers again") != round {
			t.Errorf("round %d: logged lost %d and regained %d times", round, log.count("cannot be reached"), log.count("answers again"))
		}
	}
}

// TestHung freezes the server under load: connections are still accepted, but
// nothing is answered.
func TestHung(t *testing.T) {
	server := storetest.Redis(t)
	s := openReady(t, server.URL(), Options{})
	if err := s.Put(t.Context(), "k/a", []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	var forget atomic.Int32
	defer s.Watch(func(key string) {
		if key == "" {
			forget.Add(1)
		}
	})()
	server.Pause(t)
	if took := eventually(t, 2*time.Second, "trust to end", func() bool { return s.Trust() == 0 }); took > silence+300*time.Millisecond {
		t.Errorf("trust ended after %v", took)
	}
	refusedFast(t, s)
	if forget.Load() == 0 {
		t.Error("the watchers were not told to forget")
	}

	before := runtime.NumGoroutine()
	var wg sync.WaitGroup
	var slow, fast atomic.Int32
	for range 2000 {
		wg.Go(func() {
			start := time.Now()
			_, _, err := s.Get(t.Context(), "k/a")
			if !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("Get: %v", err)
			}
			switch took := time.Since(start); {
			case took > opTimeout+time.Second:
				t.Errorf("an operation took %v", took)
			case took > 300*time.Millisecond:
				slow.Add(1)
			default:
				fast.Add(1)
			}
		})
	}
	wg.Wait()
	if int64(slow.Load()) > s.limit+10 {
		t.Errorf("%d of 2000 waited for the hung server, %d should", slow.Load(), s.limit)
	}
	server.Resume(t)
	eventually(t, 5*time.Second, "the store to work", func() bool {
		v, found, err := s.Get(t.Context(), "k/a")
		return err == nil && found && string(v) == "v"
	})
	eventually(t, 5*time.Second, "the notices to arrive", func() bool { return s.Trust() > 0 })
	eventually(t, 10*time.Second, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= before+20 })
}

func TestCallersDeadline(t *testing.T) {
	server := storetest.Redis(t)
	s := openReady(t, server.URL(), Options{})
	server.Pause(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, _, err := s.Get(ctx, "k/a")
	if took := time.Since(start); took > 600*time.Millisecond || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%v after %v", err, took)
	}
}

// TestLateWrite gives up on a change which the server makes later: the echo
// must tell those who remember the old value.
func TestLateWrite(t *testing.T) {
	server := storetest.Redis(t)
	s := openReady(t, server.URL(), Options{})
	if err := s.Put(t.Context(), "k/a", []byte("old"), 0); err != nil {
		t.Fatal(err)
	}
	server.Pause(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := s.Put(ctx, "k/a", []byte("new"), 0); err == nil {
		t.Fatal("Put on a frozen server")
	}
	var told atomic.Int32
	defer s.Watch(func(key string) {
		if key == "k/a" || key == "" {
			told.Add(1)
		}
	})()
	server.Resume(t)
	eventually(t, 3*time.Second, "the late change", func() bool {
		v, _, err := s.Get(t.Context(), "k/a")
		return err == nil && string(v) == "new"
	})
	eventually(t, 3*time.Second, "a notice", func() bool { return told.Load() > 0 })
}

func TestCloseEndsAll(t *testing.T) {
	server := storetest.Redis(t)
	before := runtime.NumGoroutine()
	for _, state := range []string{"up", "hung", "gone"} {
		switch state {
		case "hung":
			server.Pause(t)
		case "gone":
			server.Stop()
		}
		for range 3 {
			s, err := Open(server.URL(), Options{})
			if err != nil {
				t.Fatal(err)
			}
			_, _, _ = s.Get(t.Context(), "k/a")
			start := time.Now()
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			if took := time.Since(start); took > opTimeout {
				t.Errorf("%s: Close took %v", state, took)
			}
		}
	}
	eventually(t, 5*time.Second, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= before+1 })
}

// TestBoundedEverywhere freezes and kills the servers of a Cluster and a
// Sentinel set-up: no operation may take longer there than with one server.
func TestBoundedEverywhere(t *testing.T) {
	t.Parallel()
	nodes := storetest.RedisCluster(t)
	master, _, sentinel := storetest.RedisSentinel(t)
	for _, c := range []struct {
		name, url string
		servers   []*storetest.RedisServer
	}{
		{"cluster", "redis+cluster://" + nodes[0].Addr + "," + nodes[1].Addr, nodes},
		{"sentinel", "redis+sentinel://" + sentinel.Addr + "/gatehouse", []*storetest.RedisServer{sentinel, master}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openReady(t, c.url, Options{})
			for _, server := range c.servers {
				server.Pause(t)
			}
			eventually(t, 2*time.Second, "trust to end", func() bool { return s.Trust() == 0 })
			refusedFast(t, s)
			start := time.Now()
			_, scanErr := s.Scan(t.Context(), "k/", "", 10)
			_, countErr := s.Count(t.Context(), "k")
			if !errors.Is(scanErr, store.ErrUnavailable) || !errors.Is(countErr, store.ErrUnavailable) || time.Since(start) > 2*opTimeout+time.Second {
				t.Errorf("Scan: %v, Count: %v after %v", scanErr, countErr, time.Since(start))
			}
			fresh := open(t, c.url, Options{})
			refusedFast(t, fresh)
			for _, server := range c.servers {
				server.Resume(t)
			}
			for _, s := range []*Store{s, fresh} {
				eventually(t, 15*time.Second, "the store to work", func() bool { return s.Put(t.Context(), "k/a", nil, 0) == nil })
				eventually(t, 15*time.Second, "the notices to arrive", func() bool { return s.Trust() > 0 })
			}
			for _, server := range c.servers {
				server.Stop()
			}
			refusedFast(t, open(t, c.url, Options{}))
			start = time.Now()
			if err := s.Close(); err != nil || time.Since(start) > opTimeout {
				t.Errorf("Close: %v after %v", err, time.Since(start))
			}
		})
	}
}
