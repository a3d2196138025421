package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// reportsGate is a site for people and machines, which believes one issuer.
func reportsGate(t testing.TB, issuer, store string) *server {
	return newServer(t, fmt.Sprintf(`gatehouse {
		%s
		jwt id {
			issuer %s
			audience https://reports.example.com
			claim roles realm_access.roles
		}
	}`, store, issuer), "gatehouse {\n allow role analyst\n allow scope reports:read method GET\n}")
}

func TestTokens(t *testing.T) {
	idp := startIssuer(t)
	s := reportsGate(t, idp.url, "").start()
	v := newVisitor(t)

	t.Run("a token is an identity, and the app sees no token", func(t *testing.T) {
		e := v.get(s.url("/"), bearer(idp.token(map[string]any{"email": "bot@example.com", "realm_access": map[string]any{"roles": []string{"analyst"}}}))...).echo(t)
		if e.Headers["Remote-User"][0] != "client-7" || e.Headers["Remote-Roles"][0] != "analyst" || e.Headers["Remote-Email"][0] != "bot@example.com" || e.Headers["Authorization"] != nil {
			t.Errorf("%v", e.Headers)
		}
	})
	t.Run("the scope decides", func(t *testing.T) {
		if a := v.get(s.url("/"), bearer(idp.token(map[string]any{"scope": "other"}))...); a.StatusCode != http.StatusForbidden {
			t.Errorf("%d", a.StatusCode)
		}
		if a := v.do(http.MethodPost, s.url("/"), nil, bearer(idp.token(nil))...); a.StatusCode != http.StatusForbidden {
			t.Errorf("%d", a.StatusCode)
		}
	})
	// Before the bad ones: one of those uses up the look for unknown kids that there
	// is in 30 seconds.
	t.Run("a new key of the issuer is found without a failed request", func(t *testing.T) {
		idp.rotate()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if a, err := newVisitor(t).try(http.MethodGet, s.url("/"), nil, bearer(idp.token(nil))...); err != nil || a.StatusCode != http.StatusOK {
					t.Errorf("%v %d %s", err, a.StatusCode, a.body)
				}
			})
		}
		all.Wait()
	})
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := idp.token(nil)
	parts := strings.Split(good, ".")
	claims := map[string]any{"iss": idp.url, "aud": "https://reports.example.com", "sub": "x", "exp": time.Now().Add(time.Hour).Unix()}
	for name, token := range map[string]string{
		"expired":                   idp.token(map[string]any{"exp": time.Now().Add(-5 * time.Minute).Unix()}),
		"without an end":            idp.token(map[string]any{"exp": nil}),
		"end as text":               idp.token(map[string]any{"exp": "4102444800"}),
		"from the future":           idp.token(map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}),
		"for another gate":          idp.token(map[string]any{"aud": "https://other.example.com"}),
		"for nobody":                idp.token(map[string]any{"aud": nil}),
		"of another issuer":         idp.token(map[string]any{"iss": "https://id.example.com"}),
		"of nobody":                 idp.token(map[string]any{"sub": nil}),
		"roles of the wrong type":   idp.token(map[string]any{"realm_access": map[string]any{"roles": "analyst", "x": 1}, "scope": 7}),
		"signed by somebody else":   sign(t, stranger, map[string]any{"alg": "ES256", "typ": "at+jwt", "kid": "key-1"}, claims),
		"with its own key":          sign(t, stranger, map[string]any{"alg": "ES256", "typ": "at+jwt", "jwk": map[string]any{"kty": "EC"}}, claims),
		"of a kid that nobody has":  sign(t, stranger, map[string]any{"alg": "ES256", "typ": "at+jwt", "kid": "../../keys"}, claims),
		"unsigned":                  b64([]byte(`{"alg":"none","typ":"at+jwt"}`)) + "." + parts[1] + ".",
		"cut short":                 good[:len(good)-4],
		"with more at its end":      good + "AAAA",
		"another payload":           parts[0] + "." + b64([]byte(`{"iss":"`+idp.url+`","aud":"https://reports.example.com","sub":"root","exp":4102444800}`)) + "." + parts[2],
		"encrypted in form":         "a.b.c.d.e",
		"opaque":                    "abcdefghijklmnop",
		"a password by mistake":     "otters",
		"an ID token":               sign(t, idp.keys[0], map[string]any{"alg": "ES256", "typ": "JWT", "kid": "key-1"}, claims),
		"a logout token":            sign(t, idp.keys[0], map[string]any{"alg": "ES256", "typ": "logout+jwt", "kid": "key-1"}, claims),
		"bound to a key of its own": idp.token(map[string]any{"cnf": map[string]any{"jkt": "x"}}),
	} {
		t.Run(name, func(t *testing.T) {
			a := v.get(s.url("/"), bearer(token)...)
			if a.StatusCode != http.StatusUnauthorized || a.Header.Get("WWW-Authenticate") != fmt.Sprintf(`Bearer realm="localhost:%d", error="invalid_token"`, s.port) {
				t.Errorf("%d %v %s", a.StatusCode, a.Header, a.body)
			}
			if strings.Contains(a.body, "expired") || strings.Contains(a.body, "signature") {
				t.Errorf("the answer tells what is wrong: %s", a.body)
			}
		})
	}
	t.Run("while the issuer is down its keys are still known", func(t *testing.T) {
		idp.setDown(true)
		defer idp.setDown(false)
		v.get(s.url("/"), bearer(idp.token(nil))...).echo(t)
	})
	t.Run("a revoked token is refused at once", func(t *testing.T) {
		token := idp.token(map[string]any{"jti": "one"})
		v.get(s.url("/"), bearer(token)...).echo(t)
		if out := s.mustCLI(token+"\n", "token", "revoke", "--note", "leaked"); !strings.Contains(out, "Refused from now on: the token one from id.") {
			t.Error(out)
		}
		if a := v.get(s.url("/"), bearer(token)...); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("%d", a.StatusCode)
		}
		if out := s.mustCLI("", "token", "list"); !strings.Contains(out, "leaked") {
			t.Error(out)
		}
	})
	t.Run("all of a subject until now, and none of those after", func(t *testing.T) {
		past := time.Now().Add(-2 * time.Second).Unix()
		before := idp.token(map[string]any{"sub": "dave", "iat": past})
		v.get(s.url("/"), bearer(before)...).echo(t)
		s.mustCLI("", "token", "revoke", "--subject", "dave")
		if a := v.get(s.url("/"), bearer(before)...); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("%d", a.StatusCode)
		}
		v.get(s.url("/"), bearer(idp.token(map[string]any{"sub": "dave", "iat": time.Now().Add(3 * time.Second).Unix()}))...).echo(t)
		v.get(s.url("/"), bearer(idp.token(map[string]any{"sub": "erin", "iat": past}))...).echo(t)
	})
	t.Run("a person signs in on the same route", func(t *testing.T) {
		s.addUser("alice", "--role", "analyst")
		p := newVisitor(t)
		p.login(s, "alice")
		p.get(s.url("/")).echo(t)
	})
	t.Run("no log has ever held a token, and the audit trail says why one was refused", func(t *testing.T) {
		log := s.log.String()
		if strings.Contains(log, parts[2]) || strings.Contains(log, parts[1]) {
			t.Error("a token was logged")
		}
		for _, want := range []string{`"action":"credential_refused"`, `"action":"token_revoked"`, `"credential_id":"jti:one","issuer":"` + idp.url, "expired"} {
			if !strings.Contains(log, want) {
				t.Errorf("no %s in the log", want)
			}
		}
	})
	t.Run("metrics", func(t *testing.T) {
		a := v.get(fmt.Sprintf("http://localhost:%d/metrics", s.admin))
		for _, want := range []string{`caddy_gatehouse_jwks_fetch_total{issuer="id",result="ok"}`, `caddy_gatehouse_requests_total{method="jwt",result="allow"}`} {
			if !strings.Contains(a.body, want) {
				t.Errorf("no %s in\n%s", want, a.body)
			}
		}
	})
}

// TestIssuerThatNeverAnswered: nothing can be said about its tokens, which is
// neither a pass nor the caller's fault.
func TestIssuerThatNeverAnswered(t *testing.T) {
	idp := startIssuer(t)
	idp.setDown(true)
	s := reportsGate(t, idp.url, "").start()
	v := newVisitor(t)
	a := v.get(s.url("/"), bearer(idp.token(nil))...)
	if a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
	s.addUser("alice", "--role", "analyst")
	p := newVisitor(t)
	p.login(s, "alice")
	p.get(s.url("/")).echo(t) // others are not touched
	idp.setDown(false)
	eventually(t, 20*time.Second, "the keys to be found", func() bool {
		return v.get(s.url("/"), bearer(idp.token(nil))...).StatusCode == http.StatusOK
	})
}

func TestTokensOnTwoInstances(t *testing.T) {
	r, idp := startRedis(t), startIssuer(t)
	a := reportsGate(t, idp.url, "store redis "+r.url()).start()
	b := reportsGate(t, idp.url, "store redis "+r.url()).start()
	token := idp.token(map[string]any{"sid": "session-1", "jti": nil})
	v := newVisitor(t)
	for _, s := range []*server{a, b} {
		v.get(s.url("/"), bearer(token)...).echo(t)
	}
	a.mustCLI("", "token", "revoke", "--sid", "session-1", "--issuer", "id")
	eventually(t, time.Second, "the other instance refuses", func() bool {
		return v.get(b.url("/"), bearer(token)...).StatusCode == http.StatusUnauthorized
	})
}

// TestReloadKeepsIssuersKeys: a reload while the issuer is down locks nobody out.
func TestReloadKeepsIssuersKeys(t *testing.T) {
	idp := startIssuer(t)
	s := reportsGate(t, idp.url, "").start()
	v := newVisitor(t)
	v.get(s.url("/"), bearer(idp.token(nil))...).echo(t)
	idp.setDown(true)
	s.writeFile("Caddyfile", strings.Replace(mustRead(t, s.dir+"/Caddyfile"), "persist_config off", "persist_config off\n grace_period 1s", 1))
	if out, err := s.caddy("", "reload", "--config", "Caddyfile", "--address", fmt.Sprintf("localhost:%d", s.admin)); err != nil {
		t.Fatal(out)
	}
	v.get(s.url("/"), bearer(idp.token(nil))...).echo(t)
}

func TestKeysInAFile(t *testing.T) {
	idp := startIssuer(t)
	s := newServer(t, `gatehouse {
		jwt file {
			issuer `+idp.url+`
			audience https://reports.example.com
			jwks_file {DIR}/keys.json
		}
	}`, "gatehouse {\n allow scope reports:read\n}")
	if out, err := s.caddy("", "validate", "--config", "Caddyfile"); err == nil || !strings.Contains(out, "keys.json") {
		t.Errorf("a key file that is missing is not told: %v %s", err, out)
	}
	fetch := func() string {
		a := newVisitor(t).get(idp.url + "/keys")
		return a.body
	}
	s.writeFile("keys.json", "{nonsense")
	if out, err := s.caddy("", "validate", "--config", "Caddyfile"); err == nil || !strings.Contains(out, "keys.json") {
		t.Errorf("a broken key file is not told: %v %s", err, out)
	}
	s.writeFile("keys.json", fetch())
	s.start()
	v := newVisitor(t)
	v.get(s.url("/"), bearer(idp.token(nil))...).echo(t)
	idp.rotate()
	s.writeFile("keys.json", fetch())
	eventually(t, 30*time.Second, "the new key to be read", func() bool {
		return v.get(s.url("/"), bearer(idp.token(nil))...).StatusCode == http.StatusOK
	})
}

// TestOpaqueTokens asks an introspection endpoint.
func TestOpaqueTokens(t *testing.T) {
	idp := startIssuer(t)
	mux := http.NewServeMux()
	var asked sync.Map
	mux.HandleFunc("POST /introspect", func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		n, _ := asked.LoadOrStore(r.FormValue("token"), new(int))
		*n.(*int)++
		w.Header().Set("Content-Type", "application/json")
		switch {
		case user != "gate" || password != "s%3Acret": // form-encoded, RFC 6749 section 2.3.1
			w.WriteHeader(http.StatusUnauthorized)
		case r.FormValue("token") == "good-one":
			fmt.Fprintf(w, `{"active":true,"sub":"device-9","scope":"reports:read","aud":"https://reports.example.com","exp":%d}`, time.Now().Add(time.Hour).Unix())
		default:
			fmt.Fprint(w, `{"active":false}`)
		}
	})
	at := serveOn(t, mux)
	s := newServer(t, `gatehouse {
		jwt opaque {
			issuer `+idp.url+`
			audience https://reports.example.com
			introspection {
				url http://`+at+`/introspect
				client_id gate
				client_secret s:cret
			}
		}
	}`, "gatehouse {\n allow scope reports:read\n}").start()
	v := newVisitor(t)
	for range 5 {
		if e := v.get(s.url("/"), bearer("good-one")...).echo(t); e.Headers["Remote-User"][0] != "device-9" {
			t.Errorf("%v", e.Headers)
		}
		if a := v.get(s.url("/"), bearer("bad-one")...); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("%d", a.StatusCode)
		}
	}
	for _, token := range []string{"good-one", "bad-one"} {
		if n, _ := asked.Load(token); n == nil || *n.(*int) != 1 {
			t.Errorf("%s was asked about %v times", token, n)
		}
	}
	if strings.Contains(s.log.String(), "s:cret") || strings.Contains(s.log.String(), "good-one") {
		t.Error("a secret was logged")
	}
}
