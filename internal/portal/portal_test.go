package portal

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gatehouse-proxy/gatehouse/internal/audit"
)

func TestNew(t *testing.T) {
	h := newHouse(t)
	good := h.portal.o
	for name, spoil := range map[string]func(*Options){
		"no users":                     func(o *Options) { o.Users = nil },
		"no sessions":                  func(o *Options) { o.Sessions = nil },
		"no audit trail":               func(o *Options) { o.Audit = (*audit.Trail)(nil) },
		"passwords without a verifier": func(o *Options) { o.Verifier = nil },
		"a base with a slash at the end": func(o *Options) {
			o.Base = "/_gatehouse/"
		},
		"a base without a slash": func(o *Options) { o.Base = "_gatehouse" },
	} {
		o := good
		spoil(&o)
		if p, err := New(o); err == nil || p != nil {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}

func TestRoutes(t *testing.T) {
	h := newHouse(t)
	h.person("alice")
	b := h.browser()
	b.signIn("alice", secret)
	t.Run("unknown pages", func(t *testing.T) {
		for _, path := range []string{"/_gatehouse/register", "/_gatehouse/reset", "/_gatehouse/nothing", "/_gatehouse/login/", "/_gatehouse/assets/portal.css", "/elsewhere"} {
			w := b.get(path)
			wantStatus(t, w, http.StatusNotFound)
			wantWords(t, w, "There is no such page")
		}
	})
	t.Run("methods that are not allowed", func(t *testing.T) {
		for path, allow := range map[string]string{
			"/_gatehouse/login": "GET, HEAD, POST", "/_gatehouse/logout": "GET, HEAD, POST", "/_gatehouse/account": "GET, HEAD",
			"/_gatehouse/whoami": "GET, HEAD", "/_gatehouse/account/password": "POST",
			"/_gatehouse/account/keys": "GET, HEAD, POST", "/_gatehouse/account/keys/rotate": "GET, HEAD, POST", "/_gatehouse" + h.portal.css.path: "GET, HEAD",
		} {
			for _, method := range []string{"DELETE", "PUT", "OPTIONS", "get"} {
				w := b.do(httptest.NewRequest(method, site+path, nil))
				if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != allow {
					t.Errorf("%s %s: %d, Allow %q, want %q", method, path, w.Code, w.Header().Get("Allow"), allow)
				}
			}
		}
	})
	t.Run("HEAD is GET without the body", func(t *testing.T) {
		for _, path := range []string{"/login", "/logout", "/account", "/whoami", h.portal.css.path, "/nothing"} {
			get := b.get("/_gatehouse" + path)
			head := b.do(httptest.NewRequest(http.MethodHead, site+"/_gatehouse"+path, nil))
			if head.Code != get.Code || head.Body.Len() != 0 || head.Header().Get("Content-Length") != get.Header().Get("Content-Length") {
				t.Errorf("%s: %d with %d bytes and Content-Length %s; GET: %d and %s", path, head.Code, head.Body.Len(),
					head.Header().Get("Content-Length"), get.Code, get.Header().Get("Content-Length"))
			}
		}
	})
	t.Run("the bare base leads to the account", func(t *testing.T) {
		wantRedirect(t, b.get("/_gatehouse"), "/_gatehouse/account")
		wantRedirect(t, b.get("/_gatehouse/"), "/_gatehouse/account")
	})
	t.Run("assets", func(t *testing.T) {
		page := b.get("/_gatehouse/login").Body.String()
		for _, a := range []asset{h.portal.css, h.portal.icon} {
			if !strings.Contains(page, `"/_gatehouse`+a.path+`"`) {
				t.Errorf("the page does not use %s", a.path)
			}
			w := b.get("/_gatehouse" + a.path)
			wantStatus(t, w, http.StatusOK)
			if got := w.Header().Get("Cache-Control"); got != "public, max-age=31536000, immutable" {
				t.Errorf("Cache-Control %q", got)
			}
			if got := w.Header().Get("Content-Type"); got != a.kind {
				t.Errorf("Content-Type %q", got)
			}
		}
	})
}

func TestEveryAnswerIsHardened(t *testing.T) {
	h := newHouse(t)
	h.person("alice")
	b := h.browser()
	b.get("/_gatehouse/login")
	for name, w := range map[string]*httptest.ResponseRecorder{
		"page":     b.get("/_gatehouse/login"),
		"error":    b.post("/_gatehouse/login", "username", "x", "password", "y"),
		"404":      b.get("/_gatehouse/nothing"),
		"redirect": b.get("/_gatehouse/account"),
		"json":     b.get("/_gatehouse/whoami"),
		"asset":    b.get("/_gatehouse" + h.portal.css.path),
	} {
		for header, want := range map[string]string{
			"Content-Security-Policy": policy, "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
			"Referrer-Policy": "strict-origin", "Cross-Origin-Opener-Policy": "same-origin",
		} {
			if got := w.Header().Get(header); got != want {
				t.Errorf("%s: %s is %q, want %q", name, header, got, want)
			}
		}
		if name != "asset" && w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be stored", name)
		}
	}
	for _, forbidden := range []string{"unsafe", "script", "*", "data:", "http"} {
		if strings.Contains(policy, forbidden) {
			t.Errorf("the CSP contains %q", forbidden)
		}
	}
}

// Forms of other sites do nothing, whichever way the browser tells.
func TestCrossSiteForms(t *testing.T) {
	paths := []string{"/login", "/logout", "/setup", "/account/password", "/account/sessions/revoke", "/account/sessions/revoke-others",
		"/account/keys", "/account/keys/rotate", "/account/keys/revoke"}
	for name, set := range map[string]func(http.Header){
		"cross-site":             func(h http.Header) { h.Set("Sec-Fetch-Site", "cross-site") },
		"same-site":              func(h http.Header) { h.Set("Sec-Fetch-Site", "same-site") },
		"origin elsewhere":       func(h http.Header) { h.Del("Sec-Fetch-Site"); h.Set("Origin", "https://evil.example") },
		"origin null":            func(h http.Header) { h.Del("Sec-Fetch-Site"); h.Set("Origin", "null") },
		"origin of a sub-domain": func(h http.Header) { h.Del("Sec-Fetch-Site"); h.Set("Origin", "https://x.app.example.com") },
		"origin of another port": func(h http.Header) { h.Del("Sec-Fetch-Site"); h.Set("Origin", "https://app.example.com:8443") },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.person("alice")
			b, elsewhere := h.browser(), h.browser()
			b.signIn("alice", secret)
			elsewhere.signIn("alice", secret)
			set(b.header)
			for _, path := range paths {
				w := b.post("/_gatehouse"+path, "username", "alice", "password", secret)
				wantStatus(t, w, http.StatusForbidden)
				wantWords(t, w, "This form came from another site")
				w = b.json("/_gatehouse"+path, `{}`)
				if w.Code != http.StatusForbidden || w.Header().Get("Content-Type") != "application/problem+json" {
					t.Errorf("%s as JSON: %d %s", path, w.Code, w.Header().Get("Content-Type"))
				}
			}
			if b.signedIn() != "alice" || elsewhere.signedIn() != "alice" {
				t.Error("a session was ended from outside")
			}
		})
	}
}

// A picture on another site can make a browser GET our pages.
func TestGETChangesNothing(t *testing.T) {
	h := newHouse(t)
	token, err := h.setup.Issue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := h.browser()
	b.get("/_gatehouse/setup?token=" + token)
	if err := h.setup.Valid(t.Context(), token); err != nil {
		t.Errorf("looking at the set-up page used the link up: %v", err)
	}
	h.person("alice")
	b.signIn("alice", secret)
	for _, path := range []string{"logout", "logout?confirm=1", "login?step=switch", "account?done=others", "account/sessions/revoke-others"} {
		b.get("/_gatehouse/" + path)
		if b.signedIn() != "alice" {
			t.Fatalf("GET %s ended the session", path)
		}
	}
}

func TestLogout(t *testing.T) {
	h := newHouse(t)
	h.person("alice")
	b := h.browser()
	b.signIn("alice", secret)
	wantWords(t, b.get("/_gatehouse/logout"), "signed in as alice", "Sign out")
	stolen := b.token()
	w := b.post("/_gatehouse/logout")
	wantRedirect(t, w, "/_gatehouse/login?done=logout")
	if b.token() != "" {
		t.Error("the cookie is still there")
	}
	if _, err := h.sessions.Identify(t.Context(), stolen); err == nil {
		t.Error("the session lives on: log-out ended nothing")
	}
	wantWords(t, b.get("/_gatehouse/login?done=logout"), "You are signed out.")
	wantWords(t, b.get("/_gatehouse/logout"), "You are not signed in")
	wantRedirect(t, b.post("/_gatehouse/logout"), "/_gatehouse/login?done=logout")
	wantStatus(t, b.json("/_gatehouse/logout", `{}`), http.StatusOK)
}

func TestWhoami(t *testing.T) {
	h := newHouse(t)
	h.person("alice", withEverything)
	b := h.browser()
	w := b.get("/_gatehouse/whoami")
	wantStatus(t, w, http.StatusUnauthorized)
	if w.Header().Get("Content-Type") != "application/problem+json" || w.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("headers %v", w.Header())
	}
	b.signIn("alice", secret)
	w = b.get("/_gatehouse/whoami")
	wantStatus(t, w, http.StatusOK)
	for _, part := range []string{
		`"authenticated":true`, `"method":"session"`, `"username":"alice"`, `"email":"alice@example.com"`, `"email_verified":false`,
		`"roles":["admin"]`, `"groups":["finance"]`, `"scopes":["reports:read","reports:write"]`, `"amr":["pwd"]`, `"auth_time":1795435200`, `"provider":"local"`,
	} {
		if !strings.Contains(w.Body.String(), part) {
			t.Errorf("no %s in %s", part, w.Body)
		}
	}
	if strings.Contains(w.Body.String(), b.token()) {
		t.Error("the cookie's value is in the answer")
	}
	b.cookies["__Host-gatehouse"] = strings.Repeat("x", 43)
	w = b.get("/_gatehouse/whoami")
	wantStatus(t, w, http.StatusUnauthorized)
	if _, kept := b.cookies["__Host-gatehouse"]; kept {
		t.Error("a cookie that stands for nothing was not cleared")
	}
}
