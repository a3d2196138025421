package portal

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
	"github.com/gatehouse-proxy/gatehouse/internal/oidc/optest"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// nobody checks that an answer signed nobody in and leads nowhere.
func nobody(t *testing.T, b *browser, w *httptest.ResponseRecorder, status int, text ...string) {
	t.Helper()
	wantStatus(t, w, status)
	wantWords(t, w, text...)
	if w.Header().Get("Location") != "" || w.Header().Get("Refresh") != "" {
		t.Error("it leads on")
	}
	if _, given := b.cookies[host.Session()]; given {
		t.Error("a session was given")
	}
	checkHTML(t, w.Body.String())
}

func TestTwoTabs(t *testing.T) {
	h := newSSO(t, "acme", "globex")
	b := h.browser()
	one := b.there(b.start("acme", "return_to", "/one"), "acme")
	two := b.there(b.start("globex", "return_to", "/two"), "globex")
	three := b.there(b.start("acme", "return_to", "/three"), "acme")
	wantRedirect(t, b.come(two), "/two")
	wantRedirect(t, b.come(one), "/one")
	wantRedirect(t, b.come(three), "/three")
	id, err := h.sessions.Identify(t.Context(), b.token())
	if err != nil || len(h.logins) != 3 || id.Provider != "acme" {
		t.Errorf("counted %v, signed in as %+v, %v", h.logins, id, err)
	}
}

// The other instance knows nothing but the store and the key.
func TestCallbackOnAnotherInstance(t *testing.T) {
	h := newSSO(t, "acme")
	b := h.browser()
	callback := b.there(b.start("acme", "return_to", "/x"), "acme")
	h.portal = h.elsewhere()
	wantRedirect(t, b.come(callback), "/x")
}

func TestCallbackTwice(t *testing.T) {
	t.Run("after it has worked it leads where it should", func(t *testing.T) {
		h := newSSO(t, "acme")
		b := h.browser()
		callback := b.there(b.start("acme", "return_to", "/x"), "acme")
		wantRedirect(t, b.come(callback), "/x")
		before := b.token()
		wantRedirect(t, b.come(callback), "/x")
		if b.token() != before || len(h.places["acme"].op.Asked("token")) != 1 {
			t.Error("it counted twice")
		}
	})
	t.Run("without the session it begins once more, and ends where it should", func(t *testing.T) {
		h := newSSO(t, "acme")
		b := h.browser()
		callback := b.there(b.start("acme", "return_to", "/x"), "acme")
		cookies := b.cookies[b.logins()[0]]
		name := b.logins()[0]
		wantRedirect(t, b.come(callback), "/x")
		delete(b.cookies, host.Session())
		delete(b.cookies, host.Arrival())
		b.cookies[name] = cookies // as a request has that was sent before the first was answered
		w := b.come(callback)
		again := b.there(w, "acme")
		if len(h.places["acme"].op.Asked("token")) != 1 {
			t.Error("a code was sent twice")
		}
		wantRedirect(t, b.come(again), "/x")
		if b.signedIn() != "alice" {
			t.Error("nobody is signed in")
		}
	})
	t.Run("it begins anew only once", func(t *testing.T) {
		h := newSSO(t, "acme")
		b := h.browser()
		h.knob("acme", func(k *optest.Knobs) { k.AuthorizeError = "access_denied" })
		callback := b.there(b.start("acme", "return_to", "/x"), "acme")
		nobody(t, b, b.come(callback), http.StatusForbidden)
		again := b.there(b.come(callback), "acme")
		nobody(t, b, b.come(again), http.StatusForbidden)
		nobody(t, b, b.come(again), http.StatusBadRequest, "This sign-in is over")
	})
	t.Run("at once, on two instances", func(t *testing.T) {
		h := newSSO(t, "acme")
		b := h.browser()
		callback := b.there(b.start("acme", "return_to", "/x"), "acme")
		portals := []*Portal{h.portal, h.elsewhere()}
		var answers sync.Map
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				r := httptest.NewRequest(http.MethodGet, site+callback, nil)
				for name, value := range b.cookies {
					r.Header.Add("Cookie", name+"="+value)
				}
				w := httptest.NewRecorder()
				portals[i%2].ServeHTTP(w, r, caller)
				answers.Store(i, w.Header().Get("Location"))
			})
		}
		all.Wait()
		in, anew := 0, 0
		for _, location := range answers.Range {
			switch to := location.(string); {
			case to == "/x":
				in++
			case strings.HasPrefix(to, "https://acme.example/authorize?"):
				anew++
			}
		}
		if in != 1 || anew != 7 || len(h.places["acme"].op.Asked("token")) != 1 {
			t.Errorf("%d were signed in, %d began anew; the code was sent %d times", in, anew, len(h.places["acme"].op.Asked("token")))
		}
	})
}

func TestCallbackTooLate(t *testing.T) {
	h := newSSO(t, "acme")
	b := h.browser()
	callback := b.there(b.start("acme", "return_to", "/x"), "acme")
	h.later(pendingLife + time.Second)
	w := b.come(callback)
	if len(h.places["acme"].op.Asked("token")) != 0 {
		t.Error("an old code was sent")
	}
	wantRedirect(t, b.come(b.there(w, "acme")), "/x")
	b = h.browser()
	callback = b.there(b.start("acme", "return_to", "/x"), "acme")
	h.later(pendingLife)
	wantRedirect(t, b.come(callback), "/x")
}

// Without the cookie there is a page, and never a second redirect.
func TestCallbackWithoutItsCookie(t *testing.T) {
	h := newSSO(t, "acme")
	b := h.browser()
	callback := b.there(b.start("acme", "return_to", "/x"), "acme")
	name := b.logins()[0]
	b.drop("gatehouse")
	w := b.come(callback)
	nobody(t, b, w, http.StatusBadRequest, "did not begin in this browser", name, "blocked", "http://", "host name", "clock", "app.example.com")
	if !slices.Equal(h.logins, []string{"oidc lost"}) || h.audited(`"action":"login_failed"`) != 1 || h.audited(`"provider":"acme"}`) != 1 {
		t.Errorf("counted %v: %s", h.logins, h.log)
	}
	if !strings.Contains(w.Body.String(), `href="/_gatehouse/login?choose=1"`) {
		t.Error("the way on leads straight back to the provider")
	}
	t.Run("whoever is signed in stays so", func(t *testing.T) {
		b.signInAt("acme")
		w := b.come(callback)
		wantStatus(t, w, http.StatusBadRequest)
		wantWords(t, w, "You are signed in as before", "Continue")
		if b.signedIn() != "alice" {
			t.Error("the session is gone")
		}
	})
	t.Run("as JSON", func(t *testing.T) {
		r := httptest.NewRequest(http.MethodGet, site+callback, nil)
		r.Header.Set("Accept", "application/json")
		w := h.browser().do(r)
		if w.Code != http.StatusBadRequest || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%d %s", w.Code, w.Header().Get("Content-Type"))
		}
	})
	t.Run("with nonsense for a state", func(t *testing.T) {
		for _, query := range []string{"", "?state=", "?state=x&state=y", "?code=x", "?state=" + strings.Repeat("x", 5000), "?state=%00%ff<script>", "?;state=x"} {
			b := h.browser()
			nobody(t, b, b.come("/_gatehouse/oidc/acme/callback"+query), http.StatusBadRequest, "__Host-gatehouse-login-")
		}
	})
}

// A browser that keeps the cookies of a login and not the session is not led in a
// circle.
func TestCircle(t *testing.T) {
	h := newSSO(t, "acme")
	t.Run("the session cookie is not kept", func(t *testing.T) {
		b := h.browser()
		b.signInAt("acme", "return_to", "/x")
		delete(b.cookies, host.Session())
		for name, w := range map[string]*httptest.ResponseRecorder{
			"login page": b.get("/_gatehouse/login?return_to=/x"),
			"by a link":  b.start("acme", "return_to", "/x"),
		} {
			t.Run(name, func(t *testing.T) {
				nobody(t, b, w, http.StatusBadRequest, "Your browser did not keep our cookie", "__Host-gatehouse ", "blocked", "clock")
				if !strings.Contains(w.Body.String(), `href="/_gatehouse/login?return_to=%2Fx&amp;choose=1"`) {
					t.Errorf("the way on: %s", w.Body)
				}
			})
		}
		w := b.get("/_gatehouse/login?return_to=/x&choose=1")
		wantStatus(t, w, http.StatusOK)
		b.header.Set("Sec-Fetch-User", "?1")
		to(t, b.start("acme"), "acme") // who presses the button may try
	})
	t.Run("it is no circle when the session has ended", func(t *testing.T) {
		b := h.browser()
		b.signInAt("acme")
		if _, err := h.sessions.RevokeUser(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		to(t, b.get("/_gatehouse/login"), "acme") // with the dead cookie
		to(t, b.get("/_gatehouse/login"), "acme") // without it
	})
	t.Run("sessions that are over at once", func(t *testing.T) {
		b := h.browser()
		for range maxArrivals {
			wantRedirect(t, b.come(b.there(b.get("/_gatehouse/login?return_to=/x"), "acme")), "/x")
			if _, err := h.sessions.RevokeUser(t.Context(), "alice"); err != nil {
				t.Fatal(err)
			}
		}
		nobody(t, b, b.get("/_gatehouse/login?return_to=/x"), http.StatusBadRequest, "Signing in does not help", "common store")
	})
	t.Run("sessions that another cookie of the same name hides", func(t *testing.T) {
		b := h.browser()
		for range maxArrivals {
			b.cookies[host.Session()] = "planted"
			wantRedirect(t, b.come(b.there(b.get("/_gatehouse/login?return_to=/x"), "acme")), "/x")
		}
		b.cookies[host.Session()] = "planted"
		w := b.get("/_gatehouse/login?return_to=/x")
		wantStatus(t, w, http.StatusBadRequest)
		wantWords(t, w, "Signing in does not help")
	})
	t.Run("it is no circle after a logout", func(t *testing.T) {
		b := h.browser()
		b.signInAt("acme")
		b.post("/_gatehouse/logout")
		if _, left := b.cookies[host.Arrival()]; left {
			t.Error("the mark is still there")
		}
		to(t, b.get("/_gatehouse/login"), "acme")
	})
	t.Run("the mark does not outlive a minute", func(t *testing.T) {
		if c := findCookie(t, h.browser().signInAt("acme"), host.Arrival()); c.MaxAge != 60 || !c.HttpOnly || !c.Secure {
			t.Errorf("%+v", c)
		}
	})
	t.Run("a made-up mark does nothing", func(t *testing.T) {
		for _, value := range []string{"x", "x.1", ".", "ses_x.99", "ses_x.-1", "ses_x.3x", strings.Repeat("x", 600) + ".1", "<script>.1"} {
			b := h.browser()
			b.cookies[host.Arrival()] = value
			to(t, b.get("/_gatehouse/login"), "acme")
		}
	})
	t.Run("cookie_domain", func(t *testing.T) {
		h := newSSOWith(t, []string{"acme"}, nil, func(o *Options) { o.Cookies.Domain = "example.org" })
		b := h.browser()
		b.signInAt("acme")
		b.drop("__Secure-")
		wantWords(t, b.get("/_gatehouse/login"), "__Secure-gatehouse ", "cookie_domain is example.org")
	})
}

func TestProviderSaysNo(t *testing.T) {
	for name, c := range map[string]struct {
		code, description string
		status            int
		result            string
		text              []string
	}{
		"access_denied": {"access_denied", "Not in the group <b>finance</b>", 403, "denied",
			[]string{"You were not signed in", "Acme did not sign you in. You did not agree there", "The reason given", "Not in the group bfinance/b", "Try again", "Use another account", "Other ways to sign in"}},
		"login_required":          {"login_required", "", 403, "denied", []string{"You have to sign in there yourself"}},
		"invalid_scope":           {"invalid_scope", "x", 502, "denied", []string{"does not accept requests from here"}},
		"unknown":                 {"<script>alert(1)</script>", "", 502, "denied", []string{"You were not signed in"}},
		"server_error":            {"server_error", "", 503, "unavailable", []string{"Acme gave no answer that could be used"}},
		"temporarily_unavailable": {"temporarily_unavailable", "", 503, "unavailable", []string{"Nothing is wrong with your account"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newSSO(t, "acme", "globex")
			b := h.browser()
			h.knob("acme", func(k *optest.Knobs) { k.AuthorizeError, k.AuthorizeDescription = c.code, c.description })
			w := b.come(b.there(b.start("acme", "return_to", "/x"), "acme"))
			nobody(t, b, w, c.status, c.text...)
			if (c.status == 503) != (w.Header().Get("Retry-After") == "30") {
				t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
			}
			if !slices.Equal(h.logins, []string{"oidc " + c.result}) || h.audited(`"action":"login_failed","outcome":"failure"`) != 1 || h.audited(`"provider":"acme"}`) != 1 {
				t.Errorf("counted %v: %s", h.logins, h.log)
			}
			if !strings.Contains(w.Body.String(), `href="/_gatehouse/oidc/acme/login?return_to=%2Fx"`) {
				t.Error("to try again forgets the way back")
			}
			if len(h.places["acme"].op.Asked("token")) != 0 {
				t.Error("a code was sent")
			}
		})
	}
	t.Run("at the token endpoint", func(t *testing.T) {
		h := newSSO(t, "acme")
		b := h.browser()
		h.knob("acme", func(k *optest.Knobs) { k.TokenError = "invalid_grant" })
		nobody(t, b, b.come(b.there(b.start("acme"), "acme")), 403, "took too long")
		h.knob("acme", func(k *optest.Knobs) { k.TokenError = "invalid_client" })
		nobody(t, b, b.come(b.there(b.start("acme"), "acme")), 502, "Tell whoever runs this site")
	})
	t.Run("garbage", func(t *testing.T) {
		h := newSSO(t, "acme")
		b := h.browser()
		h.knob("acme", func(k *optest.Knobs) {
			k.Broken = map[string]http.HandlerFunc{"token": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<h1>oops")) }}
		})
		w := b.come(b.there(b.start("acme"), "acme"))
		nobody(t, b, w, 503, "Acme gave no answer")
		if strings.Contains(w.Body.String(), "oops") {
			t.Error("the answer is reflected")
		}
	})
	t.Run("an answer that fails a check", func(t *testing.T) {
		h := newSSO(t, "acme")
		b := h.browser()
		h.knob("acme", func(k *optest.Knobs) { k.BadSignature = true })
		nobody(t, b, b.come(b.there(b.start("acme"), "acme")), 400, "does not fit the sign-in that you began")
		if !slices.Equal(h.logins, []string{"oidc invalid"}) {
			t.Errorf("counted %v", h.logins)
		}
	})
	t.Run("as JSON", func(t *testing.T) {
		h := newSSO(t, "acme")
		b := h.browser()
		h.knob("acme", func(k *optest.Knobs) { k.AuthorizeError, k.AuthorizeDescription = "access_denied", "because" })
		r := httptest.NewRequest(http.MethodGet, site+b.there(b.start("acme"), "acme"), nil)
		r.Header.Set("Accept", "application/json")
		w := b.do(r)
		if w.Code != 403 || w.Header().Get("Content-Type") != "application/problem+json" || !strings.Contains(w.Body.String(), `"reasons":["because"]`) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func TestWhoMayNotComeIn(t *testing.T) {
	t.Run("an address of another domain", func(t *testing.T) {
		h := newSSOWith(t, []string{"acme"}, func(w *Provider) { w.Entry.AllowEmailDomain = []string{"acme.com"} })
		b := h.browser()
		w := b.come(b.there(b.start("acme"), "acme"))
		nobody(t, b, w, http.StatusForbidden, "You may not sign in with this account", "confirmed e-mail address")
		if !slices.Equal(h.logins, []string{"oidc denied"}) || h.audited("no verified address at an allowed domain") != 1 {
			t.Errorf("counted %v: %s", h.logins, h.log)
		}
	})
	t.Run("who is disabled", func(t *testing.T) {
		h := newSSO(t, "acme")
		b := h.browser()
		b.signInAt("acme")
		if _, err := h.users.Update(t.Context(), "alice", func(u *user.User) error { u.Disabled = true; return nil }); err != nil {
			t.Fatal(err)
		}
		b.drop("gatehouse")
		nobody(t, b, b.come(b.there(b.start("acme"), "acme")), http.StatusForbidden, "You cannot sign in here with this account")
		if h.audited(`"action":"login_failed","outcome":"failure","subject":"alice"`) != 1 {
			t.Errorf("the audit trail: %s", h.log)
		}
	})
}

func TestProviderDownAtTheStart(t *testing.T) {
	h := newBoth(t, "acme")
	down := error(oidc.ErrUnavailable)
	h.places["acme"].broken.Store(&down)
	b := h.browser()
	w := b.start("acme", "return_to", "/x")
	nobody(t, b, w, http.StatusServiceUnavailable, "Acme does not answer", "Try again", "Other ways to sign in")
	if w.Header().Get("Retry-After") != "30" || len(b.logins()) != 0 {
		t.Errorf("Retry-After %q, cookies %v", w.Header().Get("Retry-After"), b.logins())
	}
	odd := errors.New("something else: secret-host")
	h.places["acme"].broken.Store(&odd)
	w = b.start("acme")
	nobody(t, b, w, http.StatusServiceUnavailable)
	if strings.Contains(w.Body.String(), "secret-host") || !strings.Contains(h.log.String(), "secret-host") {
		t.Error("the cause is not in the log alone")
	}
}

func TestFaultsWhileSigningInAtAProvider(t *testing.T) {
	h := newSSO(t, "acme")
	t.Run("the memory of states", func(t *testing.T) {
		b := h.browser()
		callback := b.there(b.start("acme", "return_to", "/x"), "acme")
		h.store.breakWhen(func(op, key string) bool { return strings.HasPrefix(key, "once/") })
		w := b.come(callback)
		nobody(t, b, w, http.StatusServiceUnavailable)
		if strings.Contains(w.Body.String(), "secret-host") || len(h.places["acme"].op.Asked("token")) != 0 {
			t.Error("the code was sent although nobody knows whether it was before")
		}
		h.store.breakWhen(nil)
		wantRedirect(t, b.come(callback), "/x")
	})
	t.Run("the store", func(t *testing.T) {
		for _, prefix := range []string{"user/", "federated/", "session/"} {
			b := h.browser()
			callback := b.there(b.start("acme", "return_to", "/x"), "acme")
			h.store.breakWhen(func(_, key string) bool { return strings.HasPrefix(key, prefix) })
			w := b.come(callback)
			h.store.breakWhen(nil)
			nobody(t, b, w, http.StatusServiceUnavailable)
		}
	})
	t.Run("the key", func(t *testing.T) {
		for name, key := range map[string]func(context.Context) ([32]byte, error){
			"unknown": func(context.Context) ([32]byte, error) { return [32]byte{}, errors.New("secret-host") },
			"empty":   func(context.Context) ([32]byte, error) { return [32]byte{}, nil },
		} {
			t.Run(name, func(t *testing.T) {
				b := h.browser()
				callback := b.there(b.start("acme"), "acme")
				o := h.portal.o
				o.StateKey = key
				p, err := New(o)
				if err != nil {
					t.Fatal(err)
				}
				was := h.portal
				h.portal = p
				defer func() { h.portal = was }()
				nobody(t, b, b.come(callback), http.StatusServiceUnavailable)
				nobody(t, h.browser(), h.browser().start("acme"), http.StatusServiceUnavailable)
			})
		}
	})
	t.Run("another key", func(t *testing.T) {
		b := h.browser()
		callback := b.there(b.start("acme"), "acme")
		h.stateKey[0]++
		nobody(t, b, b.come(callback), http.StatusBadRequest, "did not begin in this browser")
	})
}

func TestPlainHTTPSignsNobodyInAtAProvider(t *testing.T) {
	h := newSSO(t, "acme")
	b := h.browser()
	callback := b.there(b.start("acme"), "acme")
	b.site = "http://app.example.com"
	for _, w := range []*httptest.ResponseRecorder{b.start("acme"), b.come(callback), b.post("/_gatehouse/oidc/acme/login"), b.get("/_gatehouse/login")} {
		wantStatus(t, w, http.StatusForbidden)
		wantWords(t, w, "Signing in needs HTTPS")
	}
	local := h.browser()
	local.site = "http://localhost:8080"
	w := local.start("acme")
	if got := to(t, w, "acme").Query().Get("redirect_uri"); got != "http://localhost:8080/_gatehouse/oidc/acme/callback" {
		t.Errorf("redirect_uri %q", got)
	}
	wantRedirect(t, local.come(local.there(w, "acme")), "/")
}

func TestProviderRoutes(t *testing.T) {
	h := newSSO(t, "acme")
	b := h.browser()
	for path, allow := range map[string]string{
		"login": "GET, POST", "callback": "GET", "backchannel-logout": "POST", "frontchannel-logout": "GET",
	} {
		for _, method := range []string{"DELETE", "HEAD", "OPTIONS"} {
			w := b.do(httptest.NewRequest(method, site+"/_gatehouse/oidc/acme/"+path, nil))
			if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != allow {
				t.Errorf("%s %s: %d, Allow %q", method, path, w.Code, w.Header().Get("Allow"))
			}
		}
	}
	for _, path := range []string{"oidc", "oidc/", "oidc/acme", "oidc/acme/", "oidc/other/login", "oidc/acme/login/", "oidc/ACME/login", "oidc//login", "oidc/acme/x"} {
		wantStatus(t, b.get("/_gatehouse/"+path), http.StatusNotFound)
	}
	wantStatus(t, newHouse(t).browser().get("/_gatehouse/oidc/acme/login"), http.StatusNotFound)
	wantStatus(t, b.post("/_gatehouse/login", "username", "alice", "password", "x"), http.StatusNotFound)
}

func TestNewWithProviders(t *testing.T) {
	good := newSSO(t, "acme").portal.o
	for name, spoil := range map[string]func(*Options){
		"no federation":   func(o *Options) { o.Federation = nil },
		"no key":          func(o *Options) { o.StateKey = nil },
		"no memory":       func(o *Options) { o.Once = nil },
		"no client":       func(o *Options) { o.Providers[0].Client = nil },
		"no name":         func(o *Options) { o.Providers[0].Entry.Name = "" },
		"a path for name": func(o *Options) { o.Providers[0].Entry.Name = "a/b" },
		"local":           func(o *Options) { o.Providers[0].Entry.Name = "local" },
		"twice":           func(o *Options) { o.Providers = append(o.Providers, o.Providers[0]) },
	} {
		o := good
		o.Providers = slices.Clone(o.Providers)
		spoil(&o)
		if p, err := New(o); err == nil || p != nil {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	o := good
	o.Providers = slices.Clone(o.Providers)
	o.Providers[0].Label = ""
	p, err := New(o)
	if err != nil || p.o.Providers[0].Label != "Sign in with acme" || o.Providers[0].Label != "" {
		t.Errorf("the label: %v", err)
	}
}

// query changes parameters of a callback.
func query(t *testing.T, callback string, change func(url.Values)) string {
	t.Helper()
	path, raw, _ := strings.Cut(callback, "?")
	q, err := url.ParseQuery(raw)
	if err != nil {
		t.Fatal(err)
	}
	change(q)
	return path + "?" + q.Encode()
}
