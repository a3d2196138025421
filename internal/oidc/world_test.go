package oidc

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/jwt"
	"github.com/gatehouse-proxy/gatehouse/internal/oidc/optest"
)

const (
	testIssuer   = "https://op.example.com"
	testCallback = "https://app.example.com/_gatehouse/oidc/test/callback"
)

// world is a provider, and us as its client.
type world struct {
	*Provider
	t     *testing.T
	op    *optest.OP
	clock *clock
	log   *lines
}

func newWorld(t *testing.T, change ...func(*Options)) *world {
	t.Helper()
	op := optest.New(testIssuer)
	op.Client.RedirectURLs = []string{testCallback}
	return join(t, op, op.Transport(), change...)
}

func join(t *testing.T, op *optest.OP, transport http.RoundTripper, change ...func(*Options)) *world {
	t.Helper()
	w := &world{t: t, op: op, clock: &clock{now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}, log: &lines{}}
	op.Clock = w.clock.Now
	o := Options{
		Name: "test", Issuer: op.Issuer, ClientID: op.Client.ID, ClientSecret: op.Client.Secret,
		Transport: transport, Clock: w.clock.Now, Logger: slog.New(slog.NewTextHandler(w.log, nil)),
	}
	o.Keys = func(url string) KeySet { return keysBy(t, transport, o.Clock)(url) }
	for _, c := range change {
		c(&o)
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	w.Provider = p
	return w
}

// keysBy are the keys as the gateway keeps them.
func keysBy(tb testing.TB, transport http.RoundTripper, clock func() time.Time) func(string) KeySet {
	return func(jwksURL string) KeySet {
		source, err := jwt.NewSource(jwt.SourceOptions{Issuer: jwksURL, JWKSURL: jwksURL, Client: &http.Client{Transport: transport}, Clock: clock})
		if err != nil {
			tb.Error(err)
		}
		tb.Cleanup(source.Close)
		return keySet{source}
	}
}

type keySet struct{ *jwt.Source }

func (k keySet) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	payload, err := k.Signed(ctx, raw)
	if err != nil && !errors.Is(err, identity.ErrUnknown) {
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return payload, err
}

// begin starts a login and lets the browser go there and come back.
func (w *world) start(r Request) (*Pending, url.Values) {
	w.t.Helper()
	if r.RedirectURL == "" {
		r.RedirectURL = testCallback
	}
	address, pending, err := w.Begin(w.t.Context(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return pending, w.visit(address)
}

// visit is the browser: it follows an address to the provider, and returns the
// parameters with which it is sent back.
func (w *world) visit(address string) url.Values {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	res, err := w.op.Transport().RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	back, err := res.Location()
	if err != nil {
		w.t.Fatalf("status %d, no redirect", res.StatusCode)
	}
	return back.Query()
}

// login goes all the way.
func (w *world) login(r Request) (*Login, error) {
	w.t.Helper()
	pending, callback := w.start(r)
	return w.Finish(w.t.Context(), pending, callback)
}

// in is a login that must work.
func (w *world) in() *Login {
	w.t.Helper()
	l, err := w.login(Request{})
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

// out is a login that must fail as not to be believed, for the reason given.
func (w *world) out(reason string) {
	w.t.Helper()
	l, err := w.login(Request{})
	w.refused(l, err, ErrInvalid, reason)
}

func (w *world) refused(l *Login, err, kind error, reason string) {
	w.t.Helper()
	if l != nil || !errors.Is(err, kind) || !strings.Contains(err.Error(), reason) {
		w.t.Errorf("login %+v, error %v; want a %q for %q", l, err, kind, reason)
	}
	if kind != ErrUnavailable && errors.Is(err, ErrUnavailable) {
		w.t.Errorf("%v: it says that nothing is known", err)
	}
	noSecrets(w.t, fmt.Sprint(err), w.log.String())
}

// noSecrets looks for what must never be in a message.
func noSecrets(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		for _, secret := range []string{"eyJ", "\"secret\"", "secret:", "<script", "\x1b"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in %q", secret, text)
			}
		}
	}
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// lines is a log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lines) count(s string) int { return strings.Count(l.String(), s) }

// knob changes one thing at the provider.
func (w *world) knob(change func(*optest.Knobs)) { w.op.Set(change) }

type object = map[string]any

// null is a member that is there and null.
var null = json.RawMessage("null")

func b64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
