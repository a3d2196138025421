package gateway

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/decision"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// The scene of most stories: alice is signed in, her cookie is goodToken.
const goodToken = "alices-token"

func alice() *identity.Identity {
	return &identity.Identity{
		Method: identity.Session, Provider: identity.Local, ID: "usr_1", Subject: "usr_1", Username: "alice",
		Email: "alice@example.com", Name: "Alice", Roles: []string{"admin", "dev"}, Groups: []string{"finance"},
		AMR: []string{"pwd"}, AuthTime: time.Now().Add(-time.Hour), SessionID: "ses_1",
	}
}

// tokens is a Sessions that knows some tokens by heart.
type tokens struct {
	mu    sync.Mutex
	known map[string]*identity.Identity
	err   error
	asked int
}

func (s *tokens) Identify(_ context.Context, token string) (*identity.Identity, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.err != nil {
		return nil, s.err
	}
	if id := s.known[token]; id != nil {
		return id, nil
	}
	return nil, identity.ErrUnknown
}

// deciderFunc is a policy in Go.
type deciderFunc func(q *decision.Question) (decision.Answer, error)

func (f deciderFunc) Decide(_ context.Context, q *decision.Question) (decision.Answer, error) {
	return f(q)
}

func allowAll(*decision.Question) (decision.Answer, error) {
	return decision.Answer{Allow: true, Revision: "r1"}, nil
}

func signedIn(q *decision.Question) (decision.Answer, error) {
	return decision.Answer{Allow: q.Identity.Authenticated(), Revision: "r1"}, nil
}

// scene is one gate in front of one app, with what both saw.
type scene struct {
	options  Options
	sessions *tokens
	app      http.HandlerFunc
	log      *bytes.Buffer

	mu      sync.Mutex
	seen    []*http.Request // requests as the app got them
	trailer []http.Header   // their trailers after the body was read
	records []Record
}

func newScene() *scene {
	s := &scene{sessions: &tokens{known: map[string]*identity.Identity{goodToken: alice()}}, log: new(bytes.Buffer)}
	s.options = Options{
		Site:           decision.Site{Host: "app.example.com", Policy: "gatehouse.authz"},
		Authenticators: []Authenticator{SessionAuthenticator(s.sessions, cookie.Jar{})},
		Decider:        deciderFunc(signedIn),
		Alive:          func(context.Context, *identity.Identity) (bool, error) { return true, nil },
		Recorder:       s,
		Logger:         slog.New(slog.NewTextHandler(s.log, nil)),
	}
	s.app = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "app") }
	return s
}

func (s *scene) Decided(_ context.Context, r Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records = append(s.records, r)
}

func (s *scene) handler(t testing.TB) http.Handler {
	t.Helper()
	g, err := New(s.options)
	if err != nil {
		t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok := g.Admit(w, r, Caller{ClientIP: netip.MustParseAddr("203.0.113.9"), Scheme: "https", Port: 443})
		if !ok {
			return
		}
		defer p.Close()
		_, _ = io.Copy(io.Discard, p.Request.Body)
		s.mu.Lock()
		s.seen = append(s.seen, p.Request.Clone(context.Background()))
		s.trailer = append(s.trailer, p.Request.Trailer.Clone())
		s.mu.Unlock()
		s.app(p.Writer, p.Request)
	})
}

// do sends a request without a network.
func (s *scene) do(t testing.TB, r *http.Request) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	s.handler(t).ServeHTTP(w, r)
	return w.Result()
}

// last returns the last request that the app got.
func (s *scene) last(t testing.TB) *http.Request {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen) == 0 {
		t.Fatal("the app got no request")
	}
	return s.seen[len(s.seen)-1]
}

// record returns the one record that there must be.
func (s *scene) record(t testing.TB) Record {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.records) != 1 {
		t.Fatalf("%d records, want exactly one: %+v", len(s.records), s.records)
	}
	return s.records[0]
}

func get(path string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// getAs is a request of alice's browser.
func getAs(path string, headers ...string) *http.Request {
	return get(path, append(headers, "Cookie", "__Host-gatehouse="+goodToken)...)
}

// asPerson makes a request a navigation.
func asPerson(r *http.Request) *http.Request {
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	return r
}

// raw sends bytes to a real HTTP/1.1 server and returns its answer.
func (s *scene) raw(t *testing.T, request string) *http.Response {
	t.Helper()
	srv := httptest.NewServer(s.handler(t))
	t.Cleanup(srv.Close)
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, strings.ReplaceAll(request, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res
}

// http2 sends a request over HTTP/2.
func (s *scene) http2(t *testing.T, build func(url string) *http.Request) *http.Response {
	t.Helper()
	srv := httptest.NewUnstartedServer(s.handler(t))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	client := srv.Client()
	client.Transport.(*http.Transport).TLSClientConfig.MinVersion = tls.VersionTLS12
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Do(build(srv.URL))
	if err != nil {
		t.Fatal(err)
	}
	if res.ProtoMajor != 2 {
		t.Fatalf("the test spoke %s, want HTTP/2", res.Proto)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}
