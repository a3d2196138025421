package portal

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
	"github.com/gatehouse-proxy/gatehouse/internal/sso"
)

const (
	auth = "https://auth.example.com"
	one  = "https://one.example"
	two  = "https://two.example"
)

// realm is a portal for many sites: one portal and the sites, over one store.
type realm struct {
	*house // the portal's own
	houses map[string]*house
	codes  *sso.Codes
	sites  *sso.Sites
}

// newRealm makes a portal, and the sites one and two. People sign in with
// passwords, or at the providers that are named.
func newRealm(t *testing.T, providers ...string) *realm {
	t.Helper()
	r := &realm{house: &house{}, houses: map[string]*house{}}
	var change []func(*Options)
	if len(providers) > 0 {
		change = append(change, withProviders(t, r.house, providers, nil), func(o *Options) { o.Passwords, o.Verifier, o.Hasher = false, nil, nil })
	}
	key := func(context.Context) ([32]byte, error) { return [32]byte{4, 5, 6}, nil }
	r.build(t, append(change, func(o *Options) {
		r.codes, r.sites = sso.NewCodes(r.store, o.Clock, nil), sso.NewSites(r.store)
		o.StateKey, o.Root = key, true
		o.SSO = &SSO{Portal: auth, Here: true, Codes: r.codes, Sites: r.sites}
	})...)
	o := r.portal.o
	o.Root, o.Base, o.SSO = false, "/_gatehouse", &SSO{Portal: auth, Codes: r.codes}
	at, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(at.Close)
	r.houses[auth] = r.house
	for _, origin := range []string{one, two} {
		r.houses[origin] = &house{t: t, portal: at, store: r.store, users: r.users, sessions: r.sessions, log: r.log}
	}
	r.announce()
	return r
}

func (r *realm) announce() {
	r.t.Helper()
	if err := r.sites.Announce(r.t.Context(), []string{"one.example", "two.example"}); err != nil {
		r.t.Fatal(err)
	}
}

// later also has the sites say once more that they are there.
func (r *realm) later(d time.Duration) {
	r.house.later(d)
	r.announce()
}

// surfer is one browser: its cookies, for each host, and where it has come to.
type surfer struct {
	r    *realm
	at   map[string]*browser
	url  string
	hops []string
}

func (r *realm) surfer() *surfer {
	s := &surfer{r: r, at: map[string]*browser{}}
	for origin, h := range r.houses {
		b := h.browser()
		b.site = origin
		s.at[origin] = b
	}
	return s
}

func splitURL(t testing.TB, address string) (origin, page string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Scheme + "://" + u.Host, u.RequestURI()
}

// ask makes one request, as one that another site's page leads to.
func (s *surfer) ask(method, address string) *httptest.ResponseRecorder {
	s.r.t.Helper()
	origin, page := splitURL(s.r.t, address)
	b := s.at[origin]
	if b == nil {
		return s.away(address)
	}
	q := httptest.NewRequest(method, origin+page, nil)
	q.Header.Set("Sec-Fetch-Site", "cross-site")
	q.Header.Set("Sec-Fetch-Dest", "document")
	return b.do(q)
}

// away asks a provider.
func (s *surfer) away(address string) *httptest.ResponseRecorder {
	s.r.t.Helper()
	for name, place := range s.r.places {
		if !strings.HasPrefix(address, "https://"+name+".example/") {
			continue
		}
		q, err := http.NewRequestWithContext(s.r.t.Context(), http.MethodGet, address, nil)
		if err != nil {
			s.r.t.Fatal(err)
		}
		res, err := place.op.Transport().RoundTrip(q)
		if err != nil {
			s.r.t.Fatal(err)
		}
		w := httptest.NewRecorder()
		w.Header().Set("Location", res.Header.Get("Location"))
		w.WriteHeader(res.StatusCode)
		return w
	}
	s.r.t.Fatalf("the browser is sent to %s", address)
	return nil
}

// follow goes where an answer leads, up to a page or an app, and returns the last
// answer.
func (s *surfer) follow(w *httptest.ResponseRecorder, from string) *httptest.ResponseRecorder {
	s.r.t.Helper()
	for range 12 {
		to := w.Header().Get("Location")
		if refresh := w.Header().Get("Refresh"); refresh != "" {
			to = strings.TrimPrefix(refresh, "0; url=")
		}
		if to == "" {
			return w
		}
		base, err := url.Parse(from)
		if err != nil {
			s.r.t.Fatal(err)
		}
		next, err := base.Parse(to)
		if err != nil {
			s.r.t.Fatal(err)
		}
		from = next.String()
		s.url = from
		s.hops = append(s.hops, from)
		if origin, page := splitURL(s.r.t, from); s.at[origin] != nil && origin != auth && !strings.HasPrefix(page, "/_gatehouse/") {
			return w // the app
		}
		w = s.ask(http.MethodGet, from)
	}
	s.r.t.Fatalf("the browser goes in a circle: %q", s.hops)
	return nil
}

// open opens an address.
func (s *surfer) open(address string) *httptest.ResponseRecorder {
	s.r.t.Helper()
	s.url, s.hops = address, nil
	return s.follow(s.ask(http.MethodGet, address), address)
}

// enter is how the gate of a site sends people away.
func (s *surfer) enter(site, back, step string) *httptest.ResponseRecorder {
	s.r.t.Helper()
	q := url.Values{"return_to": {back}}
	if step != "" {
		q.Set("step", step)
	}
	return s.open(site + "/_gatehouse/login?" + q.Encode())
}

// fillIn sends the login form of the portal's page that the browser is at.
func (s *surfer) fillIn(name string) *httptest.ResponseRecorder {
	s.r.t.Helper()
	u, err := url.Parse(s.url)
	if err != nil || !strings.HasPrefix(s.url, auth+"/login") {
		s.r.t.Fatalf("it is not at the portal's login page but at %s", s.url)
	}
	fields := []string{"username", name, "password", secret, "return_to", u.Query().Get("return_to")}
	if step := u.Query().Get("step"); step != "" {
		fields = append(fields, "step", step)
	}
	return s.follow(s.at[auth].post("/login", fields...), s.url)
}

// in goes all the way to a site.
func (s *surfer) in(site, name string) {
	s.r.t.Helper()
	s.enter(site, "/reports?x=1", "")
	if strings.HasPrefix(s.url, auth) {
		s.fillIn(name)
	}
	s.wantAt(site + "/reports?x=1")
}

func (s *surfer) wantAt(address string) {
	s.r.t.Helper()
	if s.url != address {
		s.r.t.Fatalf("the browser is at %s, not at %s; on the way %q", s.url, address, s.hops)
	}
}

// who is whoever a site takes the browser for; "" for nobody.
func (s *surfer) who(site string) string {
	s.r.t.Helper()
	w := s.at[site].get(s.r.houses[site].portal.o.Base + "/whoami")
	if w.Code == http.StatusUnauthorized {
		return ""
	}
	wantStatus(s.r.t, w, http.StatusOK)
	_, rest, _ := strings.Cut(w.Body.String(), `"username":"`)
	name, _, _ := strings.Cut(rest, `"`)
	return name
}

// stop is a browser on its way, stopped before it comes back to the site.
func (s *surfer) stop(site string) (callback string) {
	s.r.t.Helper()
	w := s.ask(http.MethodGet, site+"/_gatehouse/login?return_to=%2Freports")
	wantStatus(s.r.t, w, http.StatusSeeOther)
	w = s.ask(http.MethodGet, w.Header().Get("Location"))
	wantStatus(s.r.t, w, http.StatusSeeOther)
	callback = w.Header().Get("Location")
	if !strings.HasPrefix(callback, site+sitePath+"?") {
		s.r.t.Fatalf("the portal leads to %s", callback)
	}
	return callback
}

// begin is the first step of a login at a site, and where it leads.
func (s *surfer) begin(site, step string) (to *url.URL) {
	s.r.t.Helper()
	w := s.ask(http.MethodGet, site+"/_gatehouse/login?return_to=%2Freports&step="+step)
	wantStatus(s.r.t, w, http.StatusSeeOther)
	to, err := url.Parse(w.Header().Get("Location"))
	if err != nil || to.Scheme+"://"+to.Host+to.Path != auth+"/sso" {
		s.r.t.Fatalf("it leads to %s", w.Header().Get("Location"))
	}
	return to
}

// other is a manager of sessions on another instance.
func (r *realm) other() *session.Manager {
	m := session.NewManager(r.store, session.Options{Accounts: r.users, Clock: r.portal.o.Clock})
	r.t.Cleanup(m.Close)
	return m
}

var sessionCookie = cookie.Jar{}.Session()

// wantOnceMore checks that an answer sends the browser to the portal again.
func wantOnceMore(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	if location := w.Header().Get("Location"); w.Code != http.StatusSeeOther || !strings.HasPrefix(location, auth+"/sso?") {
		t.Fatalf("status %d, to %q: %s", w.Code, location, words(w))
	}
}
