package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// ask sends alice's request to a real server in front of the app.
func (s *scene) ask(t *testing.T) *http.Response {
	t.Helper()
	return s.raw(t, "GET / HTTP/1.1\nHost: app.example.com\nConnection: close\nCookie: __Host-gatehouse="+goodToken+"\n\n")
}

func TestTheAppCannotTouchOurCookie(t *testing.T) {
	for _, line := range []string{
		"__Host-gatehouse=evil; Path=/; Secure", "__Host-gatehouse=; Max-Age=0", "__host-GATEHOUSE=evil", "__Secure-gatehouse=evil",
		"gatehouse=evil", " __Host-gatehouse =evil", "\"__Host-gatehouse\"=evil", "=__Host-gatehouse=evil", "__Host-gatehouse",
		"__Host-gatehouse;x", "__Host-gatehouse-device=evil", "__Host-gatehouse-check=evil", "__Http-gatehouse=evil", "__Host-Http-gatehouse=evil",
		"= = __Host-gatehouse=evil",
	} {
		t.Run(line, func(t *testing.T) {
			s := newScene()
			s.app = func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Set-Cookie"] = []string{"a=1", line, "b=2"}
				w.Header()["set-cookie"] = []string{line}
				w.WriteHeader(http.StatusTeapot)
			}
			res := s.ask(t)
			if got := res.Header.Values("Set-Cookie"); res.StatusCode != http.StatusTeapot || !slices.Equal(got, []string{"a=1", "b=2"}) {
				t.Errorf("%d, Set-Cookie: %q", res.StatusCode, got)
			}
		})
	}
}

func TestTheAppsOwnCookiesStay(t *testing.T) {
	lines := []string{"session=1; Path=/", "my-gatehouse=1", "gatehouse2=1", "__Host-app=1", "a=__Host-gatehouse", "x=y, __Host-gatehouse=z"}
	s := newScene()
	s.app = func(w http.ResponseWriter, _ *http.Request) { w.Header()["Set-Cookie"] = lines }
	if got := s.ask(t).Header.Values("Set-Cookie"); !slices.Equal(got, lines) {
		t.Errorf("Set-Cookie: %q", got)
	}
}

func TestClearSiteDataKeepsOurCookie(t *testing.T) {
	for sent, want := range map[string]string{
		`"cache", "cookies", "storage"`: `"cache", "storage"`,
		`"cookies"`:                     "",
		`"COOKIES","cache"`:             `"cache"`,
		`"*"`:                           `"cache", "clientHints", "executionContexts", "prefetchCache", "prerenderCache", "storage"`,
		`"cache"`:                       `"cache"`,
	} {
		t.Run(sent, func(t *testing.T) {
			s := newScene()
			s.app = func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Clear-Site-Data", sent) }
			if got := s.ask(t).Header.Get("Clear-Site-Data"); got != want {
				t.Errorf("Clear-Site-Data: %s, want %s", got, want)
			}
		})
	}
}

func TestOurCookieInInformationalResponsesAndTrailers(t *testing.T) {
	s := newScene()
	s.app = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.Header().Set("Set-Cookie", "__Host-gatehouse=evil")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Trailer", "X-Sum, Set-Cookie")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Sum", "7")
		w.Header().Set("Set-Cookie", "__Host-gatehouse=evil")
		w.Header().Set(http.TrailerPrefix+"Set-Cookie", "__Host-gatehouse=evil")
		w.Header().Set(http.TrailerPrefix+"X-More", "8")
	}
	srv := httptest.NewServer(s.handler(t))
	defer srv.Close()
	conn := dial(t, srv)
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nCookie: __Host-gatehouse="+goodToken+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	wire, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	text := string(wire)
	if strings.Contains(text, "evil") {
		t.Errorf("the app's cookie went out:\n%s", text)
	}
	for _, want := range []string{"103 Early Hints", "200 OK", "X-Sum: 7", "X-More: 8", "Cache-Control: private"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing:\n%s", want, text)
		}
	}
	if early, _, _ := strings.Cut(text, "200 OK"); strings.Contains(early, "Cache-Control") {
		t.Errorf("Cache-Control in the early hints:\n%s", early)
	}
}

func TestHTTP2TrailersOfTheApp(t *testing.T) {
	s := newScene()
	s.app = func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "body")
		w.Header().Set(http.TrailerPrefix+"Set-Cookie", "__Host-gatehouse=evil")
		w.Header().Set(http.TrailerPrefix+"X-Sum", "7")
	}
	res := s.http2(t, func(u string) *http.Request {
		r, err := http.NewRequest(http.MethodGet, u, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Cookie", "__Host-gatehouse="+goodToken)
		return r
	})
	if _, err := io.ReadAll(res.Body); err != nil {
		t.Fatal(err)
	}
	if res.Trailer.Get("X-Sum") != "7" || res.Trailer["Set-Cookie"] != nil {
		t.Errorf("trailers %v", res.Trailer)
	}
}

func TestAnswersToSomebodyStayOutOfSharedCaches(t *testing.T) {
	write := func(cache string, write func(w http.ResponseWriter)) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if cache != "" {
				w.Header().Set("Cache-Control", cache)
			}
			write(w)
		}
	}
	body := func(w http.ResponseWriter) { _, _ = io.WriteString(w, "x") }
	for _, c := range []struct {
		name string
		app  http.HandlerFunc
		want string
	}{
		{"written", write("", body), "private"},
		{"nothing written", write("", func(http.ResponseWriter) {}), "private"},
		{"status alone", write("", func(w http.ResponseWriter) { w.WriteHeader(404) }), "private"},
		{"flushed first", write("", func(w http.ResponseWriter) { w.(http.Flusher).Flush() }), "private"},
		{"copied from a reader", write("", func(w http.ResponseWriter) { _, _ = io.Copy(w, strings.NewReader("x")) }), "private"},
		{"written as string", write("", func(w http.ResponseWriter) { _, _ = w.(io.StringWriter).WriteString("x") }), "private"},
		{"the app knows better", write("public, max-age=60", body), "public, max-age=60"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene()
			s.app = c.app
			if got := s.ask(t).Header.Get("Cache-Control"); got != c.want {
				t.Errorf("Cache-Control: %q, want %q", got, c.want)
			}
		})
	}
	t.Run("a stranger", func(t *testing.T) {
		s := newScene()
		s.options.Decider = deciderFunc(allowAll)
		if got := s.do(t, get("/")).Header["Cache-Control"]; got != nil {
			t.Errorf("Cache-Control: %q", got)
		}
	})
}

func TestWriterUnderneathIsReached(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("file"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newScene()
	s.app = func(w http.ResponseWriter, _ *http.Request) {
		if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Errorf("SetReadDeadline: %v", err)
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Errorf("Flush: %v", err)
		}
		if err := w.(http.Pusher).Push("/x", nil); err == nil {
			t.Error("HTTP/1.1 pushed")
		}
		f, err := os.Open(file)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = f.Close() }()
		if n, err := w.(io.ReaderFrom).ReadFrom(f); n != 4 || err != nil {
			t.Errorf("ReadFrom: %d, %v", n, err)
		}
	}
	body, err := io.ReadAll(s.ask(t).Body)
	if err != nil || string(body) != "file" {
		t.Errorf("body %q, %v", body, err)
	}
}

// upgradingApp is an upstream that switches protocols, tries to set our cookie
// on the way, and then echoes.
func upgradingApp(t *testing.T) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n" +
			"Set-Cookie: __Host-gatehouse=evil\r\nSet-Cookie: a=1\r\n\r\n")
		_ = rw.Flush()
		_, _ = io.Copy(conn, rw)
	}))
	t.Cleanup(srv.Close)
	return srv
}

// upgrade opens an upgraded connection of alice's browser through the gate.
func upgrade(t *testing.T, gate *httptest.Server) (io.ReadWriter, *bufio.Reader, textproto.MIMEHeader) {
	t.Helper()
	conn := dial(t, gate)
	if _, err := io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, Remote-User\r\nUpgrade: echo\r\nCookie: __Host-gatehouse="+goodToken+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	status, err := r.ReadString('\n')
	if err != nil || !strings.HasPrefix(status, "HTTP/1.1 101 ") {
		t.Fatalf("%q, %v", status, err)
	}
	h, err := textproto.NewReader(r).ReadMIMEHeader()
	if err != nil {
		t.Fatal(err)
	}
	return conn, r, h
}

func echo(t *testing.T, w io.Writer, r *bufio.Reader) {
	t.Helper()
	if _, err := io.WriteString(w, "hello\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := r.ReadString('\n'); err != nil || line != "hello\n" {
		t.Fatalf("echo %q, %v", line, err)
	}
}

func proxyTo(t *testing.T, upstream *httptest.Server) http.HandlerFunc {
	t.Helper()
	u, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	return httputil.NewSingleHostReverseProxy(u).ServeHTTP
}

// headerFirst answers 101 through WriteHeader and hijacks then, as Caddy's
// reverse_proxy does; httputil's proxy hijacks first.
func headerFirst(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", "echo")
	w.Header()["Set-Cookie"] = []string{"__Host-gatehouse=evil", "a=1"}
	w.WriteHeader(http.StatusSwitchingProtocols)
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_ = rw.Flush()
	_, _ = io.Copy(conn, rw)
}

func TestUpgradeGoesThroughAndCannotSetOurCookie(t *testing.T) {
	t.Run("hijacked first", func(t *testing.T) { checkUpgrade(t, proxyTo(t, upgradingApp(t))) })
	t.Run("header first", func(t *testing.T) { checkUpgrade(t, headerFirst) })
}

func checkUpgrade(t *testing.T, app http.HandlerFunc) {
	t.Helper()
	s := newScene()
	s.app = app
	gate := httptest.NewServer(s.handler(t))
	defer gate.Close()
	conn, r, h := upgrade(t, gate)
	if got := h.Values("Set-Cookie"); !slices.Equal(got, []string{"a=1"}) {
		t.Errorf("Set-Cookie on 101: %q", got)
	}
	if h.Get("Cache-Control") != "" {
		t.Errorf("Cache-Control on 101: %q", h.Get("Cache-Control"))
	}
	if got := s.last(t).Header.Get("Remote-User"); got != "alice" {
		t.Errorf("Remote-User: %q", got)
	}
	echo(t, conn, r)
}

// pipe runs write on one end of a hijacked connection and returns what comes out.
func pipe(t *testing.T, write func(c net.Conn) error) (string, error) {
	t.Helper()
	near, far := net.Pipe()
	out := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(far) // ends when the other side closes
		out <- string(all)
	}()
	err := write(&headConn{Conn: near})
	_ = near.Close()
	return <-out, err
}

func TestResponseHeadsWrittenByHand(t *testing.T) {
	const ours = "Set-Cookie: __Host-gatehouse=evil\r\n"
	for _, c := range []struct{ name, in, want string }{
		{"final head", "HTTP/1.1 200 OK\r\n" + ours + "A: b\r\n\r\n" + ours, "HTTP/1.1 200 OK\r\nA: b\r\n\r\n" + ours},
		{"hints and switch", "HTTP/1.1 103 Early Hints\r\n" + ours + "\r\nHTTP/1.1 101 Switching Protocols\r\n" + ours + "\r\nHTTP/1.1",
			"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1"},
		{"clear site data", "HTTP/1.1 101 X\r\nClear-Site-Data: \"*\"\r\n\r\n",
			"HTTP/1.1 101 X\r\nClear-Site-Data: \"cache\", \"clientHints\", \"executionContexts\", \"prefetchCache\", \"prerenderCache\", \"storage\"\r\n\r\n"},
		{"no HTTP", "SSH-2.0-x\r\n\r\n", "SSH-2.0-x\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			whole, err := pipe(t, func(conn net.Conn) error { _, err := io.WriteString(conn, c.in); return err })
			if err != nil || whole != c.want {
				t.Errorf("%q, %v; want %q", whole, err, c.want)
			}
			bytewise, err := pipe(t, func(conn net.Conn) error {
				for i := range len(c.in) {
					if _, err := io.WriteString(conn, c.in[i:i+1]); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil || bytewise != c.want {
				t.Errorf("byte by byte: %q, %v; want %q", bytewise, err, c.want)
			}
		})
	}
	for name, in := range map[string]string{
		"folded":                          "HTTP/1.1 200 OK\r\nSet-Cookie:\r\n __Host-gatehouse=evil\r\n\r\n",
		"bare newline":                    "HTTP/1.1 200 OK\r\nA: b\nSet-Cookie: __Host-gatehouse=evil\r\n\r\n",
		"bare newline in the status line": "HTTP/1.1 200 OK\nSet-Cookie: __Host-gatehouse=evil\r\n\r\n",
		"no colon":                        "HTTP/1.1 200 OK\r\nSet-Cookie\r\n\r\n",
		"too long":                        "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", maxHead),
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := pipe(t, func(c net.Conn) error { _, err := io.WriteString(c, in); return err }); err == nil || out != "" {
				t.Errorf("%q, %v; want an error and nothing out", out, err)
			}
		})
	}
}
