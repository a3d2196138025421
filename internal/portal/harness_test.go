package portal

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/audit"
	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/key"
	"github.com/gatehouse-proxy/gatehouse/internal/password"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/store/bolt"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

const (
	site   = "https://app.example.com"
	secret = "heron lantern quarry 9"
	other  = "marble ferry thistle 4"
)

// house is a portal with everything behind it, on a real store.
type house struct {
	t        testing.TB
	portal   *Portal
	store    *brittle
	users    *user.Directory
	sessions *session.Manager
	keys     *key.Manager
	hasher   *password.Hasher
	setup    *Setup
	log      *lockedBuffer // operation and audit lines
	now      atomic.Int64  // unix seconds
	logins   []string      // what OnLogin was told

	places   map[string]*place // by the name of the provider
	stateKey [32]byte
	acr      []string      // that every login at a provider asks for
	maxAge   time.Duration // likewise
}

func newHouse(t *testing.T, change ...func(*Options)) *house {
	t.Helper()
	h := &house{}
	h.build(t, change...)
	return h
}

func (h *house) build(t testing.TB, change ...func(*Options)) {
	t.Helper()
	h.t, h.log = t, &lockedBuffer{}
	h.now.Store(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).Unix())
	clock := func() time.Time { return time.Unix(h.now.Load(), 0).UTC() }
	db, err := bolt.Open(t.Context(), filepath.Join(t.TempDir(), "gatehouse.db"), bolt.Options{Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	h.store = &brittle{Store: db}
	log := slog.New(slog.NewJSONHandler(h.log, nil))
	h.users = user.NewDirectory(h.store, user.Options{Clock: clock})
	h.sessions = session.NewManager(h.store, session.Options{Accounts: h.users, RememberMe: 30 * 24 * time.Hour, Clock: clock, Logger: log})
	h.keys = key.NewManager(h.store, key.Options{Accounts: h.users, Clock: clock, Logger: log})
	h.hasher = password.NewHasher(password.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}, password.HasherOptions{})
	h.setup = NewSetup(h.store, h.users)
	t.Cleanup(func() {
		h.keys.Close()
		h.sessions.Close()
		h.users.Close()
		_ = db.Close()
	})
	o := Options{
		Users: h.users, Sessions: h.sessions, Hasher: h.hasher, Setup: h.setup, Passwords: true, RememberMe: true, Keys: h.keys,
		Verifier: password.NewVerifier(password.VerifierOptions{
			Users: h.users, Hasher: h.hasher, Guard: password.NewGuard(h.store, password.GuardOptions{}),
			Normalize: user.NormalizeName, Logger: log, Clock: clock,
		}),
		Audit: audit.New(log), Logger: log, Clock: clock,
		OnLogin: func(method, result string) { h.logins = append(h.logins, method+" "+result) },
	}
	for _, c := range change {
		c(&o)
	}
	if h.portal, err = New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.portal.Close)
}

// person makes a user with the password secret.
func (h *house) person(name string, more ...func(*user.New)) *user.User {
	h.t.Helper()
	hash, err := h.hasher.Hash(h.t.Context(), secret)
	if err != nil {
		h.t.Fatal(err)
	}
	n := user.New{Username: name, PasswordHash: hash}
	for _, m := range more {
		m(&n)
	}
	u, err := h.users.Add(h.t.Context(), n)
	if err != nil {
		h.t.Fatal(err)
	}
	return u
}

func (h *house) later(d time.Duration) { h.now.Add(int64(d / time.Second)) }

// browser is a client that behaves as browsers do: it keeps cookies and says
// where its requests come from.
type browser struct {
	h       *house
	cookies map[string]string
	site    string
	header  http.Header // sent with every request
}

func (h *house) browser() *browser {
	return &browser{h: h, cookies: map[string]string{}, site: site, header: http.Header{
		"User-Agent":     {"Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"},
		"Sec-Fetch-Site": {"same-origin"}, "Sec-Fetch-Mode": {"navigate"}, "Accept": {"text/html,*/*;q=0.8"},
	}}
}

func (b *browser) do(r *http.Request) *httptest.ResponseRecorder {
	for k, v := range b.header {
		if _, set := r.Header[k]; !set {
			r.Header[k] = v
		}
	}
	for name, value := range b.cookies {
		r.Header.Add("Cookie", name+"="+value)
	}
	w := httptest.NewRecorder()
	b.h.portal.ServeHTTP(w, r, caller)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
	}
	return w
}

func (b *browser) get(path string) *httptest.ResponseRecorder {
	return b.do(httptest.NewRequest(http.MethodGet, b.site+path, nil))
}

func (b *browser) post(path string, fields ...string) *httptest.ResponseRecorder {
	return b.do(b.form(path, fields...))
}

func (b *browser) form(path string, fields ...string) *http.Request {
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	r := httptest.NewRequest(http.MethodPost, b.site+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// json posts body as a program of the same site does.
func (b *browser) json(path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, b.site+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	return b.do(r)
}

// signIn goes through the login page.
func (b *browser) signIn(name, pw string) {
	b.h.t.Helper()
	b.get("/_gatehouse/login")
	if w := b.post("/_gatehouse/login", "username", name, "password", pw); w.Code != http.StatusSeeOther {
		b.h.t.Fatalf("signing in as %s: status %d\n%s", name, w.Code, words(w))
	}
}

func (b *browser) token() string { return b.cookies[cookie.Jar{}.Session()] }

// signedIn reports who the session cookie stands for now.
func (b *browser) signedIn() string {
	id, err := b.h.sessions.Identify(context.Background(), b.token())
	if err != nil {
		return ""
	}
	return id.Username
}

var (
	tags   = regexp.MustCompile(`<[^>]*>`)
	spaces = regexp.MustCompile(`\s+`)
)

// words is what a page says, without its markup.
func words(w *httptest.ResponseRecorder) string {
	return strings.TrimSpace(spaces.ReplaceAllString(tags.ReplaceAllString(w.Body.String(), " "), " "))
}

func wantStatus(t testing.TB, w *httptest.ResponseRecorder, status int) {
	t.Helper()
	if w.Code != status {
		t.Fatalf("status %d, want %d: %s", w.Code, status, words(w))
	}
}

func wantWords(t testing.TB, w *httptest.ResponseRecorder, text ...string) {
	t.Helper()
	for _, s := range text {
		if !strings.Contains(words(w), s) {
			t.Errorf("the answer does not say %q: %s", s, words(w))
		}
	}
}

func wantRedirect(t *testing.T, w *httptest.ResponseRecorder, to string) {
	t.Helper()
	wantStatus(t, w, http.StatusSeeOther)
	if got := w.Header().Get("Location"); got != to {
		t.Fatalf("redirect to %q, want %q", got, to)
	}
}

// brittle is a store that can be broken, as a whole or for some keys.
type brittle struct {
	store.Store
	mu   sync.Mutex
	down func(op, key string) bool
}

func (b *brittle) breakWhen(down func(op, key string) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = down
}

func (b *brittle) check(op, key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down != nil && b.down(op, key) {
		return fmt.Errorf("%w: secret-host:6379 refused", store.ErrUnavailable)
	}
	return nil
}

// Trust is 0: what these tests break must not be answered from memory.
func (b *brittle) Trust() time.Duration { return 0 }

func (b *brittle) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if err := b.check("get", key); err != nil {
		return nil, false, err
	}
	return b.Store.Get(ctx, key)
}

func (b *brittle) Take(ctx context.Context, key string) ([]byte, bool, error) {
	if err := b.check("take", key); err != nil {
		return nil, false, err
	}
	return b.Store.Take(ctx, key)
}

func (b *brittle) Create(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if err := b.check("create", key); err != nil {
		return false, err
	}
	return b.Store.Create(ctx, key, value, ttl)
}

func (b *brittle) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := b.check("put", key); err != nil {
		return err
	}
	return b.Store.Put(ctx, key, value, ttl)
}

func (b *brittle) Scan(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	if err := b.check("scan", prefix); err != nil {
		return nil, err
	}
	return b.Store.Scan(ctx, prefix, after, limit)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
