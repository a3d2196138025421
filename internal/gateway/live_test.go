package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

func dial(t *testing.T, srv *httptest.Server) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// revocable gives the scene a login that can end, and a store that can fail.
func revocable(s *scene) (ended, failing *atomic.Bool, asked *atomic.Int64) {
	ended, failing, asked = new(atomic.Bool), new(atomic.Bool), new(atomic.Int64)
	s.options.LiveEvery = 5 * time.Millisecond
	s.options.Alive = func(_ context.Context, id *identity.Identity) (bool, error) {
		asked.Add(1)
		if failing.Load() {
			return true, errors.New("store down") // the word beside an error counts for nothing
		}
		return !ended.Load() && id.SessionID == "ses_1", nil
	}
	return ended, failing, asked
}

// closes waits for the other end to close.
func closes(t *testing.T, r *bufio.Reader) {
	t.Helper()
	if _, err := r.ReadByte(); err == nil {
		t.Fatal("data instead of an end")
	} else if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		t.Fatal("the connection outlived its session")
	}
}

func TestSocketEndsWithTheSession(t *testing.T) {
	t.Run("behind a proxy that watches the context", func(t *testing.T) {
		s := newScene()
		ended, _, _ := revocable(s)
		s.app = proxyTo(t, upgradingApp(t))
		gate := httptest.NewServer(s.handler(t))
		defer gate.Close()
		conn, r, _ := upgrade(t, gate)
		echo(t, conn, r)
		ended.Store(true)
		closes(t, r)
	})
	t.Run("behind a handler that hijacks and looks at nothing", func(t *testing.T) {
		s := newScene()
		ended, _, _ := revocable(s)
		s.app = func(w http.ResponseWriter, _ *http.Request) {
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n")
			_ = rw.Flush()
			_, _ = io.Copy(conn, rw)
		}
		gate := httptest.NewServer(s.handler(t))
		defer gate.Close()
		conn, r, _ := upgrade(t, gate)
		echo(t, conn, r)
		ended.Store(true)
		closes(t, r)
	})
	t.Run("already ended when the handler hijacks", func(t *testing.T) {
		s := newScene()
		ended, _, _ := revocable(s)
		ended.Store(true)
		s.app = func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			time.Sleep(20 * time.Millisecond) // the cut comes right after the context
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := conn.Write([]byte("x")); err == nil {
				t.Error("the connection is still open")
			}
		}
		gate := httptest.NewServer(s.handler(t))
		defer gate.Close()
		conn := dial(t, gate)
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\nCookie: __Host-gatehouse="+goodToken+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		closes(t, bufio.NewReader(conn))
	})
}

func TestEventStreamEndsWithTheSession(t *testing.T) {
	s := newScene()
	ended, _, _ := revocable(s)
	over := make(chan error, 1)
	s.app = func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		ended.Store(true)
		<-r.Context().Done()
		over <- context.Cause(r.Context())
	}
	s.do(t, getAs("/events", "Accept", "text/event-stream"))
	if err := <-over; !errors.Is(err, errEnded) {
		t.Errorf("the stream ended with %v", err)
	}
}

func TestStoreFaultDoesNotCutAtOnceButInTheEnd(t *testing.T) {
	s := newScene()
	s.options.LiveGrace = 500 * time.Millisecond
	_, failing, asked := revocable(s)
	s.app = proxyTo(t, upgradingApp(t))
	gate := httptest.NewServer(s.handler(t))
	defer gate.Close()
	conn, r, _ := upgrade(t, gate)

	time.Sleep(2 * s.options.LiveGrace) // the grace counts from the last good word, not from the start
	failing.Store(true)
	for before := asked.Load(); asked.Load() < before+3; {
		time.Sleep(time.Millisecond)
	}
	echo(t, conn, r)
	failing.Store(false)
	for before := asked.Load(); asked.Load() < before+3; {
		time.Sleep(time.Millisecond)
	}
	echo(t, conn, r)
	failing.Store(true)
	closes(t, r)
}

func TestWatchEndsWithTheRequest(t *testing.T) {
	s := newScene()
	_, _, asked := revocable(s)
	s.do(t, getAs("/events", "Accept", "text/event-stream"))
	time.Sleep(20 * time.Millisecond)
	before := asked.Load()
	time.Sleep(50 * time.Millisecond)
	if after := asked.Load(); after != before {
		t.Errorf("the watch went on after the request: %d more questions", after-before)
	}
}
