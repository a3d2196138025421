package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// full is a question with every field set.
func full() *decision.Question {
	return &decision.Question{
		Request: decision.Request{
			ID: "01J", Method: "GET", Scheme: "https", Host: "app.example.com", Port: 443,
			Path: "/reports/2026", Segments: []string{"reports", "2026"}, RawPath: "/reports/2026",
			Query:    url.Values{"q": {"x"}, "empty": {""}},
			Header:   map[string][]string{"Content-Type": {"application/json"}, "X-Two": {"a", "b"}},
			ClientIP: netip.MustParseAddr("203.0.113.9"), Protocol: "HTTP/2.0",
		},
		Identity: &identity.Identity{
			Method: identity.Session, Provider: "google", ID: "usr_1", Issuer: "https://i", Subject: "s",
			Username: "alice", Email: "alice@example.com", EmailVerified: true, Name: "Alice",
			Roles: []string{"admin"}, Groups: []string{"finance"}, Scopes: []string{"reports:read"},
			Claims: map[string]any{"tenant": "t", "n": json.Number("1"), "deep": map[string]any{"x": []any{true, nil}}},
			AMR:    []string{"pwd", "otp"}, AuthTime: time.Unix(1795426800, 0), SessionID: "ses_1",
		},
		Time: time.Unix(1795430400, 0).UTC(),
		Site: decision.Site{Host: "app.example.com", Policy: "gatehouse.authz"},
	}
}

const fullInput = `{
 "version": 1,
 "request": {"id": "01J", "method": "GET", "scheme": "https", "host": "app.example.com", "port": 443,
  "path": "/reports/2026", "segments": ["reports", "2026"], "raw_path": "/reports/2026",
  "query": {"q": ["x"], "empty": [""]},
  "headers": {"content-type": ["application/json"], "x-two": ["a", "b"]},
  "client_ip": "203.0.113.9", "protocol": "HTTP/2.0"},
 "identity": {"authenticated": true, "method": "session", "provider": "google", "id": "usr_1", "issuer": "https://i",
  "subject": "s", "username": "alice", "email": "alice@example.com", "email_verified": true, "name": "Alice",
  "roles": ["admin"], "groups": ["finance"], "scopes": ["reports:read"],
  "claims": {"tenant": "t", "n": 1, "deep": {"x": [true, null]}},
  "amr": ["pwd", "otp"], "auth_time": 1795426800, "auth_age": 3600, "session_id": "ses_1"},
 "time": {"unix": 1795430400, "weekday": "monday", "hour": 10, "minute": 40},
 "site": {"host": "app.example.com", "policy": "gatehouse.authz"}
}`

// same compares two values as JSON.
func same(t *testing.T, got any, want string) {
	t.Helper()
	a, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var w any
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(w)
	var g any
	_ = json.Unmarshal(a, &g)
	if a, _ = json.Marshal(g); string(a) != string(b) {
		t.Errorf("got  %s\nwant %s", a, b)
	}
}

func TestInput(t *testing.T) {
	nobody := `"identity": {"authenticated": false, "method": "none"}`
	base := func(edit func(*decision.Question)) *decision.Question {
		q := &decision.Question{Time: time.Date(2026, 1, 4, 23, 5, 0, 0, time.UTC)}
		edit(q)
		return q
	}
	frame := func(request, identity string) string {
		return `{"version": 1, "request": {` + request + `}, ` + identity + `,
		 "time": {"unix": 1767567900, "weekday": "sunday", "hour": 23, "minute": 5}, "site": {}}`
	}
	for name, c := range map[string]struct {
		q    *decision.Question
		want string
	}{
		"everything": {full(), fullInput},
		"nothing is absent, not empty": {base(func(q *decision.Question) {
			q.Request.Segments, q.Request.Query, q.Request.Header = []string{}, url.Values{}, map[string][]string{"X": {}}
		}), frame("", nobody)},
		"nobody has no attributes": {base(func(q *decision.Question) {
			q.Identity = &identity.Identity{Method: identity.None, Username: "root", Roles: []string{"admin"}}
		}), frame("", nobody)},
		"zero identity is nobody": {base(func(q *decision.Question) {
			q.Identity = &identity.Identity{Username: "root"}
		}), frame("", nobody)},
		"somebody with only a name": {base(func(q *decision.Question) {
			q.Identity = &identity.Identity{Method: identity.Basic, Username: "bob", Roles: []string{}}
		}), frame("", `"identity": {"authenticated": true, "method": "basic", "username": "bob"}`)},
		"unverified address": {base(func(q *decision.Question) {
			q.Identity = &identity.Identity{Method: identity.JWT, Email: "b@x"}
		}), frame("", `"identity": {"authenticated": true, "method": "jwt", "email": "b@x", "email_verified": false}`)},
		"login in the future is fresh, not negative": {base(func(q *decision.Question) {
			q.Identity = &identity.Identity{Method: identity.JWT, AuthTime: time.Unix(1767567960, 0)}
		}), frame("", `"identity": {"authenticated": true, "method": "jwt", "auth_time": 1767567960, "auth_age": 0}`)},
		"cookie and credentials are hidden": {base(func(q *decision.Question) {
			q.Request.Header = map[string][]string{"Cookie": {"s"}, "AUTHORIZATION": {"s"}, "proxy-Authorization": {"s"}, "X-A": {"1"}}
		}), frame(`"headers": {"x-a": ["1"]}`, nobody)},
		"two spellings are one header": {base(func(q *decision.Question) {
			q.Request.Header = map[string][]string{"x-a": {"2"}, "X-A": {"1"}, "X-a": {"3"}}
		}), frame(`"headers": {"x-a": ["1", "3", "2"]}`, nobody)},
		"IPv4 in IPv6 is IPv4": {base(func(q *decision.Question) {
			q.Request.ClientIP = netip.MustParseAddr("::ffff:10.0.0.1")
		}), frame(`"client_ip": "10.0.0.1"`, nobody)},
		"an address without its zone": {base(func(q *decision.Question) {
			q.Request.ClientIP = netip.MustParseAddr("fe80::1%eth0")
		}), frame(`"client_ip": "fe80::1"`, nobody)},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Input(c.q)
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, c.want)
		})
	}
}

func TestInputOfTheSitesTimeZone(t *testing.T) {
	q := full()
	q.Time = q.Time.In(time.FixedZone("", 14*3600))
	got, err := Input(q)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got.(map[string]any)["time"], `{"unix": 1795430400, "weekday": "tuesday", "hour": 0, "minute": 40}`)
}

func TestInputThatCannotBeBuilt(t *testing.T) {
	e := load(t, Options{}, files{"app.rego": "package app\nallow := true\ndeny contains \"x\" if input.identity.claims.f == 1\ndeny contains \"y\" if input.time.hour == 25\n"})
	n := entry(t, e, "app")
	many := url.Values{}
	for i := range maxValues {
		many[fmt.Sprint(i)] = []string{"x"}
	}
	for name, edit := range map[string]func(*decision.Question){
		"no time":              func(q *decision.Question) { q.Time = time.Time{} },
		"claims are no JSON":   func(q *decision.Question) { q.Identity.Claims = map[string]any{"f": func() {}} },
		"far too many queries": func(q *decision.Question) { q.Request.Query = many },
	} {
		t.Run(name, func(t *testing.T) {
			q := full()
			edit(q)
			if a, err := n.Decide(context.Background(), q); err == nil || a.Pass() {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
}

// The asker may reuse a question, and identities are shared: no answer may mix.
func TestIdentitiesAreNotMixed(t *testing.T) {
	e := load(t, Options{Remember: -1, Budget: time.Minute}, files{"app.rego": `package app
allow := true
log := {"who": input.identity.username, "age": input.identity.auth_age}
`})
	n := entry(t, e, "app")
	all := make([]*identity.Identity, 3*identitySlots) // more than are kept
	for i := range all {
		all[i] = &identity.Identity{Method: identity.Session, Username: fmt.Sprint("u", i), AuthTime: noon}
	}
	var askers sync.WaitGroup
	for worker := range 4 {
		askers.Go(func() {
			q := full()
			for i := worker; i < len(all); i += 3 {
				q.Identity, q.Time = all[i], noon.Add(time.Duration(i+worker)*time.Second)
				a, err := n.Decide(context.Background(), q)
				want := fmt.Sprint("u", i, " ", i+worker)
				if got := fmt.Sprint(a.Log["who"], " ", a.Log["age"]); err != nil || got != want {
					t.Errorf("got %s, want %s (%v)", got, want, err)
					return
				}
			}
		})
	}
	askers.Wait()
}

// Whatever a stranger sends, the input holds it as it came, and no credentials.
func FuzzInput(f *testing.F) {
	f.Add("/a", "X-A", "v", "q", "w", "alice", "admin")
	f.Add("", "cookie", "s", "", "", "", "")
	f.Add("/\xff\x00", "COOKIE", "\xff", "\n", "\r", "a\u202eb", "\"]} x")
	f.Fuzz(func(t *testing.T, path, header, value, key, query, user, role string) {
		q := full()
		q.Request.Path, q.Request.Segments = path, strings.Split(path, "/")
		q.Request.Header = map[string][]string{header: {value}}
		q.Request.Query = url.Values{key: {query}}
		q.Identity.Username, q.Identity.Roles = user, []string{role}
		got, err := Input(q)
		if errors.Is(err, errTooMany) && strings.Count(path, "/") > maxValues/2 {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		in := got.(map[string]any)
		request, who := in["request"].(map[string]any), in["identity"].(map[string]any)
		headers, _ := request["headers"].(map[string]any)
		for _, name := range []string{"cookie", "authorization", "proxy-authorization"} {
			if headers[name] != nil {
				t.Errorf("%s is in the input", name)
			}
		}
		if p, there := request["path"]; there != (path != "") || there && p != path {
			t.Errorf("path %q became %q", path, p)
		}
		if u, there := who["username"]; there != (user != "") || there && u != user {
			t.Errorf("user %q became %q", user, u)
		}
		if who["authenticated"] != true || len(who["roles"].([]any)) != 1 {
			t.Errorf("identity %v", who)
		}
	})
}
