package test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// idpGate is a site whose people log in at a provider and nowhere else. The
// provider has to know the gate's address, and the gate the provider's.
func idpGate(t testing.TB, global, options, directive string, o providerOptions) (*server, *provider) {
	t.Helper()
	s := newServer(t, "", directive)
	p := startProvider(t, o, s.url("/_gatehouse"))
	text := mustReadTB(t, s.dir+"/Caddyfile")
	s.writeConfig(strings.Replace(text, "persist_config off", "persist_config off\n\tgatehouse {\n"+global+"\n"+oidcBlock(p, options)+"\n}", 1))
	return s.start(), p
}

func oidcBlock(p *provider, options string) string {
	return fmt.Sprintf("oidc idp {\nissuer %s\nclient_id %s\nclient_secret \"%s\"\nclaim roles roles\n%s\n}", p.url, clientID, clientSecret, options)
}

// atProvider fills in the provider's own pages: who signs in, and that they agree.
func atProvider(t *testing.T, ctx context.Context, who string) {
	t.Helper()
	do(t, ctx, "sign in at the provider", visible(`input[name="login"]`), keys(`input[name="login"]`, who), keys(`input[name="password"]`, "x"), submit(`input[name="password"]`))
	do(t, ctx, "agree at the provider", visible(`button[autofocus]`), chromedp.Click(css(`button[autofocus]`)))
}

// arrived waits until the browser has come to an address, over however many
// others.
func arrived(address string) step {
	return came("at "+address, func(at string) bool { return at == address })
}

// came waits until the browser is somewhere.
func came(what string, there func(at string) bool) step {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		for last := ""; ; {
			// A page that is just being left has no answer.
			if at, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.readyState === "complete" ? location.href : ""`)); err == nil && at != "" {
				if last = at; there(at) {
					return nil
				}
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("not %s but at %s: %w", what, last, ctx.Err())
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
}

// fetched is what the browser gets at an address, as text.
func fetched(t *testing.T, ctx context.Context, address string) string {
	t.Helper()
	do(t, ctx, "open "+address, open(address), arrived(address))
	return ask(t, ctx, "text of "+address, chromedp.Evaluate[string](`document.documentElement.textContent`))
}

// whoIs is what whoami tells the browser, at a site that it is sent to first.
func whoIs(t *testing.T, ctx context.Context, at string) map[string]any {
	t.Helper()
	text := fetched(t, ctx, at+"/_gatehouse/whoami")
	var who map[string]any
	if err := json.Unmarshal([]byte(text), &who); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return who
}

// appSaw is what the app was told of the browser's request to its site.
func appSaw(t *testing.T, ctx context.Context, s *server) echo {
	t.Helper()
	var e echo
	if text := fetched(t, ctx, s.url("/")); json.Unmarshal([]byte(text), &e) != nil {
		t.Fatalf("the app was not reached: %s", text)
	}
	return e
}

// TestLoginAtAProvider is the whole way in a real browser, with a certified
// provider: there, back to where one wanted to go, out again here and there.
func TestLoginAtAProvider(t *testing.T) {
	s, p := idpGate(t, "passwords off", "allow_email_domain example.com", "gatehouse {\n allow role admin\n allow signed_in path /open/*\n}", providerOptions{})
	if out := s.mustCLI("", "status"); !strings.Contains(out, "none: sign in at idp") {
		t.Error(out)
	}
	ctx := newBrowser(t)
	do(t, ctx, "open the app", open(s.url("/reports?year=2026")))
	atProvider(t, ctx, "alice")
	do(t, ctx, "back at the app", arrived(s.url("/reports?year=2026")))
	e := appSaw(t, ctx, s)
	if e.Headers["Remote-User"][0] != "alice" || e.Headers["Remote-Roles"][0] != "admin" || e.Headers["Remote-Email"][0] != "alice@example.com" || strings.Contains(fmt.Sprint(e.Headers["Cookie"]), "gatehouse") {
		t.Errorf("the app was told %v", e.Headers)
	}
	who := whoIs(t, ctx, s.url(""))
	if who["provider"] != "idp" || who["subject"] != "alice" || who["issuer"] != p.url || who["method"] != "session" {
		t.Errorf("whoami: %v", who)
	}
	if out := s.mustCLI("", "user", "show", "alice"); !strings.Contains(out, "alice@example.com (verified: true)") || !strings.Contains(out, "alice of "+p.url) {
		t.Error(out)
	}

	t.Run("the account page tells where one signed in", func(t *testing.T) {
		do(t, ctx, "account", open(s.url("/_gatehouse/account")), visible("#profile"))
		shoot(t, ctx, "account-of-a-provider")
	})
	t.Run("the provider's keys change, and logins go on", func(t *testing.T) {
		p.control("rotate-keys")
		other := newBrowser(t)
		do(t, other, "open the app", open(s.url("/open/x")))
		atProvider(t, other, "bob")
		do(t, other, "back at the app", arrived(s.url("/open/x")))
		if who := whoIs(t, other, s.url("")); who["username"] != "bob" {
			t.Errorf("%v", who)
		}
	})
	t.Run("signing out ends both sessions", func(t *testing.T) {
		do(t, ctx, "sign out", open(s.url("/_gatehouse/logout")), visible("form button"), chromedp.Click(css("form button")))
		do(t, ctx, "the provider asks", visible(`button[name="logout"]`), chromedp.Click(css(`button[name="logout"]`)))
		do(t, ctx, "back at the gate", came("signed out", func(at string) bool { return strings.HasPrefix(at, s.url("/_gatehouse/logout?")) }), visible("main"))
		shoot(t, ctx, "signed-out-at-a-provider")
		do(t, ctx, "the app again", open(s.url("/reports")), visible(`input[name="login"]`))
	})
	for _, secret := range []string{clientSecret, "code="} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// TestTabs signs in with several tabs under way: each ends where it wanted to go,
// and what is left of an earlier login does no harm.
func TestTabs(t *testing.T) {
	s, _ := idpGate(t, "passwords off", "", "gatehouse", providerOptions{})
	first := newBrowser(t)
	do(t, first, "the first tab", open(s.url("/one?x=1")), visible(`input[name="login"]`))
	tab := func() context.Context {
		ctx, cancel := chromedp.NewContext(first)
		t.Cleanup(cancel)
		if err := chromedp.Do(ctx); err != nil {
			t.Fatal(err)
		}
		return ctx
	}
	second, third := tab(), tab()
	do(t, second, "the second tab", open(s.url("/two")), visible(`input[name="login"]`))
	do(t, third, "the third tab", open(s.url("/three")), visible(`input[name="login"]`))
	atProvider(t, second, "alice")
	do(t, second, "the second is back first", arrived(s.url("/two")))
	do(t, first, "sign in there, too", keys(`input[name="login"]`, "alice"), keys(`input[name="password"]`, "x"), submit(`input[name="password"]`))
	do(t, first, "the first is back where it wanted to go", arrived(s.url("/one?x=1")))
	if who := whoIs(t, first, s.url("")); who["username"] != "alice" {
		t.Errorf("%v", who)
	}
	do(t, third, "a callback that nobody began", open(s.url("/_gatehouse/oidc/idp/callback?code=made-up&state="+strings.Repeat("A", 43))), visible("main"))
	if at := ask(t, third, "where it is", chromedp.Location()); !strings.HasPrefix(at, s.url("/_gatehouse/")) {
		t.Errorf("led to %s", at)
	}
	if e := appSaw(t, third, s); e.Headers["Remote-User"][0] != "alice" {
		t.Errorf("%v", e.Headers)
	}
}

// TestBackChannelLogout ends a login at the provider: the sessions of two gates on
// one Redis are over within a second, and so are the connections that they hold.
func TestBackChannelLogout(t *testing.T) {
	r := startRedis(t)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for r.Context().Err() == nil {
			fmt.Fprint(w, "data: tick\n\n")
			w.(http.Flusher).Flush()
			time.Sleep(100 * time.Millisecond)
		}
	}))
	defer app.Close()
	a := newServer(t, "", "gatehouse")
	p := startProvider(t, providerOptions{}, a.url("/_gatehouse"))
	config := func(s *server) {
		text := strings.Replace(mustReadTB(t, s.dir+"/Caddyfile"), "reverse_proxy ", "reverse_proxy /stream "+strings.TrimPrefix(app.URL, "http://")+"\n\treverse_proxy ", 1)
		s.writeConfig(strings.Replace(text, "persist_config off", "persist_config off\n\tgatehouse {\nstore redis "+r.url()+"\npasswords off\n"+oidcBlock(p, "")+"\n}", 1))
		s.start()
	}
	b := newServer(t, "", "gatehouse")
	config(a)
	config(b)
	ctx := newBrowser(t)
	do(t, ctx, "open the app", open(a.url("/")))
	atProvider(t, ctx, "alice")
	do(t, ctx, "back at the app", arrived(a.url("/")))
	// Cookies know no ports: the browser brings its session to both gates.
	for _, s := range []*server{a, b} {
		if who := whoIs(t, ctx, s.url("")); who["username"] != "alice" {
			t.Fatalf("%v", who)
		}
	}
	streams := make([]context.Context, 2)
	for i, s := range []*server{a, b} {
		tab, cancel := chromedp.NewContext(ctx)
		defer cancel()
		if err := chromedp.Do(tab); err != nil { // a deadline here would end it
			t.Fatal(err)
		}
		do(t, tab, "a page of the site", open(s.url("/")), arrived(s.url("/")))
		streams[i] = tab
		// "open" once something came, "closed" when no more does.
		ask(t, tab, "a stream", chromedp.Evaluate[bool](`window.stream = "none", fetch("/stream").then(async answer => {
			const reader = answer.body.getReader()
			for (let done = false; !done; ) { ({done} = await reader.read()); window.stream = "open" }
		}).catch(() => {}).finally(() => window.stream = "closed"), true`))
		eventually(t, 10*time.Second, "the stream flows", func() bool { return ask(t, tab, "stream", chromedp.Evaluate[string](`window.stream`)) == "open" })
	}
	do(t, ctx, "end the session at the provider", open(p.url+"/session/end"), visible(`button[name="logout"]`), chromedp.Click(css(`button[name="logout"]`)),
		came("signed out there", func(at string) bool { return strings.HasPrefix(at, p.url+"/session/end/") }))
	for _, tab := range streams {
		eventually(t, 10*time.Second, "the stream is cut", func() bool { return ask(t, tab, "stream", chromedp.Evaluate[string](`window.stream`)) == "closed" })
	}
	// The provider tells one gate, as it signs the person out.
	for _, s := range []*server{a, b} {
		eventually(t, 10*time.Second, "the session is over", func() bool { return whoIs(t, ctx, s.url(""))["detail"] == "Nobody is signed in." })
	}
}

// TestClientAuthentication: each way in which the gate proves to the certified
// provider that it is the client.
func TestClientAuthentication(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		t.Fatal(err)
	}
	jwk := map[string]any{
		"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig",
		"x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:]),
	}
	secret := `client_secret "` + clientSecret + `"`
	for how, c := range map[string]struct {
		client map[string]any
		proof  string
	}{
		"client_secret_basic": {map[string]any{"client_secret": clientSecret}, secret},
		"client_secret_post":  {map[string]any{"client_secret": clientSecret}, secret},
		"private_key_jwt": {
			map[string]any{"jwks": map[string]any{"keys": []any{jwk}}, "token_endpoint_auth_signing_alg": "ES256"}, "client_key client.key",
		},
	} {
		t.Run(how, func(t *testing.T) {
			s := newServer(t, "", "gatehouse")
			client := map[string]any{
				"client_id": clientID, "token_endpoint_auth_method": how, "redirect_uris": []string{s.url("/_gatehouse/oidc/idp/callback")},
				"grant_types": []string{"authorization_code"}, "response_types": []string{"code"}, "scope": "openid email profile", "id_token_signed_response_alg": "ES256",
			}
			maps.Copy(client, c.client)
			p := startProvider(t, providerOptions{Clients: []map[string]any{client}})
			if err := os.WriteFile(filepath.Join(s.dir, "client.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
				t.Fatal(err)
			}
			block := fmt.Sprintf("gatehouse {\npasswords off\noidc idp {\nissuer %s\nclient_id %s\nclient_auth %s\n%s\n}\n}", p.url, clientID, how, c.proof)
			s.writeConfig(strings.Replace(mustReadTB(t, s.dir+"/Caddyfile"), "persist_config off", "persist_config off\n"+block, 1))
			s.start()
			ctx := newBrowser(t)
			do(t, ctx, "open the app", open(s.url("/")))
			atProvider(t, ctx, "alice")
			do(t, ctx, "back at the app", arrived(s.url("/")))
			if e := appSaw(t, ctx, s); e.Headers["Remote-User"][0] != "alice" {
				t.Errorf("%v", e.Headers)
			}
		})
	}
}

// TestFrontChannelLogout: a page of the provider has the gate end the session, in a
// frame of the browser, which brings none of our cookies.
func TestFrontChannelLogout(t *testing.T) {
	s, p := idpGate(t, "passwords off", "", "gatehouse", providerOptions{})
	ctx := newBrowser(t)
	do(t, ctx, "open the app", open(s.url("/")))
	atProvider(t, ctx, "alice")
	do(t, ctx, "back at the app", arrived(s.url("/")))
	if who := whoIs(t, ctx, s.url("")); who["username"] != "alice" {
		t.Fatalf("%v", who)
	}
	do(t, ctx, "the provider's page", open(p.url+"/control/frame?at="+url.QueryEscape(s.url("/_gatehouse/oidc/idp/frontchannel-logout"))))
	eventually(t, 10*time.Second, "the frame is loaded", func() bool { return ask(t, ctx, "title", chromedp.Title()) == "Told" })
	if who := whoIs(t, ctx, s.url("")); who["detail"] != "Nobody is signed in." {
		t.Errorf("%v", who)
	}
	s.waitLog(`"action":"logout".*"sessions":1`, 5*time.Second)
}

// TestProviderThatIsDown keeps nobody from starting; the others work, and it does
// when it is up.
func TestProviderThatIsDown(t *testing.T) {
	s := newServer(t, fmt.Sprintf("gatehouse {\noidc gone {\nissuer http://localhost:%d\nclient_id x\nclient_secret y\n}\n}", freePort(t)), "gatehouse").start()
	s.addUser("alice")
	v := newVisitor(t)
	eventually(t, 10*time.Second, "the page says that it is down", func() bool {
		return strings.Contains(v.navigate(s.url("/_gatehouse/login")).body, "does not answer") || strings.Contains(v.navigate(s.url("/_gatehouse/login")).body, "disabled")
	})
	v.login(s, "alice")
	v.get(s.url("/")).echo(t)
	if a := newVisitor(t).navigate(s.url("/_gatehouse/oidc/gone/login")); a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
}

// TestProviderToken hands the provider's access token to the app, and to nobody
// who is not from there.
func TestProviderToken(t *testing.T) {
	s, p := idpGate(t, "", "", "gatehouse {\n provider_token X-Provider-Token\n}", providerOptions{AccessTokenTTL: 32, AlwaysRefresh: true})
	ctx := newBrowser(t)
	do(t, ctx, "begin", open(s.url("/_gatehouse/oidc/idp/login?return_to=/")))
	atProvider(t, ctx, "alice")
	do(t, ctx, "back at the app", arrived(s.url("/")))
	token := func() string {
		e := appSaw(t, ctx, s)
		if len(e.Headers["X-Provider-Token"]) != 1 {
			t.Fatalf("the app got %v", e.Headers)
		}
		return e.Headers["X-Provider-Token"][0]
	}
	first := token()
	resp, err := http.NewRequest(http.MethodGet, p.url+"/me", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Header.Set("Authorization", "Bearer "+first)
	if res, err := http.DefaultClient.Do(resp); err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("the provider does not know the token: %v %v", err, res)
	}
	eventually(t, 40*time.Second, "a fresh token", func() bool { return token() != first })
	s.addUser("carol")
	v := newVisitor(t)
	v.login(s, "carol")
	if e := v.get(s.url("/"), "X-Provider-Token", "forged").echo(t); e.Headers["X-Provider-Token"] != nil {
		t.Errorf("%v", e.Headers)
	}
	if strings.Contains(s.log.String(), first) {
		t.Error("the token was logged")
	}
}

// TestDisabledAtTheProvider: out within the time of recheck, and not before a
// provider that is only down.
func TestDisabledAtTheProvider(t *testing.T) {
	t.Parallel()
	s, p := idpGate(t, "passwords off", "recheck 1m", "gatehouse", providerOptions{AlwaysRefresh: true})
	ctx := newBrowser(t)
	do(t, ctx, "open the app", open(s.url("/")))
	atProvider(t, ctx, "alice")
	do(t, ctx, "back at the app", arrived(s.url("/")))
	p.control("disable", "sub", "alice")
	began := time.Now()
	eventually(t, 80*time.Second, "alice is out", func() bool {
		out := strings.Contains(fetched(t, ctx, s.url("/_gatehouse/whoami")), "Nobody is signed in")
		if !out {
			time.Sleep(2 * time.Second)
		}
		return out
	})
	if took := time.Since(began); took < 30*time.Second {
		t.Errorf("out after %v, before anybody was asked", took)
	}
	s.waitLog(`"action":"session_revoked".*"actor":"idp"`, 5*time.Second)
}

// TestOneLoginForManySites: three hosts, one login, each with a cookie of its own;
// the end of one is the end of all.
func TestOneLoginForManySites(t *testing.T) {
	s := newServerFile(t, `{
	admin localhost:{ADMIN}
	persist_config off
	gatehouse {
		portal http://auth.localhost:{PORT}
	}
}
http://auth.localhost:{PORT} {
	bind 127.0.0.1
	gatehouse_portal
}
http://one.localhost:{PORT}, http://two.localhost:{PORT} {
	bind 127.0.0.1
	gatehouse
	reverse_proxy localhost:{APP}
}
`+echoApp)
	s.spawn()
	host := func(name, path string) string { return fmt.Sprintf("http://%s.localhost:%d%s", name, s.port, path) }
	v := newVisitor(t)
	eventually(t, 60*time.Second, "the sites answer", func() bool {
		res, err := v.try(http.MethodGet, s.url("/"), nil)
		return err == nil && res.StatusCode > 0
	})
	if link := s.waitLog(`"url":"(http://[^"]*/setup\?token=[^"]*)"`, 10*time.Second)[1]; !strings.HasPrefix(link, host("auth", "/setup?")) {
		t.Errorf("the set-up link is %s", link)
	}
	s.addUser("alice")
	ctx := newBrowser(t)
	do(t, ctx, "open the first site", open(host("one", "/reports?x=1")), visible("#username"))
	if at := ask(t, ctx, "address", chromedp.Location()); !strings.HasPrefix(at, host("auth", "/login")) {
		t.Errorf("the login page is at %s", at)
	}
	shoot(t, ctx, "portal-for-many-sites")
	do(t, ctx, "sign in", keys("#username", "alice"), keys("#password", aPassword), submit("#password"), arrived(host("one", "/reports?x=1")))
	do(t, ctx, "the second site asks for nothing", open(host("two", "/")), arrived(host("two", "/")))
	if who := whoIs(t, ctx, host("two", "")); who["username"] != "alice" {
		t.Errorf("%v", who)
	}
	s.waitLog(`"action":"site_entered".*"origin":"`+host("two", "")+`"`, 5*time.Second)
	t.Run("the account is at the portal", func(t *testing.T) {
		do(t, ctx, "account", open(host("one", "/_gatehouse/account")), visible("#profile"))
		if at := ask(t, ctx, "address", chromedp.Location()); at != host("auth", "/account") {
			t.Errorf("at %s", at)
		}
	})
	t.Run("a site that is not ours gets nobody", func(t *testing.T) {
		do(t, ctx, "a foreign site", open(host("auth", "/sso?site=https%3A%2F%2Fevil.example&challenge="+strings.Repeat("A", 43)+"&state="+strings.Repeat("A", 43))), visible("main"))
		if at := ask(t, ctx, "address", chromedp.Location()); !strings.HasPrefix(at, host("auth", "/sso")) {
			t.Errorf("sent to %s", at)
		}
	})
	t.Run("what the portal sends to a site is good only in the browser that began", func(t *testing.T) {
		do(t, ctx, "a made-up start", open(host("auth", "/sso?site="+host("one", "")+"&challenge="+strings.Repeat("A", 43)+"&state="+strings.Repeat("A", 43))), visible("main"))
		if text := ask(t, ctx, "page", chromedp.TextContent(css("main"))); !strings.Contains(text, "without the cookie") {
			t.Errorf("%s", text)
		}
	})
	t.Run("signing out of one is signing out of all", func(t *testing.T) {
		do(t, ctx, "sign out", open(host("two", "/_gatehouse/logout")), visible("form button"), chromedp.Click(css("form button")))
		do(t, ctx, "at the portal", came("at the portal", func(at string) bool { return strings.HasPrefix(at, host("auth", "/login")) }), visible("#username"))
		for _, site := range []string{"one", "two"} {
			if who := whoIs(t, ctx, host(site, "")); who["detail"] != "Nobody is signed in." {
				t.Errorf("%s: %v", site, who)
			}
		}
	})
	t.Run("ending it at the portal ends it everywhere within a second", func(t *testing.T) {
		do(t, ctx, "sign in", open(host("one", "/")), visible("#username"), keys("#username", "alice"), keys("#password", aPassword), submit("#password"), arrived(host("one", "/")))
		s.mustCLI("", "session", "revoke", "--user", "alice")
		if who := whoIs(t, ctx, host("one", "")); who["detail"] != "Nobody is signed in." {
			t.Errorf("%v", who)
		}
	})
}
