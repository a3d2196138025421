package test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
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
		"google": func(t *testing.T, s *server) {
			signsIn(t, s, "alice", "Hello alice@example.com")
			signsIn(t, s, "bob", "Access denied")
		},
		"keycloak": func(t *testing.T, s *server) {
			signsIn(t, s, "alice", "Hello alice, your roles: staff")
			signsIn(t, s, "bob", "Access denied")
		},
		"github": func(t *testing.T, s *server) {
			v := newVisitor(t)
			a := v.navigate(s.url("/"))
			if a = v.navigate(s.url(a.Header.Get("Location"))); !strings.HasPrefix(a.Header.Get("Location"), "https://github.com/login/oauth/authorize?") {
				t.Fatalf("%d to %q", a.StatusCode, a.Header.Get("Location"))
			}
			to, err := url.Parse(a.Header.Get("Location"))
			if err != nil {
				t.Fatal(err)
			}
			q := to.Query()
			for name, want := range map[string]string{
				"client_id": "your-client-id", "redirect_uri": s.url("/_gatehouse/oidc/github/callback"), "scope": "read:user user:email", "code_challenge_method": "S256",
			} {
				if q.Get(name) != want {
					t.Errorf("%s is %q", name, q.Get(name))
				}
			}
		},
		"sso-many-sites": func(t *testing.T, s *server) {
			host := func(name, path string) string { return fmt.Sprintf("http://%s.localhost:%d%s", name, s.port, path) }
			s.addUser("alice")
			ctx := newBrowser(t)
			do(t, ctx, "open the first site", open(host("one", "/")), visible("#username"))
			if at := ask(t, ctx, "address", chromedp.Location()); !strings.HasPrefix(at, host("auth", "/login")) {
				t.Errorf("the login page is at %s", at)
			}
			do(t, ctx, "sign in", keys("#username", "alice"), keys("#password", aPassword), submit("#password"), arrived(host("one", "/")))
			for _, site := range []string{"one", "two"} {
				if text := fetched(t, ctx, host(site, "/")); !strings.Contains(text, "Hello alice, this is "+site+".localhost") {
					t.Errorf("%s: %s", site, text)
				}
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
			if strings.Contains(text, "oidc "+name) {
				s.writeConfig(atTestProvider(t, s, name, text))
			}
			if err := copyPolicies(dir, s.dir); err != nil {
				t.Fatal(err)
			}
			try(t, s.start())
		})
	}
}

// atTestProvider has the people of an example sign in at our own certified
// provider in the place of the one it is for. GitHub is none of OpenID Connect, and
// stays.
func atTestProvider(t *testing.T, s *server, name, text string) string {
	if name == "github" {
		return text
	}
	const secret = "a-secret-of-32-bytes-and-a-bit-more"
	here := s.url("/_gatehouse")
	p := startProvider(t, providerOptions{
		AlwaysRefresh: true,
		Accounts: map[string]map[string]any{
			"alice": {"email": "alice@example.com", "email_verified": true, "preferred_username": "alice", "realm_access": map[string]any{"roles": []string{"staff"}}},
			"bob":   {"email": "bob@example.com", "email_verified": true, "preferred_username": "bob", "realm_access": map[string]any{"roles": []string{}}},
		},
		Clients: []map[string]any{{
			"client_id": clientID, "client_secret": secret, "grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"},
			"scope": "openid email profile offline_access", "id_token_signed_response_alg": "ES256",
			"redirect_uris": []string{here + "/oidc/" + name + "/callback"},
		}},
	})
	return strings.NewReplacer(
		"{$GOOGLE_CLIENT_ID:your-client-id}", clientID, "{$GOOGLE_CLIENT_SECRET:your-client-secret}", secret, "{$EMAIL:you@example.com}", "alice@example.com",
		"{$ISSUER:http://localhost:8180/realms/main}", p.url, "{$CLIENT_ID:gatehouse}", clientID, "{$CLIENT_SECRET:paste-it-from-the-credentials-tab}", secret,
		"oidc google google {", "oidc google google {\nissuer "+p.url,
	).Replace(text)
}

// signsIn signs somebody in at the test provider, and holds the page they end at
// against what it should say.
func signsIn(t *testing.T, s *server, who, says string) {
	t.Helper()
	ctx := newBrowser(t)
	do(t, ctx, "open the app", open(s.url("/")))
	atProvider(t, ctx, who)
	do(t, ctx, "back at the app", arrived(s.url("/")))
	if text := fetched(t, ctx, s.url("/")); !strings.Contains(text, says) {
		t.Errorf("%s: %s", who, text)
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
