package policy

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// author writes random policies: nonsense that compiles, and that reads its
// input in every way that Rego has.
type author struct {
	*rand.Rand
	helpers int // helpers defined so far: h0, h1, …
	vars    int
}

// randomData is what the policies of an author look things up in.
const randomData = `{
	"conf": {"field": "username", "group": "identity", "flag": true},
	"fields": ["roles", "groups"],
	"grants": {"admin": ["GET", "/a/x"], "GET": ["alice"]},
	"people": {"alice": {"level": 1}, "/a/x": {"level": 2}},
	"open": ["/a/x", "alice"]
}`

func (a *author) pick(from ...string) string { return from[a.IntN(len(from))] }

func (a *author) name(prefix string) string {
	a.vars++
	return fmt.Sprintf("%s%d", prefix, a.vars)
}

// text is a reference to a string of the input, if it is there.
func (a *author) text() string {
	return a.pick(
		"input.request.method", "input.request.path", "input.request.host", "input.request.scheme",
		"input.request.raw_path", "input.request.protocol", "input.request.client_ip",
		"input.identity.username", "input.identity.email", "input.identity.provider", "input.identity.method",
		"input.identity.name", "input.identity.subject", "input.identity.issuer", "input.identity.id",
		"input.identity.claims.dept", `input.identity["claims"].dept`, "input.identity.claims.org.name",
		"input.identity.session_id", "input.time.weekday", "input.site.host", "input.site.policy",
		"input.request.query.q[0]", `input.request.query["p"][_]`, `input.request.headers["x-a"][0]`,
		`input["request"].headers["content-type"][_]`, "input.request.segments[0]", "input.request.segments[1]",
	)
}

func (a *author) number() string {
	return a.pick("input.time.hour", "input.time.minute", "input.time.unix", "input.request.port",
		"input.identity.auth_age", "input.identity.auth_time", "input.identity.claims.level",
		"count(input.request.segments)", "count(input.identity.roles)", "input.version")
}

func (a *author) list() string {
	return a.pick("input.identity.roles", "input.identity.groups", "input.identity.scopes", "input.identity.amr",
		"input.request.segments", "input.request.query.q", `input.request.headers["x-a"]`, "input.identity.claims.teams")
}

func (a *author) whole() string {
	return a.pick("input.identity", "input.request.query", "input.request.headers", "input.identity.claims", "input.time",
		"input.site", "input.identity.claims.org", "input.identity.roles")
}

// words are nearly all strings that there are, in policies, data and questions,
// so that comparisons hold often, and a change of any field shows.
var words = []string{"alice", "admin", "/a/x", "GET"}

func (a *author) word() string { return words[a.IntN(len(words))] }

// maybe is a word or nothing.
func (a *author) maybe() string { return a.pick("", a.word()) }

func (a *author) some() []string {
	return among(a.Rand, nil, []string{}, []string{a.word()}, []string{a.word(), a.word()}, []string{""})
}

func (a *author) constant() string { return strconv.Quote(a.word()) }

// condition is one or more expressions for a body.
func (a *author) condition(depth int) string {
	simple := []func() string{
		func() string { return a.text() + " == " + a.constant() },
		func() string { return a.text() + " == " + a.text() },
		func() string { return a.constant() + " in " + a.list() },
		func() string { return a.list() + "[_] == " + a.constant() },
		func() string { return a.text() + " in {" + a.constant() + ", " + a.constant() + "}" },
		func() string { return a.text() + " in " + a.pick("data.open", a.list()) },
		func() string { return fmt.Sprintf(`startswith(%s, %s)`, a.text(), a.constant()) },
		func() string {
			return fmt.Sprintf(`strings.any_prefix_match(%s, [%s, "/a"])`, a.text(), a.constant())
		},
		func() string { return fmt.Sprintf(`endswith(%s, "in")`, a.text()) },
		func() string { return fmt.Sprintf(`glob.match("/*/x", ["/"], %s)`, a.text()) },
		func() string { return fmt.Sprintf(`regex.match("^.[a-m]", %s)`, a.text()) },
		func() string { return fmt.Sprintf(`contains(%s, "e")`, a.text()) },
		func() string { return a.number() + a.pick(" > 9", " < 30", " == 1", " >= 3600", " != 443") },
		func() string { return a.number() + " == " + a.number() },
		func() string {
			return a.pick("input.identity.authenticated", "input.identity.email_verified", a.text())
		},
		func() string { return "data.grants[" + a.list() + "[_]][_] == " + a.text() },
		func() string { return "data.people[" + a.text() + "].level == " + a.number() },
		func() string {
			if a.IntN(8) > 0 { // reads everything, and then nothing is remembered
				return "input.identity[data.conf.field] == " + a.constant()
			}
			return "input[data.conf.group][data.conf.field] == " + a.constant()
		},
		func() string { return "input.identity[data.fields[_]][_] == " + a.constant() },
		func() string {
			return fmt.Sprintf(`object.get(%s, %s, "none") == %s`, a.whole(), a.constant(), a.text())
		},
		func() string {
			return fmt.Sprintf(`object.get(input, ["identity", "%s"], "none") == %s`, a.pick("username", "email", "claims"), a.constant())
		},
		func() string {
			return fmt.Sprintf(`object.get(input.request.headers, "%s", ["none"])[0] == %s`, a.pick("x-a", "content-type"), a.constant())
		},
		func() string { return fmt.Sprintf(`count(%s) == %d`, a.whole(), a.IntN(4)) },
		func() string { return fmt.Sprintf(`sprintf("%%v", [%s]) != %s`, a.whole(), a.constant()) },
		func() string { return fmt.Sprintf(`json.marshal(%s) != json.marshal(%s)`, a.whole(), a.whole()) },
		func() string {
			v := a.name("v")
			return fmt.Sprintf("%s := input.%s\n\t%s.%s == %s", v, a.pick("identity", "request"), v,
				a.pick("username", "method", "path", "email"), a.constant())
		},
		func() string {
			v, w := a.name("v"), a.name("v")
			return fmt.Sprintf("%s := input\n\t%s := %s.identity\n\t%s.roles[_] == %s", v, w, v, w, a.constant())
		},
		func() string {
			v, w := a.name("v"), a.name("v")
			return fmt.Sprintf("[%s, %s] = [%s, %s]\n\t%s != %s", v, w, a.text(), a.text(), v, w)
		},
		func() string {
			v := a.name("v")
			return fmt.Sprintf("walk(%s, [_, %s])\n\t%s == %s", a.whole(), v, v, a.constant())
		},
		func() string {
			v := a.name("v")
			return fmt.Sprintf("some %s, _ in %s\n\t%s == %s", v, a.whole(), v, a.pick(`"roles"`, `"q"`, `"x-a"`, `"dept"`, `"email"`))
		},
		func() string { return fmt.Sprintf(`$"{%s}-{%s}" != "GET-GET"`, a.text(), a.text()) },
	}
	if a.helpers > 0 {
		h := func() string { return fmt.Sprintf("h%d", a.IntN(a.helpers)) }
		simple = append(simple,
			func() string { return h() + "_rule" },
			func() string { return "not " + h() + "_rule" },
			func() string { return fmt.Sprintf("%s_fn(%s)", h(), a.text()) },
			func() string { return fmt.Sprintf("%s_fn(%s) == 2", h(), a.whole()) },
			func() string { return a.constant() + " in " + h() + "_set" },
			func() string { return fmt.Sprintf("%s_set[%s]", h(), a.text()) },
			func() string { return fmt.Sprintf("%s_obj[%s] == %s", h(), a.text(), a.constant()) },
			func() string { return h() + "_obj.deep.er == " + a.text() },
			func() string { return fmt.Sprintf("count(%s_set) > 1", h()) },
			func() string { return fmt.Sprintf("data.names[%s][_] == %s", a.text(), a.constant()) },
			func() string { return fmt.Sprintf("count(data.lib.%s_set) == %d", h(), a.IntN(3)) },
			func() string {
				v := a.name("v")
				return fmt.Sprintf("%s := %s_rule with input.%s as %s\n\t%s == true", v, h(),
					a.pick("request.method", "request.path", "identity.roles", "identity", "identity.claims.dept", "request.query.q"),
					a.pick(a.constant(), a.text(), a.list(), `{"username": "alice", "roles": ["admin"]}`), v)
			},
			func() string {
				return fmt.Sprintf("not %s_rule with input as %s", h(), a.pick("{}", "{\"identity\": input.identity}"))
			},
			func() string {
				return fmt.Sprintf("%s_rule with data.conf.field as %s", h(), a.pick(`"email"`, `"name"`))
			},
			func() string { return fmt.Sprintf("%s_rule with data.lib.%s_rule as %s", h(), h(), a.text()) },
			func() string { return fmt.Sprintf("%s_rule with startswith as data.lib.h0_two", h()) },
		)
	}
	if depth > 0 {
		in := func() string { return a.condition(depth - 1) }
		simple = append(simple,
			func() string {
				v := a.name("v")
				return fmt.Sprintf("every %s in %s {\n\t%s != %s\n\t%s\n}", v, a.list(), v, a.constant(), in())
			},
			func() string {
				v := a.name("v")
				return fmt.Sprintf("count({%s | some %s in %s; %s != %s\n%s\n}) > %d", v, v, a.list(), v, a.constant(), in(), a.IntN(2))
			},
			func() string {
				v := a.name("v")
				return fmt.Sprintf("count([1 | some %s in %s\n%s\n]) == %d", v, a.list(), in(), a.IntN(3))
			},
			func() string {
				v := a.name("v")
				return fmt.Sprintf("count({%s: %s | some %s in %s\n%s\n}) < 2", v, a.text(), v, a.list(), in())
			},
		)
	}
	return simple[a.IntN(len(simple))]()
}

func (a *author) body(depth int) string {
	var b strings.Builder
	for range 1 + a.IntN(4)/3 {
		b.WriteString("\t" + a.condition(depth) + "\n")
	}
	return b.String()
}

// policy writes package app, with helpers in package lib.
func (a *author) policy() map[string]string {
	var lib strings.Builder
	lib.WriteString("package lib\n\nh0_two(x, y) if x == y\n\n")
	for i := range a.IntN(3) {
		n := fmt.Sprintf("h%d", i)
		fmt.Fprintf(&lib, "default %s_rule := false\n\n%s_rule if {\n%s}\n\n", n, n, a.body(2))
		if a.IntN(2) == 0 {
			fmt.Fprintf(&lib, "%s_rule if {\n%s}\n\n", n, a.body(1))
		}
		fmt.Fprintf(&lib, "%s_fn(x) := 1 if {\n\tx == %s\n%s} else := 2 if {\n%s} else := %s\n\n", n, a.constant(), a.body(1), a.body(1), a.pick("3", "2", a.text()))
		fmt.Fprintf(&lib, "%s_set contains %s if {\n%s}\n\n%s_set contains v if {\n\tsome v in %s\n%s}\n\n", n, a.pick(a.constant(), a.text()), a.body(1), n, a.list(), a.body(1))
		fmt.Fprintf(&lib, "%s_obj[k] := v if {\n\tk := %s\n\tv := %s\n%s}\n\n%s_obj.deep.er := %s if {\n%s}\n\n", n, a.constant(), a.text(), a.body(0), n, a.pick(a.text(), a.constant()), a.body(0))
		a.helpers = i + 1
	}
	helpers := a.helpers
	a.helpers = 0 // what is looked up by a computed name must not come back here
	names := "package names\n\n"
	for _, n := range words[:2] {
		names += fmt.Sprintf("%s contains %s if {\n%s}\n\n", n, a.text(), a.body(1))
	}
	a.helpers = helpers
	var app strings.Builder
	app.WriteString("package app\n\nimport data.lib\nimport input.identity as who\n\n")
	for i := range a.helpers {
		for _, rule := range []string{"rule", "set", "obj"} {
			fmt.Fprintf(&app, "h%d_%s := lib.h%d_%s\n", i, rule, i, rule)
		}
		fmt.Fprintf(&app, "h%d_fn(x) := lib.h%d_fn(x)\n\n", i, i)
	}
	fmt.Fprintf(&app, "default allow := false\n\nallow if {\n%s}\n\n", a.body(2))
	if a.IntN(2) == 0 {
		fmt.Fprintf(&app, "allow if {\n\twho.username == %s\n%s}\n\n", a.constant(), a.body(1))
	}
	if a.IntN(2) == 0 {
		fmt.Fprintf(&app, "deny contains %s if {\n%s}\n\n", a.pick(`"no"`, a.text(), `concat(" ", [`+a.text()+`, "no"])`), a.body(1))
	}
	if a.IntN(4) == 0 {
		fmt.Fprintf(&app, "require contains \"mfa\" if {\n%s}\n\n", a.body(0))
	}
	if a.IntN(4) == 0 {
		fmt.Fprintf(&app, "headers[\"X-Team\"] := %s if {\n%s}\n\n", a.text(), a.body(0))
	}
	// The log shows what a refusal would hide: whether each of a few conditions
	// holds by itself, and what the helpers make.
	for i := range 1 + a.IntN(3) {
		fmt.Fprintf(&app, "log[\"c%d\"] := count([1 |\n%s])\n\n", i, a.body(2))
	}
	for i := range a.helpers {
		fmt.Fprintf(&app, "log[\"h%d\"] := [h%d_%s]\n\n", i, i, a.pick("rule", "set", "obj", "fn("+a.text()+")"))
	}
	if a.IntN(4) == 0 {
		fmt.Fprintf(&app, "log[\"seen\"] := %s\n\n", a.pick(a.text(), a.number(), a.whole(), a.list()))
	}
	return map[string]string{"app.rego": app.String(), "lib.rego": lib.String(), "names.rego": names, "data.json": randomData}
}

func among[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

// identities are shared, as between requests.
func (a *author) identities(n int) []*identity.Identity {
	out := []*identity.Identity{nil, {Method: identity.None, Username: "ghost", Roles: []string{"admin"}}}
	for range n {
		out = append(out, a.identity())
	}
	return out
}

func (a *author) identity() *identity.Identity {
	return &identity.Identity{
		Method: among(a.Rand, identity.Session, identity.JWT, identity.Method(a.word())), Provider: a.maybe(),
		ID: a.maybe(), Issuer: a.maybe(), Subject: a.maybe(), Username: a.maybe(),
		Email: a.maybe(), EmailVerified: a.IntN(2) == 0, Name: a.maybe(),
		Roles: a.some(), Groups: a.some(), Scopes: a.some(), AMR: a.some(), Claims: a.claims(),
		AuthTime:  among(a.Rand, time.Time{}, noon.Add(-time.Hour), noon.Add(-time.Hour+300*time.Millisecond), noon.Add(time.Hour)),
		SessionID: a.maybe(),
	}
}

func (a *author) claims() map[string]any {
	claims := map[string]any{
		"dept":  among[any](a.Rand, nil, a.word(), "", []any{a.word()}, map[string]any{"0": a.word()}),
		"level": among[any](a.Rand, 1, 1.0, 1.5, "1", json.Number("1e0"), int64(2), true),
		"teams": among[any](a.Rand, []any{a.word(), a.word()}, []any{}, a.some(), a.word()),
		"org":   among[any](a.Rand, map[string]any{"name": a.word()}, map[string]any{"name": a.word(), "x": true}, map[string]any{}),
	}
	for name := range claims {
		if a.IntN(3) == 0 {
			delete(claims, name)
		}
	}
	return claims
}

// question is a random one.
func (a *author) question(who []*identity.Identity) *decision.Question {
	lists := func() map[string][]string {
		return among(a.Rand, nil, map[string][]string{}, map[string][]string{"q": a.some()}, map[string][]string{"q": a.some(), "p": a.some()})
	}
	return &decision.Question{
		Request: decision.Request{
			ID: fmt.Sprint(a.IntN(1000)), Method: a.word(), Scheme: a.word(), Host: a.word(), Port: among(a.Rand, 0, 80, 443),
			Path: a.word(), Segments: a.some(), RawPath: a.word(), Query: lists(), Protocol: a.word(),
			Header: among(a.Rand, nil, map[string][]string{"X-A": a.some()}, map[string][]string{"X-A": a.some(), "Content-Type": a.some()},
				map[string][]string{"x-a": a.some(), "Accept": a.some()}, map[string][]string{"X-A": a.some(), "x-a": a.some()}),
			ClientIP: among(a.Rand, netip.Addr{}, netip.MustParseAddr("10.0.0.1"),
				netip.MustParseAddr("::ffff:10.0.0.1"), netip.MustParseAddr("fe80::1%a")),
		},
		Identity: among(a.Rand, who...),
		Time: noon.Add(among(a.Rand, 0, 400*time.Millisecond, time.Second, 2*time.Minute, 3*time.Hour, 24*time.Hour)).
			In(among(a.Rand, time.UTC, time.FixedZone("CET", 3600))),
		Site: decision.Site{Host: a.word(), Policy: a.maybe()},
	}
}

// fieldOwners are the Go fields behind the fields of the input, where the names
// alone do not tell.
var fieldOwners = map[field][]string{
	requestID:             {"ID"},
	requestHeaders:        {"Header"},
	requestClientIP:       {"ClientIP"},
	requestRawPath:        {"RawPath"},
	identityAuthenticated: {},
	identityEmailVerified: {"EmailVerified", "Email"},
	identityAuthTime:      {"AuthTime"},
	identityAuthAge:       {"AuthTime"},
	identitySessionID:     {"SessionID"},
	identityID:            {"ID"},
	identityAMR:           {"AMR"},
}

// blend takes what is reached from q, and all else from other.
func (a *author) blend(r *reach, q, other *decision.Question) *decision.Question {
	out := *other
	id := identity.Identity{Method: identity.Session}
	if other.Identity.Authenticated() {
		id = *other.Identity
	}
	for _, p := range r.parts {
		group, name, _ := strings.Cut(fieldNames[p.field], ".")
		owners, special := fieldOwners[p.field]
		if !special {
			owners = []string{strings.ToUpper(name[:1]) + name[1:]}
		}
		switch {
		case group == "time" || p.field == identityAuthAge:
			out.Time = q.Time
		case group == "request" && p.name != "":
			takeName(&out.Request, &q.Request, owners[0], p.name)
		case group == "request":
			copyFields(&out.Request, &q.Request, owners)
		case group == "site":
			copyFields(&out.Site, &q.Site, owners)
		}
		if group != "identity" {
			continue
		}
		if !q.Identity.Authenticated() {
			out.Identity = q.Identity
			continue
		}
		if p.name != "" {
			takeName(&id, q.Identity, owners[0], p.name)
		} else {
			copyFields(&id, q.Identity, owners)
		}
		out.Identity = &id
	}
	return &out
}

func copyFields(to, from any, names []string) {
	for _, name := range names {
		reflect.ValueOf(to).Elem().FieldByName(name).Set(reflect.ValueOf(from).Elem().FieldByName(name))
	}
}

// takeName copies one entry of a map in a field, and leaves the other entries.
func takeName(to, from any, field, name string) {
	target, source := reflect.ValueOf(to).Elem().FieldByName(field), reflect.ValueOf(from).Elem().FieldByName(field)
	mixed := reflect.MakeMap(target.Type())
	for _, k := range target.MapKeys() {
		if !strings.EqualFold(k.String(), name) {
			mixed.SetMapIndex(k, target.MapIndex(k))
		}
	}
	for _, k := range source.MapKeys() {
		if strings.EqualFold(k.String(), name) {
			mixed.SetMapIndex(k, source.MapIndex(k))
		}
	}
	target.Set(mixed)
}
