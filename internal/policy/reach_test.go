package policy

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/policies"
)

// reachOf analyses data.app.allow of a policy; more are further files.
func reachOf(t testing.TB, text string, more ...string) *reach {
	t.Helper()
	mods := map[string]*ast.Module{}
	for i, text := range append([]string{text}, more...) {
		mod, err := ast.ParseModuleWithOpts(fmt.Sprint(i, ".rego"), text, ast.ParserOptions{RegoVersion: ast.RegoV1})
		if err != nil {
			t.Fatal(err)
		}
		mods[fmt.Sprint(i)] = mod
	}
	c := ast.NewCompiler()
	if c.Compile(mods); c.Failed() {
		t.Fatal(c.Errors)
	}
	return analyse(c, ast.MustParseRef("data.app.allow"))
}

func (r *reach) String() string {
	var out []string
	for _, p := range r.parts {
		name := fieldNames[p.field]
		if p.name != "" {
			name += "." + p.name
		}
		out = append(out, name)
	}
	if r.never {
		return "never"
	}
	return strings.Join(out, " ")
}

func TestReach(t *testing.T) {
	group := func(name string) string {
		var out []string
		for _, n := range fieldNames {
			if strings.HasPrefix(n, name+".") {
				out = append(out, n)
			}
		}
		return strings.Join(out, " ")
	}
	cases := []struct{ name, rego, want string }{
		{"constant", `allow := true`, ""},
		{"field", `allow if input.request.method == "GET"`, "request.method"},
		{"field in brackets", `allow if input["request"]["method"] == "GET"`, "request.method"},
		{"below a field", `allow if input.identity.roles[_] == "admin"`, "identity.roles"},
		{"one header", `allow if input.request.headers["x-a"][0] == "1"`, "request.headers.X-A"},
		{"any header", `allow if input.request.headers[_][0] == "1"`, "request.headers"},
		{"one header, and any", `allow if { input.request.headers["x-a"]; input.request.headers[_] }`, "request.headers"},
		{"one claim, deep", `allow if input.identity.claims.org.unit == "x"`, "identity.claims.org"},
		{"one query parameter", `allow if "x" in input.request.query.q`, "request.query.q"},
		{"version", `allow if input.version == 1`, ""},
		{"computed field", `allow if input.identity[data.field] == "x"`, group("identity")},
		{"unknown field", `allow if input.identity.shoe_size == 42`, group("identity")},
		{"computed group", `allow if input[data.g].method == "x"`, "never"},
		{"unknown group", `allow if input.attributes.x`, "never"},
		{"request id", `allow if input.request.id`, "never"},
		{"whole request", `allow if count(input.request) > 3`, "never"},
		{"whole input in a call", `allow if walk(input, [["x"], _])`, "never"},
		{"whole input returned", `allow := input`, "never"},
		{"variable for input", `allow if { who := input; who.identity.name == "x" }`, "identity.name"},
		{"variable for a group", `allow if { who := input.identity; who.name == "x" }`, "identity.name"},
		{"variable used whole", `allow if { who := input.identity; count(who) > 3 }`, group("identity")},
		{"variable compared with a group", `allow if { who := data.x; who = input.identity }`, group("identity")},
		{"object.get with a default", `allow if object.get(input.identity, "name", "x") == "x"`, "identity.name"},
		{"object.get with a path", `allow if object.get(input, ["identity", "claims", "a"], 1) == 1`, "identity.claims.a"},
		{"object.get with a computed key", `allow if object.get(input.identity, data.k, 1) == 1`, group("identity")},
		{"object.get with a default that reads", `allow if object.get(data.doc, "x", input.site.host) == "x"`, "site.host"},
		{"negation", `allow if not input.identity.email_verified`, "identity.email_verified"},
		{"else", "allow if input.time.hour > 7\nelse if input.time.minute > 3\nelse := input.site.host", "time.hour time.minute site.host"},
		{"head value", `allow := input.request.path`, "request.path"},
		{"and, or, not", "import future.keywords.and\nimport future.keywords.or\nimport future.keywords.not\n" +
			`allow if { { input.site.host == "a"; input.time.hour > 3 } or { input.time.minute < 4 }; not { input.site.policy == "b" } }`,
			"time.hour time.minute site.host site.policy"},
		{"every", `allow if every r in input.identity.roles { r != input.identity.name }`, "identity.name identity.roles"},
		{"comprehensions", `allow if {
			count([x | some x in input.identity.roles]) > 0
			count({x | some x in input.identity.groups}) > 0
			count({x: 1 | some x in input.identity.scopes}) > 0
		}`, "identity.roles identity.groups identity.scopes"},
		{"template string", `allow if $"{input.request.host}/{input.request.path}" == "a/b"`, "request.host request.path"},
		{"import of a part", "import input.identity as who\nallow if who.name == \"x\"", "identity.name"},
		{"helper rule", "allow if ok\nok if input.site.host == \"x\"", "site.host"},
		{"helper function", "allow if ok(1)\nok(x) if input.site.host == x", "site.host"},
		{"argument pattern", `allow if ok(input.time.hour)
			ok(3) := true`, "time.hour"},
		{"unused rule", "allow if input.site.host\nother if input.request.id", "site.host"},
		{"partial set", "allow if \"x\" in names\nnames contains input.identity.name", "identity.name"},
		{"partial object", "allow if names.x == 1\nnames[input.identity.name] := input.time.hour", "identity.name time.hour"},
		{"deep head", "allow if a.b.c\na.b.c if input.site.host\na.b.d if input.site.policy", "site.host"},
		{"deep head, computed", "allow if a.b[_]\na.b.c if input.site.host\na.b.d if input.site.policy", "site.host site.policy"},
		{"with on the input", "allow if ok with input.identity.name as input.identity.email\nok if { input.identity.name; input.time.hour }", "identity.email identity.name time.hour"},
		{"with on all of it", `allow if ok with input as {"time": {"hour": input.time.minute}}
			ok if input.time.hour`, "time.hour time.minute"},
		{"with a stand-in function", "allow if count([1]) == 2 with count as two\ntwo(_) := input.time.hour", "time.hour"},
		{"other package", "allow if data.lib.ok", "time.minute"},
		{"other package, computed", "allow if data.lib[input.time.hour]", "time.hour time.minute site.host"},
		{"data document", "allow if data.roles[_] == input.identity.name", "identity.name"},
		{"the clock", `allow if time.now_ns() > 1`, "never"},
		{"chance", `allow if rand.intn("x", 2) == 1`, "never"},
		{"uuid", `allow if uuid.rfc4122("x") == "1"`, "never"},
		{"environment", `allow if opa.runtime().env.X`, "never"},
		{"network", `allow if http.send({"method": "GET", "url": "http://x"}).status_code == 200`, "never"},
		{"certificate validity", `allow if crypto.x509.parse_and_verify_certificates("x")[0]`, "never"},
		{"token expiry", `allow if io.jwt.decode_verify("x", {})[0]`, "never"},
		{"schema that may be fetched", `allow if json.match_schema({}, {})[0]`, "never"},
		{"chance as stand-in", `allow if abs(3) == 1 with abs as data.lib.dice`, "never"},
		{"clock behind a helper", "allow if late\nlate if time.now_ns() > 1", "never"},
	}
	lib := "package lib\nok if input.time.minute > 3\ndice(x) := y if { rand.intn(\"d\", x, y) }\n"
	calm := "package lib\nok if input.time.minute > 3\nno if input.site.host\n"
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			helper := calm
			if strings.Contains(c.rego, "dice") {
				helper = lib
			}
			if got := reachOf(t, "package app\n"+c.rego, helper).String(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestReachOfShippedPackages keeps their functions narrow: one that is handed a
// whole group makes the answers of every policy that calls it short-lived.
func TestReachOfShippedPackages(t *testing.T) {
	var shipped []string
	for _, name := range []string{"abac", "http", "rbac", "rebac"} {
		text, err := fs.ReadFile(policies.FS, "gatehouse/"+name+".rego")
		if err != nil {
			t.Fatal(err)
		}
		shipped = append(shipped, string(text))
	}
	for _, c := range []struct{ rego, want string }{
		{`rbac.allowed(input.identity.roles, http.action(input.request.method))`, "request.method identity.roles"},
		{`abac.during("08:00", "18:00")`, "time.hour time.minute"},
		{`abac.workday`, "time.weekday"},
		{`abac.in_network(input.request.client_ip, ["10.0.0.0/8"])`, "request.client_ip"},
		{`abac.satisfies(input.identity.claims, {"a": 1})`, "identity.claims"},
		{`rebac.related(input.identity.username, "viewer", http.captures("/{id}", input.request.segments).id)`, "request.segments identity.username"},
		{`http.below("/a", input.request.path)`, "request.path"},
		{`http.parameter(input.request.query, "q") == "x"`, "request.query"},
	} {
		t.Run(c.rego, func(t *testing.T) {
			imports := "import data.gatehouse.abac\nimport data.gatehouse.http\nimport data.gatehouse.rbac\nimport data.gatehouse.rebac\n"
			if got := reachOf(t, "package app\n"+imports+"allow if "+c.rego, shipped...).String(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestReachOfNothing(t *testing.T) {
	c := ast.NewCompiler()
	c.Compile(map[string]*ast.Module{})
	if r := analyse(c, ast.MustParseRef("data.app.allow")); !r.never {
		t.Error("an entry point that does not exist must not look like a constant answer")
	}
}

// TestFieldsAreComplete fails when the question or the identity gets a field that
// the key knows nothing of. Teach fieldNames and part.append, then count anew.
// Site, Credential and Signer of an identity are not in the input.
func TestFieldsAreComplete(t *testing.T) {
	for _, c := range []struct {
		of   any
		want int
	}{{decision.Question{}, 4}, {decision.Request{}, 12}, {decision.Site{}, 2}, {identity.Identity{}, 19}} {
		if got := reflect.TypeOf(c.of).NumField(); got != c.want {
			t.Errorf("%T has %d fields, the key knows of %d", c.of, got, c.want)
		}
	}
	for f, name := range fieldNames {
		if name == "" || slices.Index(fieldNames[:], name) != f {
			t.Errorf("field %d has no name of its own: %q", f, name)
		}
		_, ok := part{field: field(f)}.append(nil, question("/"))
		if ok == (field(f) == requestID) {
			t.Errorf("%s: in the key: %v", name, ok)
		}
	}
}

// TestKeysDoNotCollide holds pairs that a careless key takes for one.
func TestKeysDoNotCollide(t *testing.T) {
	all := &reach{}
	for f := requestMethod; f < fieldCount; f++ {
		all.parts = append(all.parts, part{field: f})
	}
	base := func() *decision.Question {
		q := question("/x")
		id := *q.Identity
		q.Identity = &id
		return q
	}
	cases := []struct {
		name string
		a, b func(q *decision.Question)
	}{
		{"one role with a comma, and two roles",
			func(q *decision.Question) { q.Identity.Roles = []string{"a,b"} },
			func(q *decision.Question) { q.Identity.Roles = []string{"a", "b"} }},
		{"role that moves to the groups",
			func(q *decision.Question) { q.Identity.Roles, q.Identity.Groups = []string{"a"}, nil },
			func(q *decision.Question) { q.Identity.Roles, q.Identity.Groups = nil, []string{"a"} }},
		{"text that moves to the next field",
			func(q *decision.Question) { q.Request.Method, q.Request.Scheme = "GETh", "ttps" },
			func(q *decision.Question) { q.Request.Method, q.Request.Scheme = "GET", "https" }},
		{"text that looks like a length",
			func(q *decision.Question) { q.Request.Path, q.Request.RawPath = "/\x02/a", "" },
			func(q *decision.Question) { q.Request.Path, q.Request.RawPath = "/", "/a" }},
		{"nobody, and somebody without a name",
			func(q *decision.Question) { q.Identity = nil },
			func(q *decision.Question) { q.Identity = &identity.Identity{Method: identity.Session} }},
		{"address unverified, and no address",
			func(q *decision.Question) { q.Identity.Email = "a@b" },
			func(q *decision.Question) { q.Identity.Email = "" }},
		{"claim that is a number, and a text",
			func(q *decision.Question) { q.Identity.Claims = map[string]any{"a": 1.0} },
			func(q *decision.Question) { q.Identity.Claims = map[string]any{"a": "1"} }},
		{"claim that is null, and no claim",
			func(q *decision.Question) { q.Identity.Claims = map[string]any{"a": nil} },
			func(q *decision.Question) { q.Identity.Claims = nil }},
		{"claim in a list, and by itself",
			func(q *decision.Question) { q.Identity.Claims = map[string]any{"a": []any{"x"}} },
			func(q *decision.Question) { q.Identity.Claims = map[string]any{"a": "x"} }},
		{"claim below another, and beside it",
			func(q *decision.Question) { q.Identity.Claims = map[string]any{"a": map[string]any{"b": 1.0}} },
			func(q *decision.Question) { q.Identity.Claims = map[string]any{"a": map[string]any{}, "b": 1.0} }},
		{"query value that moves to another name",
			func(q *decision.Question) { q.Request.Query = map[string][]string{"a": {"1", "2"}, "b": {}} },
			func(q *decision.Question) { q.Request.Query = map[string][]string{"a": {"1"}, "b": {"2"}} }},
		{"order of the values of a parameter",
			func(q *decision.Question) { q.Request.Query = map[string][]string{"a": {"1", "2"}} },
			func(q *decision.Question) { q.Request.Query = map[string][]string{"a": {"2", "1"}} }},
		{"same moment in another time zone",
			func(q *decision.Question) { q.Time = noon },
			func(q *decision.Question) { q.Time = noon.In(time.FixedZone("x", 3600)) }},
		{"a second later",
			func(q *decision.Question) { q.Time = noon },
			func(q *decision.Question) { q.Time = noon.Add(time.Second) }},
		{"no address of the client, and an odd one",
			func(q *decision.Question) { q.Request.ClientIP = netip.Addr{} },
			func(q *decision.Question) { q.Request.ClientIP = netip.MustParseAddr("::") }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a, b := base(), base()
			c.a(a)
			c.b(b)
			one, ok := all.key(nil, a)
			two, ok2 := all.key(nil, b)
			if !ok || !ok2 || string(one) == string(two) {
				t.Errorf("%v %v\n%q\n%q", ok, ok2, one, two)
			}
		})
	}
}

func TestKeyIsStable(t *testing.T) {
	r := reachOf(t, `package app
allow if { input.request.query; input.identity.claims; input.request.headers }`)
	q := question("/x")
	q.Request.Query = map[string][]string{"a": {"1"}, "b": {"2"}, "c": {"3"}}
	q.Identity.Claims = map[string]any{"x": map[string]any{"p": 1.0, "q": true, "r": nil}, "y": []any{"z"}}
	first, ok := r.key(nil, q)
	if !ok {
		t.Fatal("no key")
	}
	for range 50 {
		if again, _ := r.key(nil, q); string(again) != string(first) {
			t.Fatalf("%q\n%q", first, again)
		}
	}
}

func TestNotRemembered(t *testing.T) {
	cases := []struct {
		name, rego string
		change     func(q *decision.Question)
	}{
		{"very long path", `allow if input.request.path == "/"`, func(q *decision.Question) { q.Request.Path = strings.Repeat("/a", 4096) }},
		{"header in another spelling beside it", `allow if input.request.headers["x-a"]`, func(q *decision.Question) {
			q.Request.Header = map[string][]string{"x-a": {"1"}}
		}},
		{"claim that JSON cannot hold", `allow if input.identity.claims.a`, func(q *decision.Question) {
			q.Identity = &identity.Identity{Method: identity.JWT, Claims: map[string]any{"a": struct{}{}}}
		}},
		{"claim without end", `allow if input.identity.claims.a`, func(q *decision.Question) {
			loop := map[string]any{}
			loop["a"] = loop
			q.Identity = &identity.Identity{Method: identity.JWT, Claims: loop}
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r, q := reachOf(t, "package app\n"+c.rego), question("/")
			if _, ok := r.key(nil, q); !ok {
				t.Fatal("the plain question has no key")
			}
			c.change(q)
			if _, ok := r.key(nil, q); ok {
				t.Error("has a key")
			}
		})
	}
}

func TestNumbersInClaims(t *testing.T) {
	one, _ := appendValue(nil, math.Copysign(0, -1), 0)
	two, _ := appendValue(nil, 0.0, 0)
	if string(one) == string(two) {
		t.Error("finer than the policy sees it is fine, coarser is not: -0 and 0 print differently")
	}
}

const typical = `package app
allow if { "editor" in input.identity.roles; input.request.method == "GET"; startswith(input.request.path, "/x") }`

func TestKeyDoesNotAllocate(t *testing.T) {
	r, q := reachOf(t, typical), question("/x/y")
	var room [256]byte
	if n := testing.AllocsPerRun(100, func() { r.key(room[:0], q) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkKey(b *testing.B) {
	r, q := reachOf(b, typical), question("/x/y")
	var room [256]byte
	for b.Loop() {
		r.key(room[:0], q)
	}
}

// FuzzClaimKeys looks for two claims that differ and have one key, or are the same
// and have two. Minus zero is another number than zero to a policy that prints it.
func FuzzClaimKeys(f *testing.F) {
	for _, pair := range [][2]string{{`1`, `"1"`}, {`[1]`, `1`}, {`{"a":{"b":1}}`, `{"a":{},"b":1}`}, {`[[],1]`, `[[1]]`}, {`null`, `false`}, {`["a","b"]`, `["a\u0001b"]`}} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		var one, two any
		if json.Unmarshal([]byte(a), &one) != nil || json.Unmarshal([]byte(b), &two) != nil {
			return
		}
		x, okX := appendValue(nil, one, 0)
		y, okY := appendValue(nil, two, 0)
		signOfZero := func(v any) string { text, _ := json.Marshal(v); return string(text) }
		same := reflect.DeepEqual(one, two) && signOfZero(one) == signOfZero(two)
		if okX && okY && (string(x) == string(y)) != same {
			t.Errorf("%s and %s: %q and %q", a, b, x, y)
		}
	})
}
