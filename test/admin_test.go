package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

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
