package test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// keyMade is what `key create --json` prints.
type keyMade struct {
	ID  string `json:"id"`
	Key string `json:"key"`
}

func (s *server) addKey(owner string, args ...string) keyMade {
	s.t.Helper()
	out := s.mustCLI("", append([]string{"--json", "key", "create", owner}, args...)...)
	var k keyMade
	if err := json.Unmarshal([]byte(out), &k); err != nil || k.Key == "" || k.ID == "" {
		s.t.Fatalf("%v in %s", err, out)
	}
	return k
}

func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }

func basicAuth(user, password string) []string {
	return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))}
}

// TestKeys is the life of a key at a gate with an access log.
func TestKeys(t *testing.T) {
	s := newServerFile(t, `{
	admin localhost:{ADMIN}
	persist_config off
	gatehouse {
		keys {
			header X-API-Key
			max_lifetime 30d
		}
	}
	log {
		format filter {
			request>headers>X-Api-Key delete
		}
	}
}
http://localhost:{PORT} {
	bind 127.0.0.1
	log
	gatehouse {
		allow role admin
		allow scope reports:read path /reports/*
		deny scope reports:none
	}
	reverse_proxy localhost:{APP}
}
`+echoApp).start()
	s.mustCLI("", "service", "add", "billing", "--scope", "reports:read", "--scope", "reports:none", "--role", "reporter")
	k := s.addKey("billing", "--scope", "reports:read", "--description", "nightly export")
	v := newVisitor(t)
	page := s.url("/reports/2026")

	t.Run("it works by all three ways, and the app sees who, and no key", func(t *testing.T) {
		for name, header := range map[string][]string{
			"Bearer": bearer(k.Key), "Basic": basicAuth("x", k.Key), "header": {"X-API-Key", k.Key},
		} {
			e := v.get(page, header...).echo(t)
			if e.Headers["Remote-User"] == nil || e.Headers["Remote-User"][0] != "billing" || e.Headers["Remote-Roles"][0] != "reporter" {
				t.Errorf("%s: the app was told %v", name, e.Headers)
			}
			if text := fmt.Sprint(e.Headers); strings.Contains(text, k.Key) || strings.Contains(text, "Authorization") {
				t.Errorf("%s: the key reached the app: %s", name, text)
			}
		}
	})
	t.Run("its scope decides", func(t *testing.T) {
		if a := v.get(s.url("/admin"), bearer(k.Key)...); a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "needs role admin, or scope reports:read with path /reports/*") {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	})
	t.Run("bad ones are all the same 401", func(t *testing.T) {
		other := s.addKey("billing", "--scope", "reports:read")
		answers := map[string]string{}
		for name, header := range map[string][]string{
			"one letter changed": bearer(k.Key[:20] + "x" + k.Key[21:]), "too short": bearer(k.Key[:30]), "no such key": bearer("gh_AAAAAAAAAAAA_" + k.Key[16:]),
			"the secret of another": bearer(k.Key[:16] + other.Key[16:]), "in the header": {"X-API-Key", k.Key + "x"},
		} {
			a := v.get(page, header...)
			a.body = regexp.MustCompile(`"request_id":"\w+"`).ReplaceAllString(a.body, "")
			if a.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer ") || !strings.Contains(a.Header.Get("WWW-Authenticate"), `error="invalid_token"`) {
				t.Errorf("%s: %d %v", name, a.StatusCode, a.Header)
			}
			answers[a.body] = name
		}
		if len(answers) != 1 {
			t.Errorf("they can be told apart: %v", answers)
		}
	})
	t.Run("in the address it is refused, and says why", func(t *testing.T) {
		a := v.get(page+"?key="+k.Key, bearer(k.Key)...)
		if a.StatusCode != http.StatusUnauthorized || !strings.Contains(a.body, "Authorization: Bearer") {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	})
	t.Run("a scope that its owner loses is gone at once", func(t *testing.T) {
		s.mustCLI("", "service", "set", "billing", "--remove-scope", "reports:read")
		if a := v.get(page, bearer(k.Key)...); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		s.mustCLI("", "service", "set", "billing", "--add-scope", "reports:read")
		v.get(page, bearer(k.Key)...).echo(t)
	})
	t.Run("a disabled owner keeps it out at once", func(t *testing.T) {
		s.mustCLI("", "service", "disable", "billing")
		if a := v.get(page, bearer(k.Key)...); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("%d", a.StatusCode)
		}
		s.mustCLI("", "service", "enable", "billing")
	})
	t.Run("after a rotation both work, until the grace is over", func(t *testing.T) {
		out := s.mustCLI("", "--json", "key", "rotate", k.ID, "--grace", "1h")
		var next keyMade
		if err := json.Unmarshal([]byte(out), &next); err != nil || next.ID != k.ID || next.Key == k.Key {
			t.Fatalf("%v %s", err, out)
		}
		v.get(page, bearer(k.Key)...).echo(t)
		v.get(page, bearer(next.Key)...).echo(t)
		s.mustCLI("", "key", "rotate", k.ID, "--grace", "0")
		for _, old := range []string{k.Key, next.Key} {
			if a := v.get(page, bearer(old)...); a.StatusCode != http.StatusUnauthorized {
				t.Errorf("an old key answers %d", a.StatusCode)
			}
		}
	})
	t.Run("revoked, it is refused at once, and its socket is cut", func(t *testing.T) {
		k := s.addKey("billing", "--scope", "reports:read")
		v.get(page, bearer(k.Key)...).echo(t)
		s.mustCLI("", "key", "revoke", k.ID)
		if a := v.get(page, bearer(k.Key)...); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("%d", a.StatusCode)
		}
	})
	t.Run("a person's key is the person, marked as a key", func(t *testing.T) {
		s.addUser("alice", "--role", "admin", "--scope", "reports:read")
		mine := s.addKey("alice", "--scope", "reports:read")
		e := v.get(s.url("/anything"), bearer(mine.Key)...).echo(t)
		if e.Headers["Remote-User"][0] != "alice" {
			t.Errorf("%v", e.Headers)
		}
		s.waitLog(`"identity_method":"key"`, 5*time.Second)
	})
	t.Run("no log has ever held it", func(t *testing.T) {
		log := s.log.String()
		secret := k.Key[strings.LastIndexByte(k.Key, '_')+1:]
		for _, line := range strings.Split(log, "\n") {
			// The address is the one place of which Caddy's log knows nothing; see the guide.
			if strings.Contains(line, secret) && !strings.Contains(line, "?key=") {
				t.Errorf("logged: %s", line)
			}
		}
		if n := strings.Count(log, `"action":"credential_refused"`); n < 10 {
			t.Errorf("only %d audit lines of refused credentials", n)
		}
		if !strings.Contains(log, `"action":"key_created"`) || !strings.Contains(log, `"action":"key_revoked"`) || !strings.Contains(log, `"credential_id":"key:`+k.ID) {
			t.Error("the audit trail does not tell the life of the key")
		}
	})
	t.Run("metrics count it", func(t *testing.T) {
		a := v.get(fmt.Sprintf("http://localhost:%d/metrics", s.admin))
		for _, want := range []string{`caddy_gatehouse_requests_total{method="key",result="allow"}`, `caddy_gatehouse_requests_total{method="key",result="deny"} 1`} {
			if !strings.Contains(a.body, want) {
				t.Errorf("no %s", want)
			}
		}
	})
}

func TestSocketEndsWithItsCredential(t *testing.T) {
	idp := startIssuer(t)
	s := newServerFile(t, fmt.Sprintf(`{
	admin localhost:{ADMIN}
	persist_config off
	gatehouse {
		jwt id {
			issuer %s
			audience https://reports.example.com
		}
	}
}
http://localhost:{PORT} {
	bind 127.0.0.1
	gatehouse {
		allow scope chat
	}
	reverse_proxy %s
}`, idp.url, webSocketApp(t))).start()
	s.mustCLI("", "service", "add", "bot", "--scope", "chat")
	k := s.addKey("bot", "--scope", "chat")
	for _, c := range []struct {
		name   string
		token  func() string
		revoke []string
	}{
		{"key", func() string { return k.Key }, []string{"key", "revoke", k.ID}},
		{"token", func() string { return idp.token(map[string]any{"scope": "chat", "jti": "the-token"}) }, []string{"token", "revoke", "--jti", "the-token"}},
		{"token that expires", func() string { // within the leeway of 30 seconds
			return idp.token(map[string]any{"scope": "chat", "exp": time.Now().Add(-22 * time.Second).Unix()})
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, status := dialWebSocketWith(t, s, "Authorization: Bearer "+c.token())
			if !strings.Contains(status, "101") {
				t.Fatal(status)
			}
			if c.revoke != nil {
				s.mustCLI("", c.revoke...)
			}
			_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
			if _, err := conn.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
				t.Errorf("the socket outlived its credential: %v", err)
			}
		})
	}
}

func TestRateLimitOfKeys(t *testing.T) {
	r := startRedis(t)
	gate := func() *server {
		return newServer(t, "gatehouse {\n store redis "+r.url()+"\n}", "gatehouse {\n allow scope x\n}").start()
	}
	a, b := gate(), gate()
	a.mustCLI("", "service", "add", "acme", "--scope", "x", "--rate", "100/1h")
	k := a.addKey("acme", "--scope", "x")
	var let, refused, lost atomic.Int64
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			s := a
			if i%2 == 1 {
				s = b
			}
			res, err := newVisitor(t).try(http.MethodGet, s.url("/"), nil, bearer(k.Key)...)
			for try := 0; err == nil && res.StatusCode == http.StatusServiceUnavailable && try < 20; try++ {
				// A machine so busy that Redis has no turn for most of a second: what
				// Redis counted of it may be lost to the caller.
				lost.Add(1)
				time.Sleep(200 * time.Millisecond)
				res, err = newVisitor(t).try(http.MethodGet, s.url("/"), nil, bearer(k.Key)...)
			}
			switch {
			case err != nil:
				t.Error(err)
			case res.StatusCode == http.StatusOK:
				let.Add(1)
				if res.Header.Get("RateLimit-Policy") != `"key";q=100;w=3600` || !strings.HasPrefix(res.Header.Get("RateLimit"), `"key";r=`) {
					t.Errorf("%v", res.Header)
				}
			case res.StatusCode == http.StatusTooManyRequests:
				refused.Add(1)
				if res.Header.Get("Retry-After") == "" || !strings.HasPrefix(res.Header.Get("RateLimit"), `"key";r=0;t=`) {
					t.Errorf("%v", res.Header)
				}
			default:
				t.Errorf("%d %s", res.StatusCode, res.body)
			}
		})
	}
	all.Wait()
	if n := let.Load(); n < 99-lost.Load() || n > 101 {
		t.Errorf("%d of 200 were let in by two instances, %d refused, %d lost; the limit is 100", n, refused.Load(), lost.Load())
	}
	t.Run("a key with a limit of its own", func(t *testing.T) {
		own := a.addKey("acme", "--scope", "x", "--rate", "2/1h")
		codes := ""
		for range 4 {
			codes += fmt.Sprint(newVisitor(t).get(b.url("/"), bearer(own.Key)...).StatusCode, " ")
		}
		if codes != "200 200 429 429 " {
			t.Error(codes)
		}
	})
	t.Run("revoked on one instance, it is refused on the other within a second", func(t *testing.T) {
		own := a.addKey("acme", "--scope", "x", "--rate", "100000/1s")
		v := newVisitor(t)
		if res := v.get(b.url("/"), bearer(own.Key)...); res.StatusCode != 200 {
			t.Fatal(res.StatusCode)
		}
		a.mustCLI("", "key", "revoke", own.ID)
		eventually(t, time.Second, "the other instance refuses", func() bool {
			return v.get(b.url("/"), bearer(own.Key)...).StatusCode == http.StatusUnauthorized
		})
	})
	t.Run("while Redis is away the answer is 503, and afterwards all is as before", func(t *testing.T) {
		own := a.addKey("acme", "--scope", "x", "--rate", "1000/1m")
		v := newVisitor(t)
		v.get(a.url("/"), bearer(own.Key)...).echo(t)
		r.stop()
		eventually(t, 10*time.Second, "a 503", func() bool {
			return v.get(a.url("/"), bearer(own.Key)...).StatusCode == http.StatusServiceUnavailable
		})
		r.start()
		eventually(t, 20*time.Second, "the key to work again", func() bool { return v.get(a.url("/"), bearer(own.Key)...).StatusCode == http.StatusOK })
	})
}

// TestReloadKeepsRateLimit: a new configuration gives nobody a new allowance.
func TestReloadKeepsRateLimit(t *testing.T) {
	s := newServer(t, "", "gatehouse {\n allow scope x\n}").start()
	s.mustCLI("", "service", "add", "acme", "--scope", "x")
	k := s.addKey("acme", "--scope", "x", "--rate", "3/1h")
	v := newVisitor(t)
	for range 3 {
		v.get(s.url("/"), bearer(k.Key)...).echo(t)
	}
	s.writeFile("Caddyfile", strings.Replace(mustRead(t, s.dir+"/Caddyfile"), "persist_config off", "persist_config off\n grace_period 1s", 1))
	if out, err := s.caddy("", "reload", "--config", "Caddyfile", "--address", fmt.Sprintf("localhost:%d", s.admin)); err != nil {
		t.Fatal(out)
	}
	if a := v.get(s.url("/"), bearer(k.Key)...); a.StatusCode != http.StatusTooManyRequests {
		t.Errorf("%d after a reload", a.StatusCode)
	}
	var shown struct {
		Uses int64 `json:"uses"`
	}
	if out := s.mustCLI("", "--json", "key", "show", k.ID); json.Unmarshal([]byte(out), &shown) != nil || shown.Uses != 3 {
		t.Errorf("uses: %s", out)
	}
}

func TestKeysOff(t *testing.T) {
	s := newServer(t, "gatehouse {\n keys off\n}", "gatehouse").start()
	s.mustCLI("", "service", "add", "acme", "--scope", "x")
	if out, err := s.cli("", "key", "create", "acme", "--scope", "x"); err == nil || !strings.Contains(out, "keys are off") {
		t.Errorf("%v %s", err, out)
	}
	if a := newVisitor(t).get(s.url("/"), bearer("gh_AAAAAAAAAAAA_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")...); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("%d", a.StatusCode)
	}
}

// TestValidateWarnsOfLoggedKeys: Caddy's logs mask Authorization by themselves, and
// no other header.
func TestValidateWarnsOfLoggedKeys(t *testing.T) {
	const filtered = "log {\n format filter {\n request>headers>X-Api-Key delete\n }\n }"
	for _, c := range []struct {
		name, global, site string
		warns              bool
	}{
		{"no access log, but one of errors", "", "", true},
		{"no log of errors either", "log {\n exclude http.log.error\n }", "", false},
		{"an access log", "", "log", true},
		{"an access log that filters the header, and one of errors that does not", "", filtered, true},
		{"all filter it", filtered, filtered, false},
		{"one that filters another header", filtered, "log {\n format filter {\n request>headers>X-Other delete\n }\n }", true},
		{"the default log filters it", filtered, "log", false},
		{"a filter inside another format", "log {\n format append {\n wrap filter {\n request>headers delete\n }\n env dev\n }\n }", "log", false},
		{"two logs, one of which does not", "log extra {\n include http.log.access\n }\n" + filtered, filtered, true},
		{"two logs of errors, one of which does not", "log extra {\n include http.log\n }\n" + filtered, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, c.global+"\ngatehouse {\n keys {\n header X-API-Key\n }\n}", c.site+"\ngatehouse")
			out, err := s.caddy("", "validate", "--config", "Caddyfile")
			if err != nil {
				t.Fatal(out)
			}
			if got := strings.Contains(out, "request>headers>X-Api-Key delete"); got != c.warns {
				t.Errorf("warns: %v\n%s", got, out)
			}
		})
	}
}
