package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// Whoever knows that event streams are watched does not ask for one: the app
// sends it all the same.
func TestEventStreamNobodyAskedForEndsWithTheSession(t *testing.T) {
	for _, accept := range []string{"", "*/*", "text/html"} {
		for _, version := range []int{1, 2} {
			t.Run(fmt.Sprintf("HTTP/%d, Accept %q", version, accept), func(t *testing.T) {
				s := newScene()
				ended, _, _ := revocable(s)
				over := make(chan error, 1)
				s.app = func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
					for {
						if _, err := fmt.Fprint(w, "data: secret\n\n"); err != nil {
							over <- err
							return
						}
						w.(http.Flusher).Flush()
						select {
						case <-r.Context().Done():
							over <- r.Context().Err()
							return
						case <-time.After(5 * time.Millisecond):
						}
					}
				}
				srv := httptest.NewUnstartedServer(s.handler(t))
				srv.EnableHTTP2 = version == 2
				srv.StartTLS()
				defer srv.Close()
				req, _ := http.NewRequest(http.MethodGet, srv.URL+"/events", nil)
				req.Header = http.Header{"Cookie": {"__Host-gatehouse=" + goodToken}, "Accept": {accept}}
				resp, err := srv.Client().Do(req)
				if err != nil || resp.ProtoMajor != version {
					t.Fatalf("%v %v", resp, err)
				}
				defer resp.Body.Close()
				if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || line != "data: secret\n" {
					t.Fatalf("%q %v", line, err)
				}
				ended.Store(true)
				select {
				case <-over:
				case <-time.After(5 * time.Second):
					t.Fatal("the stream outlived the session")
				}
			})
		}
	}
}

// An app that is silent for long must not keep the connection of somebody who
// was thrown out.
func TestSilentEventStreamEndsWithTheSession(t *testing.T) {
	s := newScene()
	ended, _, _ := revocable(s)
	s.app = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		ended.Store(true)
		select {
		case <-r.Context().Done():
		case <-time.After(5 * time.Second):
			t.Error("the request outlived the session")
		}
	}
	gate := httptest.NewServer(s.handler(t))
	defer gate.Close()
	conn := dial(t, gate)
	fmt.Fprintf(conn, "GET /events HTTP/1.1\r\nHost: x\r\nCookie: __Host-gatehouse=%s\r\n\r\n", goodToken)
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := resp.Body.Read(make([]byte, 1)); err == nil {
		t.Error("data instead of an end")
	}
}

// A request that is over leaves no watch behind, also a late one.
func TestLateWatchEndsWithTheRequest(t *testing.T) {
	s := newScene()
	_, _, asked := revocable(s)
	s.app = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		for began := time.Now(); asked.Load() == 0 && time.Since(began) < 5*time.Second; {
			time.Sleep(time.Millisecond)
		}
		if asked.Load() == 0 {
			t.Error("the answer is not watched")
		}
	}
	s.do(t, getAs("/events"))
	time.Sleep(20 * time.Millisecond)
	before := asked.Load()
	time.Sleep(50 * time.Millisecond)
	if after := asked.Load(); after != before {
		t.Errorf("asked %d times more after the end", after-before)
	}
}

// Many sessions end while their streams do: the server's writers are never
// touched after their requests (HTTP/2 would panic).
func TestStreamsThatEndWithTheirSessions(t *testing.T) {
	s := newScene()
	ended, _, _ := revocable(s)
	s.options.LiveEvery = time.Millisecond
	s.app = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		if r.URL.Path == "/end" {
			ended.Store(true)
		}
		time.Sleep(time.Duration(len(r.URL.Path)) * 100 * time.Microsecond)
	}
	srv := httptest.NewUnstartedServer(s.handler(t))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	for range 20 {
		ended.Store(false)
		var all sync.WaitGroup
		for n := range 30 {
			all.Go(func() {
				path := "/" + strings.Repeat("x", n)
				if n == 15 {
					path = "/end"
				}
				req, _ := http.NewRequest(http.MethodGet, srv.URL+path, nil)
				req.Header.Set("Cookie", "__Host-gatehouse="+goodToken)
				if resp, err := srv.Client().Do(req); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			})
		}
		all.Wait()
	}
}

// careless stands for the writers that Caddy puts around net/http's: they keep
// deadlines for themselves, and are for one goroutine at a time.
type careless struct {
	http.ResponseWriter
	told int // deadlines
}

func (c *careless) SetReadDeadline(t time.Time) error {
	c.told++
	return http.NewResponseController(c.ResponseWriter).SetReadDeadline(t)
}

func (c *careless) SetWriteDeadline(t time.Time) error {
	c.told++
	return http.NewResponseController(c.ResponseWriter).SetWriteDeadline(t)
}

// FlushError puts the deadline off, as Caddy's idle timeout does.
func (c *careless) FlushError() error {
	_ = http.NewResponseController(c.ResponseWriter).SetWriteDeadline(time.Now().Add(time.Minute))
	return http.NewResponseController(c.ResponseWriter).Flush()
}

func (c *careless) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// A stream is cut while its app writes, and the server's own writers know nothing of
// that: only net/http's takes deadlines from elsewhere.
func TestStreamIsCutUnderTheServersWriters(t *testing.T) {
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprintf("HTTP/%d", version), func(t *testing.T) {
			s := newScene()
			ended, _, _ := revocable(s)
			var told int
			over := make(chan error, 1)
			s.app = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				for began := time.Now(); time.Since(began) < 5*time.Second; {
					if _, err := fmt.Fprint(w, "data: secret\n\n"); err != nil {
						over <- err
						return
					}
					if err := http.NewResponseController(w).Flush(); err != nil {
						over <- err
						return
					}
				}
				over <- nil
			}
			gate := s.handler(t)
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c := &careless{ResponseWriter: w}
				gate.ServeHTTP(c, r)
				told = c.told
			}))
			srv.EnableHTTP2 = version == 2
			srv.StartTLS()
			req, _ := http.NewRequest(http.MethodGet, srv.URL+"/events", nil)
			req.Header = http.Header{"Cookie": {"__Host-gatehouse=" + goodToken}}
			resp, err := srv.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.Copy(io.Discard, resp.Body) }()
			ended.Store(true)
			if err := <-over; err == nil {
				t.Error("the stream outlived the session")
			}
			_ = resp.Body.Close()
			srv.Close()
			if told > 0 {
				t.Error("a writer that is for one goroutine was told a deadline by another")
			}
		})
	}
}
