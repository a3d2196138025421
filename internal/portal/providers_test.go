package portal

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"

	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/federation"
	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
	"github.com/gatehouse-proxy/gatehouse/internal/oidc/optest"
)

// place is a provider of a house: a real client of one that runs in the test.
type place struct {
	Client
	op     *optest.OP
	down   atomic.Bool // it is known that it does not answer
	begun  atomic.Int64
	broken atomic.Pointer[error] // of Begin
}

func (p *place) Status() (bool, error) {
	if p.down.Load() {
		return false, oidc.ErrUnavailable
	}
	return p.Client.Status()
}

func (p *place) Begin(ctx context.Context, r oidc.Request) (string, *oidc.Pending, error) {
	p.begun.Add(1)
	if err := p.broken.Load(); err != nil {
		return "", nil, *err
	}
	return p.Client.Begin(ctx, r)
}

// withProviders adds providers by name, first to last; the options of each can be
// changed by change.
func withProviders(t testing.TB, h *house, names []string, change func(*Provider)) func(*Options) {
	return func(o *Options) {
		h.places = map[string]*place{}
		h.stateKey = [32]byte{1, 2, 3}
		var entries []federation.Entry
		for _, name := range names {
			op := optest.New("https://" + name + ".example")
			op.Clock = o.Clock
			client, err := oidc.New(oidc.Options{
				ACRValues: h.acr, MaxAge: h.maxAge, Name: name, Issuer: op.Issuer, ClientID: op.Client.ID, ClientSecret: op.Client.Secret, Transport: op.Transport(),
				Clock: o.Clock, Logger: o.Logger,
				Keys: func(at string) oidc.KeySet {
					return gooidc.NewRemoteKeySet(gooidc.ClientContext(context.Background(), &http.Client{Transport: op.Transport()}), at)
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(client.Close)
			if err := client.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			h.places[name] = &place{Client: client, op: op}
			w := Provider{
				Entry: federation.Entry{Name: name}, Label: "Sign in with " + strings.ToUpper(name[:1]) + name[1:],
				Client: h.places[name], Issuer: op.Issuer, MFAValues: []string{"urn:mfa"}, LogoutThere: true,
			}
			if change != nil {
				change(&w)
			}
			entries = append(entries, w.Entry)
			o.Providers = append(o.Providers, w)
		}
		guard := federation.New(h.store, federation.Options{Users: h.users, Sessions: h.sessions, Entries: entries, Clock: o.Clock, Logger: o.Logger})
		t.Cleanup(guard.Close)
		o.Federation = guard
		o.StateKey = func(context.Context) ([32]byte, error) { return h.stateKey, nil }
		o.Once = func(ctx context.Context, key string, ttl time.Duration) (bool, error) {
			return h.store.Create(ctx, "once/"+key, nil, ttl)
		}
	}
}

// newSSO is a house with providers and without passwords.
func newSSO(t *testing.T, names ...string) *house {
	t.Helper()
	return newSSOWith(t, names, nil)
}

func newSSOWith(t *testing.T, names []string, change func(*Provider), more ...func(*Options)) *house {
	t.Helper()
	h := &house{}
	withoutPasswords := func(o *Options) { o.Passwords, o.Verifier, o.Hasher = false, nil, nil }
	h.build(t, append([]func(*Options){withoutPasswords, withProviders(t, h, names, change)}, more...)...)
	return h
}

// newBoth is a house with providers and with passwords.
func newBoth(t *testing.T, names ...string) *house {
	t.Helper()
	h := &house{}
	h.build(t, withProviders(t, h, names, nil))
	return h
}

// knob changes the mistakes and moods of a provider.
func (h *house) knob(name string, change func(*optest.Knobs)) { h.places[name].op.Set(change) }

// to checks that an answer leads to a provider, and returns the address.
func to(t testing.TB, w *httptest.ResponseRecorder, name string) *url.URL {
	t.Helper()
	if w.Code != http.StatusSeeOther && w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, words(w))
	}
	location := w.Header().Get("Location")
	if refresh := w.Header().Get("Refresh"); refresh != "" {
		location = strings.TrimPrefix(refresh, "0; url=")
	}
	u, err := url.Parse(location)
	if err != nil || u.Host != name+".example" {
		t.Fatalf("it leads to %q, not to the provider %s: %s", location, name, words(w))
	}
	return u
}

// there lets the browser go where an answer leads, to a provider, and returns the
// path of the callback that it is sent to.
func (b *browser) there(w *httptest.ResponseRecorder, name string) (callback string) {
	b.h.t.Helper()
	u := to(b.h.t, w, name)
	r, err := http.NewRequestWithContext(b.h.t.Context(), http.MethodGet, u.String(), nil)
	if err != nil {
		b.h.t.Fatal(err)
	}
	res, err := b.h.places[name].op.Transport().RoundTrip(r)
	if err != nil {
		b.h.t.Fatal(err)
	}
	back, err := res.Location()
	if err != nil {
		b.h.t.Fatalf("the provider answered %d, and leads nowhere", res.StatusCode)
	}
	if got := back.Scheme + "://" + back.Host; got != b.site {
		b.h.t.Fatalf("the provider leads to %s", got)
	}
	return back.RequestURI()
}

// start begins a login at a provider.
func (b *browser) start(name string, query ...string) *httptest.ResponseRecorder {
	q := url.Values{}
	for i := 0; i < len(query); i += 2 {
		q.Set(query[i], query[i+1])
	}
	return b.get(b.h.portal.o.Base + "/oidc/" + name + "/login?" + q.Encode())
}

// come comes back from a provider, from another site.
func (b *browser) come(callback string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, b.site+callback, nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	return b.do(r)
}

// signInAt goes all the way.
func (b *browser) signInAt(name string, query ...string) *httptest.ResponseRecorder {
	b.h.t.Helper()
	w := b.come(b.there(b.start(name, query...), name))
	wantStatus(b.h.t, w, http.StatusSeeOther)
	return w
}

// logins are the cookies of logins under way.
func (b *browser) logins() []string {
	var names []string
	for name := range b.cookies {
		if strings.Contains(name, "gatehouse-login-") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// drop loses cookies, as browsers do.
func (b *browser) drop(part string) {
	for name := range b.cookies {
		if strings.Contains(name, part) {
			delete(b.cookies, name)
		}
	}
}

// elsewhere is another instance of the house: a portal of its own over the same
// store.
func (h *house) elsewhere() *Portal {
	h.t.Helper()
	p, err := New(h.portal.o)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(p.Close)
	return p
}

func (h *house) audited(part string) int { return strings.Count(h.log.String(), part) }

var caller = Caller{ClientIP: netip.MustParseAddr("203.0.113.9"), RequestID: "req-1", Site: "app.example.com"}

var host = cookie.Jar{}
