package test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExamples starts every example as its README says, on other ports.
func TestExamples(t *testing.T) {
	found, err := filepath.Glob("../examples/*/Caddyfile")
	if err != nil || len(found) == 0 {
		t.Fatal("no examples", err)
	}
	tried := map[string]func(*testing.T, *server){
		"quickstart": func(t *testing.T, s *server) {
			s.addUser("ed", "--role", "editor")
			s.addUser("bob")
			ed, bob := newVisitor(t), newVisitor(t)
			ed.login(s, "ed")
			bob.login(s, "bob")
			if a := bob.get(s.url("/")); a.StatusCode != http.StatusOK || !strings.Contains(a.body, "Hello bob") {
				t.Errorf("bob reads: %d %s", a.StatusCode, a.body)
			}
			if a := bob.do(http.MethodPost, s.url("/"), nil); a.StatusCode != http.StatusForbidden {
				t.Errorf("bob writes: %d", a.StatusCode)
			}
			if a := ed.do(http.MethodPost, s.url("/"), nil); a.StatusCode != http.StatusOK {
				t.Errorf("ed writes: %d", a.StatusCode)
			}
			if a := ed.do(http.MethodDelete, s.url("/"), nil); a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "nothing is ever deleted") {
				t.Errorf("ed deletes: %d %s", a.StatusCode, a.body)
			}
			if out, err := s.caddy("", "gatehouse", "policy", "test"); err != nil || !strings.Contains(out, "5 passed") {
				t.Errorf("policy test: %v %s", err, out)
			}
		},
		"redis": func(t *testing.T, s *server) {
			s.addUser("alice", "--role", "admin")
			v := newVisitor(t)
			v.login(s, "alice")
			if a := v.get(s.url("/")); a.StatusCode != http.StatusOK || !strings.Contains(a.body, "Hello alice") {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
		},
	}
	for _, file := range found {
		dir := filepath.Dir(file)
		name := filepath.Base(dir)
		t.Run(name, func(t *testing.T) {
			try := tried[name]
			if try == nil {
				t.Fatalf("examples/%s is started by no test", name)
			}
			text := mustRead(t, file)
			replace := []string{
				"localhost:8080", "localhost:{PORT}", "localhost:8081", "localhost:{APP}",
				"{$ADMIN:localhost:2019}", "localhost:{ADMIN}", "{$PORT:8080}", "{PORT}",
			}
			if strings.Contains(text, "store redis") {
				replace = append(replace, "{$REDIS_URL:redis://localhost:6379}", startRedis(t).url())
			}
			text = strings.NewReplacer(replace...).Replace(text)
			if !strings.Contains(text, "admin localhost:{ADMIN}") {
				text = strings.Replace(text, "{\n", "{\n\tadmin localhost:{ADMIN}\n\tpersist_config off\n", 1)
			}
			s := newServerFile(t, text)
			if err := copyPolicies(dir, s.dir); err != nil {
				t.Fatal(err)
			}
			try(t, s.start())
		})
	}
}

// copyPolicies copies an example's policy folder, if it has one.
func copyPolicies(from, to string) error {
	dir := filepath.Join(from, "policies")
	if _, err := os.Stat(dir); os.IsNotExist(err) {
		return nil
	}
	return os.CopyFS(filepath.Join(to, "policies"), os.DirFS(dir))
}
