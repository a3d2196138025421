package test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestTraces looks for our spans where Caddy's tracing directive sends its own.
func TestTraces(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "console")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50") // ms
	s := newServer(t, "", "tracing {\n span site\n }\n gatehouse").start()
	s.addUser("alice")
	v := newVisitor(t)
	v.login(s, "alice")
	v.get(s.url("/x")).echo(t)
	for _, name := range []string{"gatehouse.authenticate", "gatehouse.decide", "gatehouse.store"} {
		eventually(t, 10*time.Second, "a span "+name+" within that of its request", func() bool {
			spans := s.spans()
			for _, one := range spans {
				if one.Name != name {
					continue
				}
				top := one
				for above, ok := spans[top.Parent.SpanID]; ok; above, ok = spans[top.Parent.SpanID] {
					top = above
				}
				if top.Name == "site" && top.SpanContext.TraceID == one.SpanContext.TraceID {
					return true
				}
			}
			return false
		})
	}
}

// span is one as OpenTelemetry's console exporter writes it.
type span struct {
	Name        string
	SpanContext struct{ TraceID, SpanID string }
	Parent      struct{ SpanID string }
}

// spans are those in the log, by their id.
func (s *server) spans() map[string]span {
	found := map[string]span{}
	for line := range strings.Lines(s.log.String()) {
		var one span
		if json.Unmarshal([]byte(line), &one) == nil && one.SpanContext.SpanID != "" {
			found[one.SpanContext.SpanID] = one
		}
	}
	return found
}

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

// TestReloadKeepsSessions also changes how long sessions live.
func TestReloadKeepsSessions(t *testing.T) {
	s := newServer(t, "gatehouse {\n sessions {\n lifetime 2h\n }\n}", "gatehouse").start()
	s.addUser("alice")
	v := newVisitor(t)
	v.login(s, "alice")
	before := s.sessions("alice")
	reload := func(change func(string) string) {
		t.Helper()
		s.writeConfig(change(mustRead(t, s.dir+"/Caddyfile")))
		if out, err := s.caddy("", "reload", "--config", "Caddyfile", "--address", fmt.Sprintf("localhost:%d", s.admin)); err != nil {
			t.Fatal(err, out)
		}
	}
	reload(func(c string) string {
		return strings.Replace(c, "bind 127.0.0.1", "bind 127.0.0.1\n\theader X-Again 1", 1)
	})
	a := v.get(s.url("/x"))
	a.echo(t)
	if after := s.sessions("alice"); a.Header.Get("X-Again") != "1" || len(after) != 1 || after[0].ID != before[0].ID {
		t.Fatalf("X-Again %q, sessions %+v, were %+v", a.Header.Get("X-Again"), after, before)
	}
	// Tighter limits hold for sessions that are there; looser ones give nothing.
	reload(func(c string) string { return strings.Replace(c, "lifetime 2h", "lifetime 10m", 1) })
	v.get(s.url("/x")).echo(t)
	if end := v.whoamiEnd(s); end > 10*time.Minute {
		t.Errorf("the session lives for %s more, though sessions last 10m now", end)
	}
	eventually(t, 5*time.Second, "an audit line config_loaded for each of 3 configurations", func() bool {
		return strings.Count(s.log.String(), "config_loaded") == 3
	})
	s.waitLog(`gatehouse\.audit.*"action":\s*"config_loaded".*"outcome":\s*"success".*"actor":\s*"gatehouse".*"store":\s*"bolt".*"gates":\s*1`, time.Second)
}

// adminSession is what these tests read of a session in the admin API.
type adminSession struct {
	ID       string    `json:"id"`
	Username string    `json:"username"`
	Expires  time.Time `json:"expires"`
}

func (s *server) sessions(name string) []adminSession {
	s.t.Helper()
	var page struct{ Sessions []adminSession }
	a := s.api(http.MethodGet, "/sessions?user="+name, "")
	if err := json.Unmarshal([]byte(a.body), &page); err != nil || a.StatusCode != http.StatusOK {
		s.t.Fatalf("%d %v %s", a.StatusCode, err, a.body)
	}
	return page.Sessions
}

// whoamiEnd is how long the session lives on at most, by the account page.
func (v *visitor) whoamiEnd(s *server) time.Duration {
	v.t.Helper()
	var page struct{ Sessions []adminSession }
	a := v.get(s.url("/_gatehouse/account"), "Accept", "application/json")
	if err := json.Unmarshal([]byte(a.body), &page); err != nil || len(page.Sessions) != 1 {
		v.t.Fatalf("%d %v %s", a.StatusCode, err, a.body)
	}
	return time.Until(page.Sessions[0].Expires)
}

// api calls the admin API below /gatehouse.
func (s *server) api(method, path, body string) answer {
	s.t.Helper()
	req, err := http.NewRequest(method, fmt.Sprintf("http://localhost:%d/gatehouse%s", s.admin, path), strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{resp, string(text)}
}

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

// TestAdminAPI asks the admin API as a program does.
func TestAdminAPI(t *testing.T) {
	s := newServer(t, "", "gatehouse").start()
	var mu sync.Mutex
	var heard strings.Builder
	call := func(method, path, body string, want int) answer {
		t.Helper()
		a := s.api(method, path, body)
		mu.Lock()
		defer mu.Unlock()
		heard.WriteString(a.body)
		if a.StatusCode != want {
			t.Errorf("%s %s %s: %d, want %d: %s", method, path, body, a.StatusCode, want, a.body)
		}
		if want >= 400 {
			var doc struct{ Error string }
			if err := json.Unmarshal([]byte(a.body), &doc); err != nil || doc.Error == "" || !strings.HasPrefix(a.Header.Get("Content-Type"), "application/json") {
				t.Errorf("%s %s: no error as Caddy writes them: %v %q", method, path, a.Header, a.body)
			}
		}
		return a
	}
	person := func(name string) string { return fmt.Sprintf(`{"username": %q, "password": %q}`, name, aPassword) }
	added := call("POST", "/users", person("Alice"), 201)
	if !strings.Contains(added.body, `"username":"alice"`) || added.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v %s", added.Header, added.body)
	}

	t.Run("refused", func(t *testing.T) {
		for _, c := range []struct {
			method, path, body string
			want               int
			says               string
		}{
			{"POST", "/users", `{"username": "bob", "password": "short"}`, 400, "15"},
			{"POST", "/users", `{"username": "bob", "password": "passwordpassword"}`, 400, "common"},
			{"POST", "/users", `{"username": "b/b", "password": "` + aPassword + `"}`, 400, "username"},
			{"POST", "/users", `{"username": "bob", "pasword": "` + aPassword + `"}`, 400, "pasword"},
			{"POST", "/users", `{"username": "bob"`, 400, "JSON"},
			{"POST", "/users", person("bob") + "x", 400, "JSON"},
			{"POST", "/users", `["bob"]`, 400, "JSON"},
			{"POST", "/users", `{"username": "` + strings.Repeat("b", 70<<10) + `"}`, 400, "JSON"},
			{"POST", "/users", person("ALICE"), 409, "alice"},
			{"GET", "/users/nobody", "", 404, "no"},
			{"PATCH", "/users/nobody", `{"name": "N"}`, 404, "no"},
			{"PATCH", "/users/alice", `{"roles": ["a,b"]}`, 400, "comma"},
			{"PATCH", "/users/alice", `{"role": ["a"]}`, 400, "role"},
			{"PATCH", "/users/alice", `{"email": "nonsense"}`, 400, "mail"},
			{"DELETE", "/users/nobody", "", 404, "no"},
			{"POST", "/users/nobody/disable", "", 404, "no"},
			{"POST", "/users/nobody/password", `{"password": "` + aPassword + `"}`, 404, "no"},
			{"POST", "/users/alice/password", `{"password": "short"}`, 400, "15"},
			{"GET", "/users?limit=0", "", 400, "limit"},
			{"GET", "/users?limit=1001", "", 400, "limit"},
			{"GET", "/sessions?limit=x", "", 400, "limit"},
			{"DELETE", "/sessions/ses_nothing", "", 404, "no"},
			{"DELETE", "/sessions", "", 400, "user"},
			{"DELETE", "/sessions?user=nobody", "", 404, "no"},
			{"GET", "/policy/no.such.package", "", 404, "no.such.package"},
			{"PUT", "/users", "{}", 405, "GET, HEAD, POST"},
			{"POST", "/users/alice", "{}", 405, "PATCH"},
			{"DELETE", "/status", "", 405, "GET"},
			{"GET", "/users/alice/password", "", 405, "POST"},
			{"GET", "/nothing", "", 404, "/gatehouse/nothing"},
			{"GET", "/users/alice/nothing", "", 404, "/gatehouse/users/alice/nothing"},
		} {
			a := call(c.method, c.path, c.body, c.want)
			if !strings.Contains(a.body, c.says) {
				t.Errorf("%s %s: %q is not in %s", c.method, c.path, c.says, a.body)
			}
			if c.want == 405 && !strings.Contains(a.Header.Get("Allow"), c.says) {
				t.Errorf("%s %s: Allow %q", c.method, c.path, a.Header.Get("Allow"))
			}
		}
		if a := call("GET", "/users", "", 200); strings.Count(a.body, `"username"`) != 1 {
			t.Errorf("something was changed: %s", a.body)
		}
	})

	t.Run("what was refused is in the audit trail", func(t *testing.T) {
		line := func(action, outcome, subject, reason string) {
			t.Helper()
			pattern := `gatehouse\.audit.*"action":\s*"` + action + `".*"outcome":\s*"` + outcome + `".*"actor":\s*"admin_api"`
			if subject != "" {
				pattern += `.*"subject":\s*"` + subject + `"`
			}
			if reason != "" {
				pattern += `.*"reason":\s*"[^"]*` + reason
			}
			s.waitLog(pattern, 5*time.Second)
		}
		line("user_added", "success", "alice", "")
		line("user_added", "failure", "bob", "15")
		line("user_added", "failure", "alice", "(exists|taken|already)")
		line("user_added", "failure", "", "reading the request's JSON")
		line("user_changed", "failure", "nobody", "no")
		line("user_deleted", "failure", "nobody", "no")
		line("user_disabled", "failure", "nobody", "no")
		line("password_changed", "failure", "alice", "15")
		line("session_revoked", "failure", "nobody", "no")
		if strings.Contains(s.log.String(), aPassword) {
			t.Error("the log holds a password")
		}
	})

	t.Run("a revoked session is told by its owner and its id", func(t *testing.T) {
		v := newVisitor(t)
		v.login(s, "alice")
		id := s.sessions("alice")[0].ID
		call("DELETE", "/sessions/"+id, "", 204)
		if a := v.get(s.url("/")); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("still in: %d", a.StatusCode)
		}
		s.waitLog(`"action":\s*"session_revoked".*"outcome":\s*"success".*"actor":\s*"admin_api".*"subject":\s*"alice".*"session_id":\s*"`+id+`"`, 5*time.Second)
		s.waitLog(`"action":\s*"session_revoked".*"outcome":\s*"failure".*"session_id":\s*"ses_nothing"`, 5*time.Second)
	})

	t.Run("page by page", func(t *testing.T) {
		const many = 104
		work := make(chan int)
		var adding sync.WaitGroup
		for range 3 {
			adding.Go(func() {
				for i := range work {
					call("POST", "/users", person(fmt.Sprintf("user%03d", i)), 201)
				}
			})
		}
		for i := range many {
			work <- i
		}
		close(work)
		adding.Wait()
		for _, limit := range []string{"", "&limit=1", "&limit=7", "&limit=105", "&limit=1000"} {
			var names []string
			pages := 0
			for after := ""; ; {
				var page struct {
					Users []struct{ Username string }
					Next  string
				}
				a := call("GET", "/users?after="+url.QueryEscape(after)+limit, "", 200)
				if err := json.Unmarshal([]byte(a.body), &page); err != nil {
					t.Fatal(err)
				}
				pages++
				for _, u := range page.Users {
					names = append(names, u.Username)
				}
				if after = page.Next; after == "" {
					break
				}
			}
			if len(names) != many+1 || !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != many+1 {
				t.Errorf("limit %q: %d names on %d pages: %v", limit, len(names), pages, names)
			}
			if limit == "" && pages != 2 {
				t.Errorf("%d pages of 100", pages)
			}
		}
		if got := s.mustCLI("", "--json", "user", "list"); strings.Count(got, `"username"`) != many+1 {
			t.Errorf("the command lists %d users", strings.Count(got, `"username"`))
		}
	})

	call("GET", "/status", "", 200)
	call("GET", "/policy", "", 200)
	call("GET", "/users/alice", "", 200)
	for _, secret := range []string{"argon2", "password_hash", "$v=19", aPassword} {
		if strings.Contains(heard.String(), secret) {
			t.Errorf("an answer holds %q", secret)
		}
	}
}

// TestNobodyLeft deletes the last user: the house can be set up again without a
// restart.
func TestNobodyLeft(t *testing.T) {
	s := newServer(t, "", "gatehouse").start()
	link := regexp.MustCompile(`http://localhost:\d+(/_gatehouse/setup\?token=[\w-]+)`)
	s.waitLog(link.String(), 10*time.Second)
	s.addUser("alice")
	s.addUser("bob")
	s.mustCLI("", "user", "delete", "alice")
	if got := len(link.FindAllString(s.log.String(), -1)); got != 1 {
		t.Fatalf("%d links while bob is there", got)
	}
	s.mustCLI("", "user", "delete", "bob")
	for _, command := range [][]string{{"status"}, {"user", "list"}} {
		if got := s.mustCLI("", command...); !strings.Contains(got, "open the set-up link in the log") || !strings.Contains(got, "restart") {
			t.Errorf("%v: %s", command, got)
		}
	}
	var links [][]string
	eventually(t, 5*time.Second, "a second link", func() bool {
		links = link.FindAllStringSubmatch(s.log.String(), -1)
		return len(links) == 2
	})
	token := links[1][1][strings.Index(links[1][1], "token=")+len("token="):]
	v := newVisitor(t)
	v.navigate(s.url(links[1][1]))
	a := v.do(http.MethodPost, s.url("/_gatehouse/setup"), url.Values{"token": {token}, "username": {"carol"}, "password": {aPassword}, "repeat": {aPassword}})
	if a.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	v.get(s.url("/")).echo(t)

	t.Run("with passwords off nobody is promised a link", func(t *testing.T) {
		off := newServer(t, "gatehouse {\n passwords off\n}", "gatehouse {\n allow anyone\n}").start()
		for _, command := range [][]string{{"status"}, {"user", "list"}} {
			if got := off.mustCLI("", command...); strings.Contains(got, "link") || !strings.Contains(got, "passwords are off") {
				t.Errorf("%v: %s", command, got)
			}
		}
	})
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
