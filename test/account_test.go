package test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestAccountJSON is the account page for programs.
func TestAccountJSON(t *testing.T) {
	s := newServer(t, "", "gatehouse").start()
	s.addUser("alice", "--email", "alice@example.com")
	s.addUser("bob")
	const fresh = "a wholly different sentence"
	post := func(v *visitor, path, body string) answer {
		t.Helper()
		req, err := http.NewRequest(http.MethodPost, s.url("/_gatehouse/"+path), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		for name, value := range v.cookies {
			req.Header.Add("Cookie", name+"="+value)
		}
		resp, err := v.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		for _, c := range resp.Cookies() {
			v.cookies[c.Name] = c.Value
			if c.MaxAge < 0 {
				delete(v.cookies, c.Name)
			}
		}
		return answer{resp, string(text)}
	}
	signIn := func(name, password string) *visitor {
		t.Helper()
		v := newVisitor(t)
		a := post(v, "login", fmt.Sprintf(`{"username": %q, "password": %q, "return_to": "/reports"}`, name, password))
		if a.StatusCode != http.StatusOK || !strings.Contains(a.body, `"return_to":"/reports"`) {
			t.Fatalf("login of %s: %d %s", name, a.StatusCode, a.body)
		}
		return v
	}
	in := func(v *visitor) bool { return v.get(s.url("/x")).StatusCode == http.StatusOK }
	alice, phone, bob := signIn("alice", aPassword), signIn("alice", aPassword), signIn("bob", aPassword)

	t.Run("who I am and where I am signed in", func(t *testing.T) {
		var page struct {
			Username, Email string
			Sessions        []struct {
				ID      string
				Current bool
			}
		}
		a := alice.get(s.url("/_gatehouse/account"), "Accept", "application/json")
		if err := json.Unmarshal([]byte(a.body), &page); err != nil || page.Username != "alice" || page.Email != "alice@example.com" || len(page.Sessions) != 2 {
			t.Fatalf("%d %v %s", a.StatusCode, err, a.body)
		}
		if !page.Sessions[0].Current || page.Sessions[1].Current {
			t.Errorf("which one is this: %s", a.body)
		}
		if strings.Contains(a.body, "argon2") || strings.Contains(a.body, alice.cookies["__Host-gatehouse"]) {
			t.Errorf("a secret is in it: %s", a.body)
		}
	})
	t.Run("nobody", func(t *testing.T) {
		for _, path := range []string{"account/password", "account/sessions/revoke", "account/sessions/revoke-others"} {
			a := post(newVisitor(t), path, `{}`)
			if a.StatusCode != http.StatusUnauthorized || a.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
			}
		}
	})
	t.Run("another person's session is none", func(t *testing.T) {
		id := s.sessions("bob")[0].ID
		if a := post(alice, "account/sessions/revoke", `{"id": "`+id+`"}`); a.StatusCode != http.StatusNotFound || !in(bob) {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	})
	t.Run("end one session", func(t *testing.T) {
		var other string
		for _, one := range s.sessions("alice") {
			if !strings.Contains(alice.get(s.url("/_gatehouse/whoami")).body, one.ID) {
				other = one.ID
			}
		}
		if a := post(alice, "account/sessions/revoke", `{"id": "`+other+`"}`); a.StatusCode != http.StatusNoContent || a.body != "" {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		if in(phone) || !in(alice) {
			t.Errorf("the phone is in: %v, this browser: %v", in(phone), in(alice))
		}
		s.waitLog(`"action":\s*"session_revoked".*"actor":\s*"alice".*"subject":\s*"alice".*"session_id":\s*"`+other, 5*time.Second)
	})
	phone = signIn("alice", aPassword)
	t.Run("a refused new password changes nothing", func(t *testing.T) {
		for body, says := range map[string]string{
			`{"current": "not the password", "password": "` + fresh + `"}`:         "current: ",
			`{"current": "` + aPassword + `", "password": "short"}`:                "password: ",
			`{"current": "` + aPassword + `", "password": "alice@example.com123"}`: "password: ",
		} {
			a := post(alice, "account/password", body)
			var doc struct{ Reasons []string }
			if err := json.Unmarshal([]byte(a.body), &doc); err != nil || a.StatusCode != http.StatusUnprocessableEntity || len(doc.Reasons) != 1 || !strings.HasPrefix(doc.Reasons[0], says) {
				t.Errorf("%s: %d %s", body, a.StatusCode, a.body)
			}
		}
		for _, body := range []string{`{`, `[]`, `{"current": 1}`, `{"pasword": "x"}`} {
			if a := post(alice, "account/password", body); a.StatusCode < 400 || a.StatusCode > 422 {
				t.Errorf("%s: %d %s", body, a.StatusCode, a.body)
			}
		}
		if !in(alice) || !in(phone) {
			t.Error("a session ended")
		}
	})
	t.Run("a new password ends every other session", func(t *testing.T) {
		old := alice.cookies["__Host-gatehouse"]
		if a := post(alice, "account/password", fmt.Sprintf(`{"current": %q, "password": %q}`, aPassword, fresh)); a.StatusCode != http.StatusNoContent {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		if alice.cookies["__Host-gatehouse"] == old || !in(alice) || in(phone) || !in(bob) {
			t.Errorf("same session: %v; in: this browser %v, phone %v, bob %v", alice.cookies["__Host-gatehouse"] == old, in(alice), in(phone), in(bob))
		}
		if a := post(newVisitor(t), "login", fmt.Sprintf(`{"username": "alice", "password": %q}`, aPassword)); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("the old password: %d", a.StatusCode)
		}
		signIn("alice", fresh)
	})
	t.Run("end all others", func(t *testing.T) {
		if a := post(alice, "account/sessions/revoke-others", `{}`); a.StatusCode != http.StatusNoContent || !in(alice) || len(s.sessions("alice")) != 1 {
			t.Errorf("%d %s %v", a.StatusCode, a.body, s.sessions("alice"))
		}
	})
	for _, secret := range []string{aPassword, fresh, "argon2", alice.cookies["__Host-gatehouse"]} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// TestKnownBrowserOverLogins signs in again and again with one browser.
func TestKnownBrowserOverLogins(t *testing.T) {
	s := newServer(t, "", "gatehouse").start()
	s.addUser("alice")
	v := newVisitor(t)
	known := map[string]bool{}
	for range 3 {
		v.login(s, "alice")
		known[v.cookies["__Host-gatehouse-device"]] = true
	}
	if len(known) != 1 || known[""] {
		t.Errorf("the browser was given %d device cookies", len(known))
	}
	stranger := newVisitor(t)
	eventually(t, 60*time.Second, "guesses are throttled", func() bool {
		return stranger.tryLogin(s, "alice", "not the password").StatusCode == http.StatusTooManyRequests
	})
	v.login(s, "alice")
}
