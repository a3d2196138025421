package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// TestForwardedHeaders lies about where a request comes from. Nobody is named in
// trusted_proxies, so nothing of it is believed.
func TestForwardedHeaders(t *testing.T) {
	lies := []string{
		"X-Forwarded-For", "203.0.113.9", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "internal.example.com",
		"X-Real-Ip", "203.0.113.9", "Forwarded", "for=203.0.113.9;proto=https;host=internal.example.com",
	}
	s := newServer(t, "gatehouse {\n policies {DIR}/rego\n}", "gatehouse {\n policy seen\n}")
	s.writeFile("rego/seen.rego", `package seen

default allow := false

allow if input.request.client_ip == "203.0.113.9"

allow if input.request.scheme == "https"

allow if input.request.host != "localhost"

deny contains sprintf("%v %v %v %v", [r.scheme, r.host, r.port, r.client_ip]) if {
	r := input.request
	r.path == "/show"
}
`)
	s.start()
	s.addUser("alice")
	alice := newVisitor(t)
	alice.login(s, "alice")

	t.Run("the policy sees what is true", func(t *testing.T) {
		want := fmt.Sprintf("http localhost %d 127.0.0.1", s.port)
		for _, header := range [][]string{nil, lies} {
			var doc struct{ Reasons []string }
			a := alice.get(s.url("/show"), header...)
			if err := json.Unmarshal([]byte(a.body), &doc); err != nil || a.StatusCode != http.StatusForbidden || !slices.Equal(doc.Reasons, []string{want}) {
				t.Errorf("with %v: %d %q, want %q", header, a.StatusCode, doc.Reasons, want)
			}
			if a := newVisitor(t).get(s.url("/x"), header...); a.StatusCode != http.StatusUnauthorized {
				t.Errorf("nobody, with %v: %d", header, a.StatusCode)
			}
		}
	})
	t.Run("the way to the login stays on this host", func(t *testing.T) {
		a := newVisitor(t).get(s.url("/x"), append([]string{"Sec-Fetch-Mode", "navigate", "Accept", "text/html"}, lies...)...)
		if to := a.Header.Get("Location"); a.StatusCode != http.StatusFound || strings.Contains(to, "internal") || !strings.HasPrefix(to, "/_gatehouse/login") && !strings.HasPrefix(to, s.url("/_gatehouse/login")) {
			t.Errorf("%d %s", a.StatusCode, to)
		}
	})
	t.Run("a made-up address is no new allowance of guesses", func(t *testing.T) {
		v, refused := newVisitor(t), 0
		for i := range 40 {
			a := v.do(http.MethodPost, s.url("/_gatehouse/login"), url.Values{"username": {fmt.Sprintf("nobody%d", i)}, "password": {"a guess of many words"}},
				"X-Forwarded-For", fmt.Sprintf("198.51.100.%d", i), "X-Real-Ip", fmt.Sprintf("198.51.100.%d", i), "Accept", "application/json")
			if a.StatusCode == http.StatusTooManyRequests {
				refused++
				if a.Header.Get("RateLimit") != `"tries";r=0;t=`+a.Header.Get("Retry-After") || !strings.Contains(a.body, "Try again in ") {
					t.Errorf("%v %s", a.Header, a.body)
				}
			}
		}
		if refused == 0 {
			t.Error("40 guesses from one address, none throttled")
		}
	})
	t.Run("plain HTTP on a name stays plain HTTP", func(t *testing.T) {
		plain := newServerFile(t, "{\n admin localhost:{ADMIN}\n persist_config off\n}\nhttp://:{PORT} {\n bind 127.0.0.1\n gatehouse\n respond ok\n}").start()
		plain.addUser("alice")
		for _, host := range []string{"app.example.com", "localhost.example.com"} {
			body := url.Values{"username": {"alice"}, "password": {aPassword}}.Encode()
			got := rawRequest(t, plain, fmt.Sprintf("POST /_gatehouse/login HTTP/1.1\r\nHost: %s\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: localhost\r\nConnection: close\r\n"+
				"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", host, len(body), body))
			if !strings.HasPrefix(got, "HTTP/1.1 403") || strings.Contains(got, "Set-Cookie") {
				t.Errorf("%s: %s", host, got)
			}
		}
	})
}

// TestAdminAPIIsNotPublic asks for the admin API where everybody can ask.
func TestAdminAPIIsNotPublic(t *testing.T) {
	s := newServer(t, "", "gatehouse").start()
	s.addUser("alice", "--role", "admin")
	alice, nobody := newVisitor(t), newVisitor(t)
	alice.login(s, "alice")
	for _, path := range []string{"/gatehouse/users", "/gatehouse/users/alice", "/gatehouse/sessions", "/gatehouse/status", "/config/", "/_gatehouse/users"} {
		for _, method := range []string{http.MethodGet, http.MethodDelete, http.MethodPost} {
			want := http.StatusUnauthorized
			if strings.HasPrefix(path, "/_gatehouse/") {
				want = http.StatusNotFound // the portal's, and no page of it
			}
			if a := nobody.do(method, s.url(path), nil); a.StatusCode != want {
				t.Errorf("%s %s: %d, want %d", method, path, a.StatusCode, want)
			}
		}
		if path == "/_gatehouse/users" {
			continue
		}
		// For who is signed in it is a path of the app like any other.
		if got := alice.get(s.url(path)).echo(t); got.Path != path {
			t.Errorf("%s: the app saw %q", path, got.Path)
		}
	}
	if got := s.mustCLI("", "user", "list"); !strings.Contains(got, "alice") {
		t.Errorf("alice is gone:\n%s", got)
	}
}
