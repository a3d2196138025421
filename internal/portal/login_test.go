package portal

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

func TestSigningIn(t *testing.T) {
	t.Run("the right password", func(t *testing.T) {
		h := newHouse(t)
		h.person("alice")
		b := h.browser()
		wantWords(t, b.get("/_gatehouse/login?return_to=%2Freports%3Fyear%3D2026"), "Sign in", "app.example.com")
		w := b.post("/_gatehouse/login", "username", "ALICE", "password", secret, "return_to", "/reports?year=2026")
		wantRedirect(t, w, "/reports?year=2026")
		if b.signedIn() != "alice" {
			t.Errorf("signed in as %q", b.signedIn())
		}
		if u, err := h.users.Get(t.Context(), "alice"); err != nil || u.LastLogin.IsZero() {
			t.Errorf("last login not noted: %v %v", u, err)
		}
		if !slices.Equal(h.logins, []string{"password success"}) {
			t.Errorf("counted %v", h.logins)
		}
		if log := h.log.String(); strings.Contains(log, secret) || strings.Contains(log, b.token()) {
			t.Error("a secret is in the log")
		}
	})
	t.Run("the session cookie", func(t *testing.T) {
		h := newHouse(t)
		h.person("alice")
		for _, remember := range []bool{false, true} {
			b := h.browser()
			b.get("/_gatehouse/login")
			fields := []string{"username", "alice", "password", secret}
			if remember {
				fields = append(fields, "remember", "on")
			}
			c := findCookie(t, b.post("/_gatehouse/login", fields...), "__Host-gatehouse")
			if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
				t.Errorf("attributes: %v", c)
			}
			want := 0
			if remember {
				want = 30 * 24 * 3600
			}
			if c.MaxAge != want {
				t.Errorf("remember %v: Max-Age %d, want %d", remember, c.MaxAge, want)
			}
		}
	})
	t.Run("remember is ignored where it is off", func(t *testing.T) {
		h := newHouse(t, func(o *Options) { o.RememberMe = false })
		h.person("alice")
		b := h.browser()
		if strings.Contains(b.get("/_gatehouse/login").Body.String(), "remember") {
			t.Error("the box is offered")
		}
		w := b.post("/_gatehouse/login", "username", "alice", "password", secret, "remember", "on")
		if c := findCookie(t, w, "__Host-gatehouse"); c.MaxAge != 0 {
			t.Errorf("Max-Age %d", c.MaxAge)
		}
	})
	t.Run("the way back survives a failed try", func(t *testing.T) {
		h := newHouse(t)
		h.person("alice")
		b := h.browser()
		b.get("/_gatehouse/login?return_to=/deep/page")
		w := b.post("/_gatehouse/login", "username", "alice", "password", "no", "return_to", "/deep/page")
		wantStatus(t, w, http.StatusUnauthorized)
		if !strings.Contains(w.Body.String(), `name="return_to" value="/deep/page"`) {
			t.Error("return_to is lost")
		}
		if !strings.Contains(w.Body.String(), `value="alice"`) {
			t.Error("the name has to be typed again")
		}
		if strings.Contains(w.Body.String(), `value="no"`) {
			t.Error("the password is in the page")
		}
		wantWords(t, w, "Error: Sign in", wrong)
	})
	t.Run("somebody who is signed in is not asked", func(t *testing.T) {
		h := newHouse(t)
		h.person("alice")
		b := h.browser()
		b.signIn("alice", secret)
		w := b.get("/_gatehouse/login?return_to=/x")
		wantWords(t, w, "You are signed in as alice", "Continue", "Use another account")
		if strings.Contains(w.Body.String(), `type="password"`) {
			t.Error("the form is shown")
		}
		w = b.get("/_gatehouse/login?return_to=/x&step=switch")
		if !strings.Contains(w.Body.String(), `type="password"`) {
			t.Error("step=switch shows no form")
		}
	})
	t.Run("passwords off", func(t *testing.T) {
		h := newHouse(t, func(o *Options) { o.Passwords, o.Verifier, o.Hasher = false, nil, nil })
		b := h.browser()
		wantWords(t, b.get("/_gatehouse/login"), "No way to sign in is configured")
		w := b.post("/_gatehouse/login", "username", "alice", "password", secret)
		wantStatus(t, w, http.StatusNotFound)
		wantStatus(t, b.json("/_gatehouse/login", `{"username":"a","password":"b"}`), http.StatusNotFound)
	})
}

// A session value from before the login is worth nothing after it.
func TestSessionFixation(t *testing.T) {
	h := newHouse(t)
	h.person("alice")
	h.person("mallory")
	attacker, victim := h.browser(), h.browser()
	attacker.signIn("mallory", secret)
	planted := attacker.token()
	victim.cookies["__Host-gatehouse"] = planted
	victim.get("/_gatehouse/login?step=switch")
	wantRedirect(t, victim.post("/_gatehouse/login", "username", "alice", "password", secret), "/")
	if victim.token() == planted {
		t.Fatal("the planted value was kept")
	}
	if attacker.signedIn() != "" {
		t.Errorf("the planted session is still %q", attacker.signedIn())
	}
	madeUp := strings.Repeat("A", 43)
	victim = h.browser()
	victim.get("/_gatehouse/login")
	victim.cookies["__Host-gatehouse"] = madeUp
	wantRedirect(t, victim.post("/_gatehouse/login", "username", "alice", "password", secret), "/")
	if victim.token() == madeUp {
		t.Error("a value that the browser brought became its session")
	}
}

// Unknown, disabled, without a password and wrong: the same bytes, the same
// headers, the same cookies.
func TestNobodyLearnsWhoExists(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		h := newHouse(t)
		h.person("alice")
		h.person("bobby")
		if _, err := h.users.Update(t.Context(), "bobby", func(u *user.User) error { u.Disabled = true; return nil }); err != nil {
			t.Fatal(err)
		}
		h.person("carol", func(n *user.New) { n.PasswordHash = "" })
		try := func(name, pw string) *httptest.ResponseRecorder {
			b := h.browser()
			b.get("/_gatehouse/login")
			if asJSON {
				return b.json("/_gatehouse/login", `{"username":"`+name+`","password":"`+pw+`"}`)
			}
			return b.post("/_gatehouse/login", "username", name, "password", pw)
		}
		want := try("alice", "wrong")
		wantStatus(t, want, http.StatusUnauthorized)
		if want.Header().Get("WWW-Authenticate") == "" {
			t.Error("401 without a challenge")
		}
		for name, pw := range map[string]string{"nobdy": "wrong", "bobby": secret, "carol": "wrong"} {
			got := try(name, pw)
			if got.Code != want.Code || !maps.EqualFunc(got.Header(), want.Header(), slices.Equal) {
				t.Errorf("%s: %d %v, want %d %v", name, got.Code, got.Header(), want.Code, want.Header())
			}
			if strings.ReplaceAll(got.Body.String(), name, "alice") != want.Body.String() {
				t.Errorf("%s: another body", name)
			}
		}
		if strings.Contains(h.log.String(), "nobdy") {
			t.Error("a name that nobody has is in the log: it may be a password")
		}
	}
}

// An unknown name is throttled like one that exists.
func TestThrottle(t *testing.T) {
	for _, name := range []string{"alice", "nobody"} {
		h := newHouse(t)
		h.person("alice")
		b := h.browser()
		b.get("/_gatehouse/login")
		var w *httptest.ResponseRecorder
		for range 40 {
			if w = b.post("/_gatehouse/login", "username", name, "password", "wrong"); w.Code == http.StatusTooManyRequests {
				break
			}
		}
		wantStatus(t, w, http.StatusTooManyRequests)
		wantWords(t, w, "Too many tries", "You can try again in ")
		if retry := w.Header().Get("Retry-After"); retry == "" || w.Header().Get("RateLimit") != `"tries";r=0;t=`+retry {
			t.Errorf("Retry-After %q, RateLimit %q", retry, w.Header().Get("RateLimit"))
		}
		if !strings.Contains(h.log.String(), "throttled") {
			t.Error("no audit event")
		}
		w = b.json("/_gatehouse/login", `{"username":"`+name+`","password":"wrong"}`)
		wantStatus(t, w, http.StatusTooManyRequests)
		if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
			t.Errorf("Content-Type %q", got)
		}
		var doc struct{ Detail string }
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || !tryAgainIn.MatchString(doc.Detail) || w.Header().Get("RateLimit") == "" {
			t.Errorf("%v: detail %q, RateLimit %q", err, doc.Detail, w.Header().Get("RateLimit"))
		}
	}
}

var tryAgainIn = regexp.MustCompile(`Try again in [1-9]\d* (second|minute)s?\.$`)

// Guesses of strangers leave alone the browser in which alice has signed in.
func TestStrangersCannotLockOut(t *testing.T) {
	h := newHouse(t)
	h.person("alice")
	own, stranger := h.browser(), h.browser()
	own.signIn("alice", secret)
	own.post("/_gatehouse/logout")
	stranger.get("/_gatehouse/login")
	for range 40 {
		stranger.post("/_gatehouse/login", "username", "alice", "password", "guess")
	}
	wantStatus(t, stranger.post("/_gatehouse/login", "username", "alice", "password", secret), http.StatusTooManyRequests)
	own.signIn("alice", secret)
}

// However often alice signs in, her browser is one browser.
func TestKnownBrowserStaysOne(t *testing.T) {
	h := newHouse(t)
	h.person("alice")
	b := h.browser()
	known := ""
	for range 5 {
		b.signIn("alice", secret)
		if now := b.cookies[cookie.Jar{}.Device()]; known != "" && now != known {
			t.Error("the browser was given another token")
		} else {
			known = now
		}
	}
	if found, err := h.store.Scan(t.Context(), "device/", "", 10); err != nil || len(found) != 1 {
		t.Errorf("%d known browsers in the store, %v; want 1", len(found), err)
	}
}

func TestReturnTo(t *testing.T) {
	h := newHouse(t)
	for raw, want := range map[string]string{
		"/":                        "/",
		"/a?b=c&d":                 "/a?b=c&d",
		"/_gatehouse/account":      "/_gatehouse/account",
		"":                         "/",
		"https://evil.example":     "/",
		"//evil.example":           "/",
		"/\\evil.example":          "/",
		"\\\\evil.example":         "/",
		"/%5cevil.example":         "/",
		"/%2fevil.example":         "/",
		"/\t/evil.example":         "/",
		"/.//evil.example":         "/",
		"javascript:alert(1)":      "/",
		"/\r\nSet-Cookie: a=b":     "/",
		"@evil.example":            "/",
		"/_gatehouse/login":        "/",
		"/_gatehouse/logout":       "/",
		"/_gatehouse/setup?x":      "/",
		"/_gatehouse/./login":      "/",
		"/_gatehouse/LOGIN":        "/",
		"/_gatehouse/%6cogin":      "/",
		"/_gatehouse/x/../logout":  "/",
		"/_gatehouse//login":       "/",
		"/_gatehouse/login/?a=b#c": "/",
	} {
		if got := h.portal.returnTo(raw); got != want {
			t.Errorf("returnTo(%q) = %q, want %q", raw, got, want)
		}
	}
	// All the way through, by form, by JSON and in the page.
	h.person("alice")
	b := h.browser()
	w := b.get("/_gatehouse/login?return_to=https://evil.example")
	if strings.Contains(w.Body.String(), "evil") {
		t.Error("the page holds the foreign address")
	}
	wantRedirect(t, b.post("/_gatehouse/login", "username", "alice", "password", secret, "return_to", "//evil.example"), "/")
	w = b.get("/_gatehouse/login?return_to=//evil.example")
	if strings.Contains(w.Body.String(), "evil") {
		t.Error("Continue leads to the foreign address")
	}
	w = b.json("/_gatehouse/login", `{"username":"alice","password":"`+secret+`","return_to":"//evil.example"}`)
	if strings.Contains(w.Body.String(), "evil") {
		t.Error("JSON leads to the foreign address")
	}
}

func TestReauth(t *testing.T) {
	h := newHouse(t)
	h.person("alice")
	h.person("mallory")
	b := h.browser()
	b.signIn("alice", secret)
	before := b.token()
	h.later(30 * time.Minute)
	w := b.get("/_gatehouse/login?step=reauth&return_to=/pay")
	wantWords(t, w, "Confirm that it is you")
	if !strings.Contains(w.Body.String(), `value="alice"`) || !strings.Contains(w.Body.String(), "readonly") {
		t.Error("the name is not fixed")
	}
	w = b.post("/_gatehouse/login", "step", "reauth", "username", "mallory", "password", secret, "return_to", "/pay")
	wantStatus(t, w, http.StatusConflict)
	wantWords(t, w, "This page is for alice")
	wantStatus(t, b.post("/_gatehouse/login", "step", "reauth", "username", "alice", "password", "no"), http.StatusUnauthorized)
	if b.token() != before {
		t.Fatal("a failed proof touched the session")
	}
	wantRedirect(t, b.post("/_gatehouse/login", "step", "reauth", "username", "Alice", "password", secret, "return_to", "/pay"), "/pay")
	id, err := h.sessions.Identify(t.Context(), b.token())
	if err != nil || b.token() == before || id.AuthTime.Unix() != h.now.Load() {
		t.Errorf("no new proof: %v %v", id, err)
	}
	w = h.browser().get("/_gatehouse/login?step=reauth")
	wantWords(t, w, "Sign in")
}

func TestCookiesAreNeeded(t *testing.T) {
	h := newHouse(t)
	h.person("alice")
	t.Run("plain HTTP", func(t *testing.T) {
		b := h.browser()
		b.site = "http://app.example.com"
		for _, w := range []*httptest.ResponseRecorder{
			b.get("/_gatehouse/login"), b.post("/_gatehouse/login", "username", "alice", "password", secret),
		} {
			wantStatus(t, w, http.StatusForbidden)
			wantWords(t, w, "Signing in needs HTTPS")
			if w.Header().Get("Set-Cookie") != "" {
				t.Error("a cookie was set")
			}
		}
	})
	t.Run("plain HTTP on localhost", func(t *testing.T) {
		b := h.browser()
		b.site = "http://localhost:8080"
		b.signIn("alice", secret)
	})
	t.Run("a browser that keeps none", func(t *testing.T) {
		b := h.browser()
		b.get("/_gatehouse/login")
		clear(b.cookies)
		w := b.post("/_gatehouse/login", "username", "alice", "password", secret)
		wantStatus(t, w, http.StatusBadRequest)
		wantWords(t, w, "__Host-gatehouse-check", "blocked")
		if w.Header().Get("Location") != "" || w.Header().Get("Set-Cookie") != "" {
			t.Error("the page leads on")
		}
	})
	t.Run("a program", func(t *testing.T) {
		b := h.browser()
		b.header = http.Header{}
		wantRedirect(t, b.post("/_gatehouse/login", "username", "alice", "password", secret), "/")
	})
}

// A password changed while another login with the old one is under way.
func TestLoginRacingPasswordChange(t *testing.T) {
	h := newHouse(t)
	u := h.person("alice")
	b := h.browser()
	b.get("/_gatehouse/login")
	r := b.form("/_gatehouse/login")
	v := &visit{w: httptest.NewRecorder(), r: r, Caller: Caller{ClientIP: netip.MustParseAddr("203.0.113.9")}}
	proved, err := h.portal.prove(v, "alice", secret)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.users.Update(t.Context(), "alice", func(u *user.User) error { u.PasswordHash = "x" + u.PasswordHash; return nil }); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	v.w = w
	if !h.portal.signIn(v, proved, false) || proved.Epoch != u.Epoch {
		t.Fatal("the test did not reach the race")
	}
	b.cookies["__Host-gatehouse"] = findCookie(t, w, "__Host-gatehouse").Value
	if b.signedIn() != "" {
		t.Error("the old password opened a session that lives")
	}
}

func TestStoreAway(t *testing.T) {
	h := newHouse(t)
	h.person("alice")
	b := h.browser()
	b.signIn("alice", secret)
	token := b.token()
	h.store.breakWhen(func(string, string) bool { return true })
	for _, path := range []string{"login", "logout", "account"} {
		w := b.get("/_gatehouse/" + path)
		wantStatus(t, w, http.StatusServiceUnavailable)
		wantWords(t, w, "Not available right now", "req-1")
		if strings.Contains(w.Body.String(), "secret-host") {
			t.Error("internal error text is on the page")
		}
	}
	wantStatus(t, b.get("/_gatehouse/whoami"), http.StatusServiceUnavailable)
	wantStatus(t, b.post("/_gatehouse/login", "username", "alice", "password", secret), http.StatusServiceUnavailable)
	w := b.post("/_gatehouse/logout")
	wantStatus(t, w, http.StatusServiceUnavailable)
	if w.Header().Get("Set-Cookie") != "" || b.token() != token {
		t.Error("the cookie was cleared though the session lives on")
	}
	if !strings.Contains(h.log.String(), "secret-host") {
		t.Error("the cause is not in the log")
	}
	h.store.breakWhen(nil)
	if b.signedIn() != "alice" {
		t.Error("the session did not come back with the store")
	}
}

func TestLoginSurvivesALostDevice(t *testing.T) {
	h := newHouse(t)
	h.person("alice")
	h.store.breakWhen(func(op, key string) bool { return op == "put" && strings.HasPrefix(key, "device/") })
	b := h.browser()
	b.signIn("alice", secret)
}

func findCookie(t *testing.T, w *httptest.ResponseRecorder, name string) *http.Cookie {
	t.Helper()
	var found *http.Cookie
	for _, c := range w.Result().Cookies() {
		if c.Name == name {
			found = c
		}
	}
	if found == nil {
		t.Fatalf("no cookie %s: %v", name, w.Header()["Set-Cookie"])
	}
	return found
}
