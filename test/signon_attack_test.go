package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// manySites is a portal at auth.localhost and two sites, for clients without a
// browser.
func manySites(t *testing.T) (s *server, host func(name, path string) string) {
	t.Helper()
	s = newServerFile(t, `{
	admin localhost:{ADMIN}
	persist_config off
	gatehouse {
		portal http://auth.localhost:{PORT}
	}
}
http://auth.localhost:{PORT}, http://alias.localhost:{PORT} {
	bind 127.0.0.1
	gatehouse_portal
}
http://one.localhost:{PORT}, http://two.localhost:{PORT} {
	bind 127.0.0.1
	gatehouse
	reverse_proxy localhost:{APP} {
		header_up Host localhost:{APP}
	}
}
`+echoApp)
	s.start()
	return s, func(name, path string) string { return fmt.Sprintf("http://%s.localhost:%d%s", name, s.port, path) }
}

// localVisitor is one to whom every name below localhost is this machine, as to
// browsers (RFC 6761 section 6.3); not every resolver knows that.
func localVisitor(t *testing.T) *visitor {
	v := newVisitor(t)
	v.client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	}
	return v
}

// TestPortalLeadsToNoOtherHost: whatever the request line and Host of a request to
// the portal's site say, it is led to the portal, or nowhere.
func TestPortalLeadsToNoOtherHost(t *testing.T) {
	s, host := manySites(t)
	location := regexp.MustCompile(`(?im)^location: (.*?)\r$`)
	alias := fmt.Sprintf("alias.localhost:%d", s.port)
	auth := fmt.Sprintf("auth.localhost:%d", s.port)
	led := 0
	for _, c := range [][2]string{
		{"/account?x=1", alias}, {"//evil.example", alias}, {"/\\evil.example", alias}, {"/%2f/evil.example", alias}, {"/.//evil.example", alias},
		{"x:.evil.example/", alias}, {"x:@evil.example/", alias}, {"http:.evil.example", alias}, {"http:@evil.example", alias}, {"javascript:alert(1)", alias},
		{"http://" + alias + "/a", alias}, {"http://evil.example/", alias}, {"http://" + alias + "//evil.example", alias}, {"*", alias}, {"@evil.example", alias}, {".evil.example", alias},
		{"//evil.example", auth}, {"http://evil.example/", auth}, {"x:.evil.example", auth},
		{"/", "evil.example"}, {"/", auth + "@evil.example"}, {"/", "evil.example@" + alias}, {"/", alias + ".evil.example"},
		{"/login?return_to=//evil.example", auth}, {"/login?return_to=http://evil.example", alias},
	} {
		for _, method := range []string{"GET", "POST", "CONNECT", "OPTIONS"} {
			answer := rawRequest(t, s, method+" "+c[0]+" HTTP/1.1\r\nHost: "+c[1]+"\r\nConnection: close\r\n\r\n")
			m := location.FindStringSubmatch(answer)
			if m == nil {
				continue
			}
			led++
			to, err := url.Parse(m[1])
			if err != nil || to.Host != "" && (to.Host != auth || to.User != nil || to.Scheme != "http") || to.Host == "" && (!strings.HasPrefix(m[1], "/") || strings.HasPrefix(m[1], "//")) {
				t.Errorf("%s %s at %s leads to %s", method, c[0], c[1], m[1])
			}
		}
	}
	if led < 10 {
		t.Errorf("only %d answers led anywhere", led)
	}
	if a := localVisitor(t).get(host("alias", "/account?x=1")); a.StatusCode != http.StatusPermanentRedirect || a.Header.Get("Location") != host("auth", "/account?x=1") {
		t.Errorf("status %d, to %s", a.StatusCode, a.Header.Get("Location"))
	}
}

// TestPortalIsNoSite: nobody is sent back to the portal itself, under any name, with
// a code.
func TestPortalIsNoSite(t *testing.T) {
	s, host := manySites(t)
	s.addUser("alice")
	m := &manyVisitor{t: t, host: host, at: map[string]*visitor{}}
	m.signIn("one", "alice")
	some := strings.Repeat("A", 43)
	for _, name := range []string{"auth", "alias", "three"} {
		a := m.on("auth").navigate(host("auth", "/sso?"+url.Values{"site": {host(name, "")}, "challenge": {some}, "state": {some}}.Encode()))
		if a.StatusCode != http.StatusBadRequest || a.Header.Get("Location") != "" {
			t.Errorf("%s: %d, to %s", name, a.StatusCode, a.Header.Get("Location"))
		}
	}
}

// manyVisitor is a browser without a screen, with cookies for each host.
type manyVisitor struct {
	t    *testing.T
	host func(name, path string) string
	at   map[string]*visitor
}

func (m *manyVisitor) on(name string) *visitor {
	if m.at[name] == nil {
		m.at[name] = localVisitor(m.t)
	}
	return m.at[name]
}

// follow goes where an address leads; it returns the last answer and where it is.
func (m *manyVisitor) follow(address string) (answer, string) {
	m.t.Helper()
	for range 10 {
		u, err := url.Parse(address)
		if err != nil {
			m.t.Fatal(err)
		}
		name, _, _ := strings.Cut(u.Hostname(), ".")
		a := m.on(name).navigate(address)
		to := a.Header.Get("Location")
		if to == "" {
			return a, address
		}
		next, err := u.Parse(to)
		if err != nil {
			m.t.Fatal(err)
		}
		address = next.String()
	}
	m.t.Fatal("it goes in a circle")
	return answer{}, ""
}

// signIn opens a page of a site and signs in at the portal.
func (m *manyVisitor) signIn(site, user string) answer {
	m.t.Helper()
	_, at := m.follow(m.host(site, "/x"))
	u, err := url.Parse(at)
	if err != nil || !strings.HasPrefix(at, m.host("auth", "/login")) {
		m.t.Fatalf("at %s", at)
	}
	back := u.Query().Get("return_to")
	a := m.on("auth").do(http.MethodPost, m.host("auth", "/login"), url.Values{"username": {user}, "password": {aPassword}, "return_to": {back}})
	if a.StatusCode != http.StatusOK && a.StatusCode != http.StatusSeeOther {
		m.t.Fatalf("signing in: %d %s", a.StatusCode, a.body)
	}
	a, at = m.follow(m.host("auth", back))
	if at != m.host(site, "/x") || a.StatusCode != http.StatusOK {
		m.t.Fatalf("at %s with %d", at, a.StatusCode)
	}
	return a
}

// TestCookieOfASite is good at that site alone, and neither store nor log gives
// anybody one.
func TestCookieOfASite(t *testing.T) {
	s, host := manySites(t)
	s.addUser("alice")
	m := &manyVisitor{t: t, host: host, at: map[string]*visitor{}}
	m.signIn("one", "alice")
	cookie := m.on("one").cookies["__Host-gatehouse"]
	if cookie == "" || cookie == m.on("auth").cookies["__Host-gatehouse"] {
		t.Fatalf("cookies: %v", m.on("one").cookies)
	}
	for _, name := range []string{"two", "auth"} {
		thief := localVisitor(t)
		thief.cookies["__Host-gatehouse"] = cookie
		path := "/_gatehouse/whoami"
		if name == "auth" {
			path = "/whoami"
		}
		if a := thief.get(host(name, path)); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("at %s: %d %s", name, a.StatusCode, a.body)
		}
		thief.cookies["__Host-gatehouse"] = cookie
		if a := thief.get(host(name, "/x")); strings.Contains(a.body, "Remote-User") {
			t.Errorf("at %s the app was told %s", name, a.body)
		}
	}
	if a := m.on("one").get(host("one", "/x")); a.StatusCode != http.StatusOK || a.echo(t).Headers["Remote-User"][0] != "alice" {
		t.Errorf("at its own site: %d %s", a.StatusCode, a.body)
	}

	t.Run("what the store file and the log show", func(t *testing.T) {
		var secrets []string
		for _, v := range m.at {
			for name, value := range v.cookies {
				if len(value) > 20 && !strings.HasSuffix(name, "-arrival") {
					secrets = append(secrets, value)
				}
			}
		}
		if len(secrets) < 3 {
			t.Fatalf("only %d secrets", len(secrets))
		}
		seen := 0
		err := filepath.WalkDir(s.dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !d.Type().IsRegular() {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if bytes.Contains(text, []byte("session-of/")) {
				seen++
			}
			for _, secret := range secrets {
				if bytes.Contains(text, []byte(secret)) {
					t.Errorf("%s holds %.8s…", filepath.Base(path), secret)
				}
			}
			return nil
		})
		if err != nil || seen == 0 {
			t.Errorf("no store was found: %v", err)
		}
		for _, secret := range secrets {
			if strings.Contains(s.log.String(), secret) {
				t.Errorf("the log holds %.8s…", secret)
			}
		}
	})
}

// TestBadKeyAtWhoami is refused, as at the app, whatever session comes with it.
func TestBadKeyAtWhoami(t *testing.T) {
	s, host := manySites(t)
	s.addUser("alice")
	m := &manyVisitor{t: t, host: host, at: map[string]*visitor{}}
	m.signIn("one", "alice")
	for _, sent := range []string{"Bearer gh_made_up", "Bearer x.y.z", "Basic YTpi", "Negotiate x"} {
		a := m.on("one").get(host("one", "/_gatehouse/whoami"), "Authorization", sent)
		if a.StatusCode != http.StatusUnauthorized || strings.Contains(a.body, "alice") {
			t.Errorf("%s: %d %s", sent, a.StatusCode, a.body)
		}
	}
	if a := m.on("one").get(host("one", "/_gatehouse/whoami")); !strings.Contains(a.body, `"alice"`) {
		t.Errorf("the session has suffered: %d %s", a.StatusCode, a.body)
	}
}

// TestReloadWithProviders reloads fifty times: what providers and the portal keep
// in the background ends with each configuration.
func TestReloadWithProviders(t *testing.T) {
	var issuer *httptest.Server
	issuer = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path != "/.well-known/openid-configuration" {
			_, _ = w.Write([]byte(`{"keys":[]}`))
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": issuer.URL, "authorization_endpoint": issuer.URL + "/auth", "token_endpoint": issuer.URL + "/token", "jwks_uri": issuer.URL + "/jwks",
			"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
			"scopes_supported": []string{"openid"}, "code_challenge_methods_supported": []string{"S256"},
		})
	}))
	t.Cleanup(issuer.Close)
	config := func(i int) string {
		return fmt.Sprintf(`{
	admin localhost:{ADMIN}
	persist_config off
	gatehouse {
		portal http://auth.localhost:{PORT}
		oidc there {
			issuer %s
			client_id x
			client_secret %d
			recheck 5m
		}
		oidc gone {
			issuer http://localhost:1
			client_id x
			client_secret y
		}
	}
}
http://auth.localhost:{PORT} {
	bind 127.0.0.1
	gatehouse_portal
}
http://one.localhost:{PORT} {
	bind 127.0.0.1
	header X-Round %d
	gatehouse
	reverse_proxy localhost:1
}
http://localhost:{PORT} {
	bind 127.0.0.1
	respond ok
}`, issuer.URL, i, i)
	}
	s := newServerFile(t, config(0)).start()
	v := localVisitor(t)
	round := func(i int) {
		t.Helper()
		s.writeConfig(config(i))
		if out, err := s.caddy("", "reload", "--config", "Caddyfile", "--address", fmt.Sprintf("localhost:%d", s.admin)); err != nil {
			t.Fatalf("reload %d: %v\n%s", i, err, out)
		}
		if a := v.get(fmt.Sprintf("http://auth.localhost:%d/oidc/there/login", s.port)); a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(a.Header.Get("Location"), issuer.URL) {
			t.Fatalf("reload %d: %d to %q: %s", i, a.StatusCode, a.Header.Get("Location"), a.body)
		}
		v.get(fmt.Sprintf("http://auth.localhost:%d/oidc/gone/login", s.port))
		v.do(http.MethodPost, fmt.Sprintf("http://auth.localhost:%d/oidc/there/backchannel-logout", s.port), url.Values{"logout_token": {"eyJhbGciOiJSUzI1NiIsImtpZCI6Im5vbmUifQ.e30.AAAA"}})
	}
	for i := range 10 {
		round(1 + i)
	}
	before := s.vitals()
	for i := range 50 {
		round(100 + i)
	}
	after := s.vitals()
	t.Logf("before %+v, after %+v", before, after)
	if after.goroutines > before.goroutines+20 {
		t.Errorf("goroutines grew from %d to %d", before.goroutines, after.goroutines)
	}
	if after.files > before.files+20 {
		t.Errorf("open files grew from %d to %d", before.files, after.files)
	}
	if after.heap > before.heap*2+32<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before.heap, after.heap)
	}
}

// TestPortalNeedsItsOwnHost: a gate on the portal's host with another port would
// share its cookie.
func TestPortalNeedsItsOwnHost(t *testing.T) {
	s := newServerFile(t, `{
	admin localhost:{ADMIN}
	persist_config off
	gatehouse {
		portal http://localhost:{PORT}
	}
}
http://localhost:{PORT} {
	bind 127.0.0.1
	gatehouse_portal
}
http://localhost:{APP} {
	bind 127.0.0.1
	gatehouse
	respond ok
}`)
	out, err := s.caddy("", "run", "--config", "Caddyfile")
	if err == nil || !strings.Contains(out, "give the portal a host of its own") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestPortalBehindAnotherTLS: where TLS ends before Caddy nobody goes in circles.
func TestPortalBehindAnotherTLS(t *testing.T) {
	s := newServerFile(t, `{
	admin localhost:{ADMIN}
	persist_config off
	gatehouse {
		portal https://auth.localhost:{PORT}
	}
}
http://auth.localhost:{PORT} {
	bind 127.0.0.1
	gatehouse_portal
}
`).start()
	v := localVisitor(t)
	at := fmt.Sprintf("http://auth.localhost:%d/login", s.port)
	if a := v.navigate(at); a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "Signing in needs HTTPS") || strings.Contains(a.body, `href="/login`) {
		t.Errorf("%d to %q: %s", a.StatusCode, a.Header.Get("Location"), a.body)
	}
	if a := v.get(at, "Accept", "application/json"); a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, `"title":"Signing in needs HTTPS"`) {
		t.Errorf("%d to %q: %s", a.StatusCode, a.Header.Get("Location"), a.body)
	}
}
