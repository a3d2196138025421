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
	idp := startIssuer(t)
	tried := map[string]func(*testing.T, *server){
		"api": func(t *testing.T, s *server) {
			s.addUser("alice", "--role", "analyst")
			s.mustCLI("", "service", "add", "nightly", "--scope", "reports:read")
			k := s.addKey("nightly", "--scope", "reports:read")
			alice, nobody := newVisitor(t), newVisitor(t)
			alice.login(s, "alice")
			token := idp.token(nil)
			analyst := idp.token(map[string]any{"realm_access": map[string]any{"roles": []string{"analyst"}}, "scope": nil})
			for _, c := range []struct {
				path   string
				header []string
				status int
				says   string
			}{
				{"/reports/2026", bearer(k.Key), 200, "Hello nightly, by key"},
				{"/admin", bearer(k.Key), 403, "scope reports:read"},
				{"/reports/2026", bearer(token), 200, "Hello client-7, by jwt"},
				{"/admin", bearer(token), 403, ""},
				{"/admin", bearer(analyst), 200, "by jwt"},
				{"/reports/2026", nil, 401, "Not signed in"},
			} {
				if a := nobody.get(s.url(c.path), c.header...); a.StatusCode != c.status || !strings.Contains(a.body, c.says) {
					t.Errorf("%s: %d %s", c.path, a.StatusCode, a.body)
				}
			}
			if a := alice.get(s.url("/admin")); a.StatusCode != 200 || !strings.Contains(a.body, "Hello alice, by session") {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
		},
		"partners": func(t *testing.T, s *server) {
			s.mustCLI("", "service", "add", "acme", "--scope", "orders:read", "--scope", "orders:write", "--rate", "3/1m")
			k := s.addKey("acme", "--scope", "orders:read", "--network", "127.0.0.0/8")
			far := s.addKey("acme", "--scope", "orders:read", "--network", "192.0.2.0/24")
			v := newVisitor(t)
			page := s.url("/orders")
			for _, header := range [][]string{{"X-API-Key", k.Key}, bearer(k.Key), basicAuth("x", k.Key)} {
				if a := v.get(page, header...); a.StatusCode != 200 || !strings.Contains(a.body, "GET /orders by acme") {
					t.Errorf("%v: %d %s", header[0], a.StatusCode, a.body)
				}
			}
			if a := v.get(page, bearer(k.Key)...); a.StatusCode != 429 {
				t.Errorf("the fourth request of three: %d", a.StatusCode)
			}
			s.mustCLI("", "service", "set", "acme", "--rate", "600/1m")
			if a := v.do(http.MethodPost, page, nil, bearer(k.Key)...); a.StatusCode != 403 || !strings.Contains(a.body, "orders:write") {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
			if a := v.get(page, bearer(far.Key)...); a.StatusCode != 401 {
				t.Errorf("from another network: %d", a.StatusCode)
			}
			if a := v.navigate(page); a.StatusCode != 401 {
				t.Errorf("a browser: %d", a.StatusCode)
			}
			s.mustCLI("", "key", "rotate", k.ID, "--grace", "1h")
			if a := v.get(page, bearer(k.Key)...); a.StatusCode != 200 {
				t.Errorf("in the grace: %d", a.StatusCode)
			}
			s.mustCLI("", "service", "disable", "acme")
			if a := v.get(page, bearer(k.Key)...); a.StatusCode != 401 {
				t.Errorf("of a disabled partner: %d", a.StatusCode)
			}
			if secret := k.Key[16:]; strings.Contains(s.log.String(), secret) {
				t.Error("the key is in the access log")
			}
		},
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
				"{$ISSUER:https://id.example.com}", idp.url,
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
