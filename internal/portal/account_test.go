package portal

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

func withEverything(n *user.New) {
	n.Name, n.Email, n.Roles, n.Groups = "Alice Example", "alice@example.com", []string{"admin"}, []string{"finance"}
	n.Scopes = []string{"reports:read", "reports:write"}
}

func TestAccount(t *testing.T) {
	t.Run("nobody", func(t *testing.T) {
		h := newHouse(t)
		b := h.browser()
		wantRedirect(t, b.get("/_gatehouse/account"), "/_gatehouse/login?return_to=%2F_gatehouse%2Faccount")
		for _, path := range []string{"password", "sessions/revoke", "sessions/revoke-others", "keys", "keys/rotate", "keys/revoke"} {
			wantStatus(t, b.post("/_gatehouse/account/"+path), http.StatusUnauthorized)
		}
		b.header.Set("Accept", "application/json")
		wantStatus(t, b.get("/_gatehouse/account"), http.StatusUnauthorized)
	})
	t.Run("with everything", func(t *testing.T) {
		h := newHouse(t)
		h.person("alice", withEverything)
		b := h.browser()
		b.signIn("alice", secret)
		w := b.get("/_gatehouse/account")
		wantStatus(t, w, http.StatusOK)
		wantWords(t, w, "alice", "Alice Example", "alice@example.com", "not verified", "admin", "finance", "reports:write", "Firefox on Linux",
			"203.0.113.9", "23 Nov 2026, 12:00 UTC", "this one", "You are signed in nowhere else.")
	})
	t.Run("with nothing", func(t *testing.T) {
		h := newHouse(t)
		h.person("bob")
		b := h.browser()
		b.signIn("bob", secret)
		wantWords(t, b.get("/_gatehouse/account"), "No name given", "No e-mail address", "No roles", "No groups")
	})
	t.Run("as JSON", func(t *testing.T) {
		h := newHouse(t)
		h.person("alice", withEverything)
		b := h.browser()
		b.signIn("alice", secret)
		b.header.Set("Accept", "application/json")
		w := b.get("/_gatehouse/account")
		for _, part := range []string{`"username":"alice"`, `"sessions":[{"id":"ses_`, `"current":true`} {
			if !strings.Contains(w.Body.String(), part) {
				t.Errorf("no %s in %s", part, w.Body)
			}
		}
		if strings.Contains(w.Body.String(), "argon2") || strings.Contains(w.Body.String(), b.token()) {
			t.Error("a secret is in the answer")
		}
	})
}

func TestChangingThePassword(t *testing.T) {
	h := newHouse(t)
	h.person("alice")
	b, elsewhere := h.browser(), h.browser()
	b.signIn("alice", secret)
	elsewhere.signIn("alice", secret)
	before := b.token()

	t.Run("without the current one", func(t *testing.T) {
		w := b.post("/_gatehouse/account/password", "current", "wrong", "password", other, "repeat", other)
		wantStatus(t, w, http.StatusUnprocessableEntity)
		wantWords(t, w, "Error: Your account", "That is not your password.")
		wantStatus(t, b.json("/_gatehouse/account/password", `{"password":"`+other+`"}`), http.StatusUnprocessableEntity)
	})
	t.Run("to a weak, the same or a mistyped one", func(t *testing.T) {
		for says, f := range map[string][]string{
			"use at least 15":                  {"password", "short"},
			"It is the password that you have": {"password", secret},
			"not the same":                     {"password", other, "repeat", other + "x"},
		} {
			w := b.post("/_gatehouse/account/password", append(f, "current", secret)...)
			wantStatus(t, w, http.StatusUnprocessableEntity)
			wantWords(t, w, says)
			if strings.Contains(w.Body.String(), secret) {
				t.Error("the password is in the page")
			}
		}
	})
	t.Run("guessing the current one is throttled", func(t *testing.T) {
		g := newHouse(t)
		g.person("alice")
		thief := g.browser()
		thief.signIn("alice", secret)
		code := 0
		for range 40 {
			code = thief.post("/_gatehouse/account/password", "current", "guess", "password", other).Code
		}
		if code != http.StatusTooManyRequests {
			t.Errorf("status %d after 40 guesses", code)
		}
	})
	if b.token() != before || elsewhere.signedIn() != "alice" {
		t.Fatal("a refused change touched a session")
	}
	t.Run("to a good one", func(t *testing.T) {
		w := b.post("/_gatehouse/account/password", "username", "alice", "current", secret, "password", other, "repeat", other)
		wantRedirect(t, w, "/_gatehouse/account?done=password")
		wantWords(t, b.get("/_gatehouse/account?done=password"), "Your password is changed.", "You are signed in nowhere else.")
		if b.token() == before || b.signedIn() != "alice" {
			t.Error("no new session here")
		}
		if elsewhere.signedIn() != "" {
			t.Error("the other browser is still signed in")
		}
		old := h.browser()
		old.get("/_gatehouse/login")
		wantStatus(t, old.post("/_gatehouse/login", "username", "alice", "password", secret), http.StatusUnauthorized)
		old.signIn("alice", other)
	})
	t.Run("by JSON", func(t *testing.T) {
		wantStatus(t, b.json("/_gatehouse/account/password", `{"current":"`+other+`","password":"`+secret+`"}`), http.StatusNoContent)
	})
}

// An administrator's reset, in the moment after the old password was checked,
// must not be undone by somebody who knows only the old one.
func TestChangeRacingReset(t *testing.T) {
	h := newHouse(t)
	h.person("alice")
	b := h.browser()
	b.signIn("alice", secret)
	id, err := h.sessions.Identify(t.Context(), b.token())
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	v := &visit{w: w, r: b.form("/_gatehouse/account/password")}
	proved, err := h.portal.prove(v, "alice", secret)
	if err != nil {
		t.Fatal(err)
	}
	reset, err := h.users.Update(t.Context(), "alice", func(u *user.User) error { u.PasswordHash = "reset"; return nil })
	if err != nil {
		t.Fatal(err)
	}
	h.portal.setPassword(v, id, proved, other)
	wantStatus(t, w, http.StatusConflict)
	wantWords(t, w, "Your account has just changed")
	if now, err := h.users.Get(t.Context(), "alice"); err != nil || now.PasswordHash != reset.PasswordHash {
		t.Errorf("the reset was undone: %v", err)
	}
}

func TestRevoking(t *testing.T) {
	h := newHouse(t)
	h.person("alice")
	h.person("mallory")
	b, phone, tablet, thief := h.browser(), h.browser(), h.browser(), h.browser()
	for who, name := range map[*browser]string{b: "alice", phone: "alice", tablet: "alice", thief: "mallory"} {
		who.signIn(name, secret)
	}
	id := func(b *browser) string {
		who, err := h.sessions.Identify(t.Context(), b.token())
		if err != nil {
			t.Fatal(err)
		}
		return who.SessionID
	}
	t.Run("another person's session", func(t *testing.T) {
		w := thief.post("/_gatehouse/account/sessions/revoke", "id", id(phone))
		wantStatus(t, w, http.StatusNotFound)
		none := thief.post("/_gatehouse/account/sessions/revoke", "id", "ses_nothing")
		if w.Body.String() != none.Body.String() {
			t.Error("the answer tells that the session exists")
		}
		if phone.signedIn() != "alice" {
			t.Error("mallory signed alice out")
		}
	})
	t.Run("one of several", func(t *testing.T) {
		wantRedirect(t, b.post("/_gatehouse/account/sessions/revoke", "id", id(phone)), "/_gatehouse/account?done=revoked")
		if phone.signedIn() != "" || tablet.signedIn() != "alice" || b.signedIn() != "alice" {
			t.Errorf("now signed in: %q %q %q", phone.signedIn(), tablet.signedIn(), b.signedIn())
		}
	})
	t.Run("everywhere else", func(t *testing.T) {
		wantWords(t, b.get("/_gatehouse/account"), "Sign out everywhere else")
		wantRedirect(t, b.post("/_gatehouse/account/sessions/revoke-others"), "/_gatehouse/account?done=others")
		if tablet.signedIn() != "" || b.signedIn() != "alice" || thief.signedIn() != "mallory" {
			t.Errorf("now signed in: %q %q %q", tablet.signedIn(), b.signedIn(), thief.signedIn())
		}
	})
	t.Run("this one", func(t *testing.T) {
		b.post("/_gatehouse/account/sessions/revoke", "id", id(b))
		if b.signedIn() != "" || b.token() != "" {
			t.Error("still signed in")
		}
	})
	for _, action := range []string{"login", "session_revoked"} {
		if !strings.Contains(h.log.String(), action) {
			t.Errorf("no %s in the audit trail", action)
		}
	}
}

func TestDevice(t *testing.T) {
	for agent, want := range map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0":                                                                     "Firefox on Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36":                            "Chrome on Windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0":              "Edge on Windows",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1":    "Safari on iPhone",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/142.0.0.0 Mobile/15E148 Safari/604.1": "Chrome on iPhone",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15":                      "Safari on macOS",
		"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/29.0 Chrome/136.0.0.0 Mobile Safari/537.36":        "Samsung Internet on Android",
		"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36":                             "Chrome on ChromeOS",
		"curl/8.14.1":                            "curl",
		"":                                       "Unknown browser",
		"Mozilla/5.0 (Windows NT 10.0) <script>": "A browser on Windows",
		"<script>alert(1)</script>":              "Unknown browser",
	} {
		if got := device(agent); got != want {
			t.Errorf("%q is %q, want %q", agent, got, want)
		}
	}
}
