package test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const regoAdmins = `package app

default allow := false

allow if "admin" in input.identity.roles

deny contains "not on this path" if startswith(input.request.path, "/closed/")
`

func TestPolicyFolder(t *testing.T) {
	s := newServer(t, "gatehouse {\n policies {DIR}/rego\n}", "gatehouse {\n policy app\n}")
	s.writeFile("rego/app.rego", regoAdmins)
	s.start()
	s.addUser("alice", "--role", "admin")
	s.addUser("bob")
	alice, bob := newVisitor(t), newVisitor(t)
	alice.login(s, "alice")
	bob.login(s, "bob")

	status := func(v *visitor, path string) int { return v.get(s.url(path)).StatusCode }
	if got := status(alice, "/x"); got != http.StatusOK {
		t.Fatalf("alice: %d", got)
	}
	if got := status(bob, "/x"); got != http.StatusForbidden {
		t.Fatalf("bob: %d", got)
	}
	if a := alice.get(s.url("/closed/x")); a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "not on this path") {
		t.Fatalf("closed: %d %s", a.StatusCode, a.body)
	}

	t.Run("a saved change is in force without a reload", func(t *testing.T) {
		s.writeFile("rego/app.rego", strings.Replace(regoAdmins, `"admin" in input.identity.roles`, "input.identity.authenticated", 1))
		eventually(t, 5*time.Second, "bob may pass", func() bool { return status(bob, "/x") == http.StatusOK })
	})
	t.Run("a data file changes answers too", func(t *testing.T) {
		s.writeFile("rego/app.rego", strings.Replace(regoAdmins, `"admin" in input.identity.roles`, "input.identity.username in data.people", 1))
		s.writeFile("rego/people/data.json", `["bob"]`)
		eventually(t, 5*time.Second, "only bob may pass", func() bool {
			return status(bob, "/x") == http.StatusOK && status(alice, "/x") == http.StatusForbidden
		})
	})
	t.Run("a broken save keeps the last good policy and says so", func(t *testing.T) {
		for _, broken := range []string{"package app\n\nallow if {", "allow := true", "package other\n\nallow := true\n", ""} {
			s.writeFile("rego/app.rego", broken)
			time.Sleep(400 * time.Millisecond)
			if status(bob, "/x") != http.StatusOK || status(alice, "/x") != http.StatusForbidden {
				t.Errorf("after saving %q: bob %d, alice %d", broken, status(bob, "/x"), status(alice, "/x"))
			}
		}
		s.waitLog(`app\.rego:\d+`, 5*time.Second)
		out, err := s.caddy("", "gatehouse", "policy", "check", filepath.Join(s.dir, "rego"))
		if err != nil {
			t.Logf("check of an empty file: %s", out)
		}
		s.writeFile("rego/app.rego", "package app\n\nallow if {")
		if out, err = s.caddy("", "gatehouse", "policy", "check", filepath.Join(s.dir, "rego")); err == nil || !strings.Contains(out, "app.rego:") {
			t.Errorf("policy check does not name the line: %v %s", err, out)
		}
	})
	t.Run("a bad test file is refused as well", func(t *testing.T) {
		s.writeFile("rego/app.rego", regoAdmins)
		eventually(t, 5*time.Second, "the good policy is back", func() bool { return status(alice, "/x") == http.StatusOK })
		s.writeFile("rego/app_test.rego", "package app_test\n\ntest_x if {")
		s.writeFile("rego/app.rego", strings.Replace(regoAdmins, "default allow := false", "default allow := true", 1))
		time.Sleep(400 * time.Millisecond)
		if got := status(bob, "/x"); got != http.StatusForbidden {
			t.Errorf("the set with the bad test was taken: %d", got)
		}
		if err := os.Remove(filepath.Join(s.dir, "rego/app_test.rego")); err != nil {
			t.Fatal(err)
		}
		eventually(t, 5*time.Second, "the set is taken when the bad test is gone", func() bool { return status(bob, "/x") == http.StatusOK })
	})
	t.Run("a policy that burns CPU is a 503", func(t *testing.T) {
		s.writeFile("rego/app.rego", `package app

default allow := false

allow if {
	startswith(input.request.path, "/burn/")
	count([1 | some a in numbers.range(1, 3000); some b in numbers.range(1, 3000); a * b == -1]) == 0
}

allow if input.identity.username == "alice"
`)
		eventually(t, 5*time.Second, "the policy is in force", func() bool { return status(alice, "/x") == http.StatusOK && status(bob, "/x") == http.StatusForbidden })
		if a := bob.get(s.url("/burn/1")); a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
			t.Errorf("%d %v", a.StatusCode, a.Header)
		}
	})
}

func TestPolicyCommands(t *testing.T) {
	s := newServer(t, "", "gatehouse {\n allow role admin\n allow group finance method GET path /reports/*\n deny client_ip 192.0.2.0/24\n}").start()
	shown := s.mustCLI("", "policy", "show")
	for _, want := range []string{"package gatehouse.sites.", "default allow := false", "192.0.2.0/24", `"finance"`} {
		if !strings.Contains(shown, want) {
			t.Errorf("policy show has no %s:\n%s", want, shown)
		}
	}
	// Pasted into a file under a name of its own, it decides the same.
	head, body, _ := strings.Cut(shown, "package gatehouse.sites.")
	_, body, _ = strings.Cut(body, "\n")
	pasted := newServer(t, "gatehouse {\n policies {DIR}/rego\n}", "gatehouse {\n policy pasted\n}")
	pasted.writeFile("rego/pasted.rego", head+"package pasted\n"+body)
	pasted.start()
	for _, srv := range []*server{s, pasted} {
		srv.addUser("fin", "--group", "finance")
		srv.addUser("adm", "--role", "admin")
		fin, adm := newVisitor(t), newVisitor(t)
		fin.login(srv, "fin")
		adm.login(srv, "adm")
		for _, c := range []struct {
			v            *visitor
			method, path string
			want         int
		}{
			{fin, "GET", "/reports/x", 200}, {fin, "POST", "/reports/x", 403}, {fin, "GET", "/other", 403},
			{adm, "POST", "/other", 200}, {newVisitor(t), "GET", "/reports/x", 401},
		} {
			if got := c.v.do(c.method, srv.url(c.path), nil).StatusCode; got != c.want {
				t.Errorf("%s %s: %d, want %d", c.method, c.path, got, c.want)
			}
		}
	}
}
