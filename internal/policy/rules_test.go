package policy

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// parseLine reads "role admin editor & path /x" as a Line.
func parseLine(s string) Line {
	var l Line
	for _, c := range strings.Split(s, " & ") {
		words := strings.Fields(c)
		l = append(l, Condition{Kind: words[0], Values: words[1:]})
	}
	return l
}

func parseLines(all []string) []Line {
	var out []Line
	for _, s := range all {
		out = append(out, parseLine(s))
	}
	return out
}

// rulesSite makes the entry of a site with these lines, and shows that pasting what
// `policy show` prints into a file decides the same.
func rulesSite(t testing.TB, allow, deny []Line) (entry, pasted *Entry) {
	t.Helper()
	text, err := CompileRules("site", allow, deny)
	if err != nil {
		t.Fatal(err)
	}
	e := load(t, Options{Remember: -1}, files{"pasted.rego": strings.Replace(text, "package site", "package pasted", 1)})
	if err := e.AddRules("site", allow, deny); err != nil {
		t.Fatal(err)
	}
	return entryOf(t, e, "site"), entryOf(t, e, "pasted")
}

func entryOf(t testing.TB, e *Engine, pkg string) *Entry {
	t.Helper()
	n, err := e.Entry(pkg)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// asking is a GET of /reports/x by alice from 203.0.113.9, changed.
func asking(change func(r *decision.Request, id *identity.Identity)) *decision.Question {
	q := question("/reports/x")
	id := *q.Identity
	id.Email, id.EmailVerified = "Alice@Example.com", true
	q.Identity = &id
	if change != nil {
		change(&q.Request, &id)
	}
	return q
}

func TestRules(t *testing.T) {
	type change = func(r *decision.Request, id *identity.Identity)
	path := func(p string) change { return func(r *decision.Request, _ *identity.Identity) { r.Path = p } }
	method := func(m string) change { return func(r *decision.Request, _ *identity.Identity) { r.Method = m } }
	addr := func(a string) change {
		return func(r *decision.Request, _ *identity.Identity) {
			r.ClientIP = netip.Addr{}
			if a != "" {
				r.ClientIP = netip.MustParseAddr(a)
			}
		}
	}
	email := func(e string, verified bool) change {
		return func(_ *decision.Request, id *identity.Identity) { id.Email, id.EmailVerified = e, verified }
	}
	user := func(n string) change { return func(_ *decision.Request, id *identity.Identity) { id.Username = n } }
	roles := func(r ...string) change { return func(_ *decision.Request, id *identity.Identity) { id.Roles = r } }
	scopes := func(s ...string) change { return func(_ *decision.Request, id *identity.Identity) { id.Scopes = s } }
	provider := func(p string) change { return func(_ *decision.Request, id *identity.Identity) { id.Provider = p } }
	nobody := func(_ *decision.Request, id *identity.Identity) { *id = identity.Identity{} }
	many := "role r1 r2 r3 r4 r5 r6 r7 r8 r9 editor"

	cases := []struct {
		name        string
		allow, deny []string
		change      change
		pass        bool
	}{
		{"no lines, signed in", nil, nil, nil, true},
		{"no lines, nobody", nil, nil, nobody, false},
		{"only deny lines, signed in", nil, []string{"path /admin/*"}, nil, true},
		{"only deny lines, nobody", nil, []string{"path /admin/*"}, nobody, false},
		{"anyone, nobody", []string{"anyone"}, nil, nobody, true},
		{"anyone with a path, nobody", []string{"anyone & path /reports/*"}, nil, nobody, true},
		{"anyone with another path", []string{"anyone & path /public/*"}, nil, nil, false},
		{"deny anyone", []string{"anyone"}, []string{"anyone"}, nil, false},
		{"deny signed_in, nobody", []string{"anyone"}, []string{"signed_in"}, nobody, true},
		{"deny signed_in, somebody", []string{"anyone"}, []string{"signed_in"}, nil, false},
		{"second allow line is enough", []string{"role admin", "group finance"}, nil, nil, true},
		{"all conditions of a line", []string{"group finance & method GET & path /reports/*"}, nil, nil, true},
		{"one condition of a line fails", []string{"group finance & method GET & path /reports/*"}, nil, method("POST"), false},
		{"deny wins", []string{"role editor"}, []string{"group finance"}, nil, false},
		{"deny line of which one condition fails", []string{"role editor"}, []string{"group finance & method POST"}, nil, true},

		{"user", []string{"user alice"}, nil, nil, true},
		{"user in capitals and full width", []string{"user ＡLICE"}, nil, nil, true},
		{"user, sharp s", []string{"user STRAẞE"}, nil, user("strasse"), true},
		{"another user", []string{"user bob carol"}, nil, nil, false},
		{"user who only begins like it", []string{"user ali"}, nil, nil, false},
		{"denied user", nil, []string{"user Alice"}, nil, false},

		{"one of two roles", []string{"role admin editor"}, nil, nil, true},
		{"one of many roles", []string{many}, nil, nil, true},
		{"none of many roles", []string{many}, nil, roles("r10"), false},
		{"role in another case", []string{"role Editor"}, nil, nil, false},
		{"role that holds another as text", []string{"role edit"}, nil, nil, false},
		{"role given as group", []string{"role finance"}, nil, nil, false},
		{"both roles asked for, one held", []string{"role admin & role editor"}, nil, nil, false},
		{"both roles asked for and held", []string{"role admin & role editor"}, nil, roles("admin", "editor"), true},

		{"scope", []string{"scope reports:read"}, nil, scopes("reports:read"), true},
		{"one of two scopes", []string{"scope reports:write reports:read"}, nil, scopes("reports:read", "x"), true},
		{"both scopes asked for, one held", []string{"scope reports:write & scope reports:read"}, nil, scopes("reports:read"), false},
		{"no scope", []string{"scope reports:read"}, nil, nil, false},
		{"scope in another case", []string{"scope Reports:read"}, nil, scopes("reports:read"), false},
		{"scope that holds another as text", []string{"scope reports"}, nil, scopes("reports:read"), false},
		{"role given as scope", []string{"scope editor"}, nil, nil, false},
		{"denied scope", nil, []string{"scope reports:read"}, scopes("reports:read"), false},

		{"provider", []string{"provider keycloak local"}, nil, provider("keycloak"), true},
		{"another provider", []string{"provider keycloak"}, nil, provider("google"), false},
		{"no provider", []string{"provider keycloak"}, nil, nobody, false},
		{"denied provider", nil, []string{"provider keycloak"}, provider("keycloak"), false},

		{"email in any case", []string{"email aLICE@example.COM"}, nil, nil, true},
		{"email not verified", []string{"email alice@example.com"}, nil, email("alice@example.com", false), false},
		{"email absent", []string{"email alice@example.com"}, nil, email("", false), false},
		{"email denied, not verified", nil, []string{"email alice@example.com"}, email("Alice@example.com", false), false},
		{"email denied, other absent", nil, []string{"email alice@example.com"}, email("", false), true},
		{"domain", []string{"email_domain EXAMPLE.com"}, nil, nil, true},
		{"one of two domains", []string{"email_domain example.org example.com"}, nil, nil, true},
		{"domain not verified", []string{"email_domain example.com"}, nil, email("a@example.com", false), false},
		{"domain that ends alike", []string{"email_domain example.com"}, nil, email("a@evil-example.com", true), false},
		{"subdomain", []string{"email_domain example.com"}, nil, email("a@sub.example.com", true), false},
		{"domain in the local part", []string{"email_domain example.com"}, nil, email("a@example.com@evil.com", true), false},
		{"domain after the last @", []string{"email_domain example.com"}, nil, email(`"a@evil.com"@example.com`, true), true},
		{"denied domain, not verified", nil, []string{"email_domain evil.com"}, email("a@EVIL.com", false), false},

		{"method written small", []string{"method get"}, nil, nil, true},
		{"request method in small letters", []string{"method GET"}, nil, method("get"), false},
		{"denied method in small letters", nil, []string{"method DELETE"}, method("delete"), false},

		{"exact path", []string{"path /reports/x"}, nil, nil, true},
		{"longer than the exact path", []string{"path /reports"}, nil, nil, false},
		{"path in another case", []string{"path /Reports/*"}, nil, nil, false},
		{"below a folder", []string{"path /reports/*"}, nil, path("/reports/a/b/c"), true},
		{"the folder itself", []string{"path /reports/*"}, nil, path("/reports"), false},
		{"neighbour with the same beginning", []string{"path /reports/*"}, nil, path("/reports-old/x"), false},
		{"star without a slash, as in Caddy", []string{"path /rep*"}, nil, nil, true},
		{"star alone", []string{"path /*"}, nil, path("/"), true},
		{"star inside", []string{"path /a/*/edit"}, nil, path("/a/b/edit"), true},
		{"star inside stays in its segment", []string{"path /a/*/edit"}, nil, path("/a/b/c/edit"), false},
		{"two stars cross segments", []string{"path /a/**/edit"}, nil, path("/a/b/c/edit"), true},
		{"star inside and at the end", []string{"path /a/*/files/*"}, nil, path("/a/b/files/c/d"), true},
		{"signs that a glob would take as its own", []string{"path /a/*/[b]{c,d}!"}, nil, path("/a/x/[b]{c,d}!"), true},
		{"signs that mean nothing to a glob", []string{"path /a/*/b-c^d,e.f+g"}, nil, path("/a/x/b-c^d,e.f+g"), true},
		{"dot that a pattern would take for any sign", []string{"path /a/*/[b].txt"}, nil, path("/a/x/[b]-txt"), false},
		{"alternatives that a glob would see", []string{"path /a/*/{c,d}"}, nil, path("/a/x/c"), false},
		{"one of three kinds of path", []string{"path /a /b/* /c/*/d"}, nil, path("/c/x/d"), true},
		{"denied path in another case", nil, []string{"path /Admin/*"}, path("/aDMIN/x"), false},
		{"denied exact path in another case", nil, []string{"path /secret"}, path("/SECRET"), false},
		{"denied glob in another case", nil, []string{"path /a/*/Edit"}, path("/A/b/eDIT"), false},
		{"folder itself of a denied path", nil, []string{"path /admin/*"}, path("/admin"), false},
		{"neighbour of a denied path", nil, []string{"path /admin/*"}, path("/administrator"), true},

		{"address", []string{"client_ip 203.0.113.9"}, nil, nil, true},
		{"another address", []string{"client_ip 203.0.113.8"}, nil, nil, false},
		{"range", []string{"client_ip 198.51.100.0/24 203.0.113.0/24"}, nil, nil, true},
		{"outside the ranges", []string{"client_ip 198.51.100.0/24 10.0.0.0/8"}, nil, nil, false},
		{"IPv4 in IPv6 clothes", []string{"client_ip 10.0.0.0/8"}, nil, addr("::ffff:10.1.2.3"), true},
		{"private ranges", []string{"client_ip private_ranges"}, nil, addr("172.16.9.9"), true},
		{"private ranges, loopback", []string{"client_ip private_ranges"}, nil, addr("::1"), true},
		{"private ranges, public address", []string{"client_ip private_ranges"}, nil, nil, false},
		{"address unknown", []string{"client_ip 0.0.0.0/0 ::/0"}, nil, addr(""), false},
		{"denied range", nil, []string{"client_ip 203.0.113.0/24"}, nil, false},
		{"denied address, another", nil, []string{"client_ip 203.0.113.8"}, nil, true},
		{"denied range, address unknown", nil, []string{"client_ip 203.0.113.0/24"}, addr(""), false},
		{"denied range, IPv4 in IPv6 clothes", nil, []string{"client_ip 10.0.0.0/8"}, addr("::ffff:10.1.2.3"), false},
		{"denied range, with a zone", nil, []string{"client_ip fe80::/10"}, addr("fe80::1%eth0"), false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			made, pasted := rulesSite(t, parseLines(c.allow), parseLines(c.deny))
			q := asking(c.change)
			a, b := decide(t, made, q), decide(t, pasted, q)
			if a.Pass() != c.pass {
				t.Errorf("pass is %v: %+v", a.Pass(), a)
			}
			if a.Allow != b.Allow || strings.Join(a.Reasons, "|") != strings.Join(b.Reasons, "|") {
				t.Errorf("pasted into a file: %+v\nas lines: %+v", b, a)
			}
		})
	}
}

func TestReasonsOfRules(t *testing.T) {
	cases := []struct {
		name        string
		allow, deny []string
		nobody      bool
		want        string
	}{
		{"what is needed", []string{"role admin", "group finance & method POST & path /reports/*"}, nil, false,
			"needs role admin, or group finance with method POST and path /reports/*"},
		{"scope and provider", []string{"scope a-b", "provider keycloak & role x"}, nil, false,
			"needs scope a-b, or a login or credential of keycloak and role x"},
		{"nothing is told to nobody", []string{"role admin"}, nil, true, ""},
		{"users, addresses and networks stay private", []string{"user bob", "email bob@example.org", "client_ip 10.0.0.0/8"}, nil, false,
			"needs a named user, or a named e-mail address, or a listed network"},
		{"many lines", strings.Fields("path:/a path:/b path:/c path:/d path:/e path:/f path:/g"), nil, false,
			"needs path /a, or path /b, or path /c, or path /d, or path /e, or one of 2 other ways"},
		{"many values", []string{"role a b c d e f g"}, nil, false, "needs role a, b, c, d, e or 2 others"},
		{"deny line", nil, []string{"role editor & path /Reports/*"}, false, "not permitted: role editor with path /Reports/*"},
		{"deny anyone", nil, []string{"anyone"}, false, "not permitted to anyone"},
		{"deny user", nil, []string{"user alice"}, false, "not permitted: a named user"},
		{"no reason for who passes", []string{"role editor"}, nil, false, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for i, s := range c.allow {
				c.allow[i] = strings.Replace(s, ":", " ", 1)
			}
			n, _ := rulesSite(t, parseLines(c.allow), parseLines(c.deny))
			q := asking(nil)
			if c.nobody {
				q.Identity = nil
			}
			if got := strings.Join(decide(t, n, q).Reasons, "|"); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestBrokenRules(t *testing.T) {
	long := Line{{Kind: "role", Values: []string{"a"}}, {Kind: "nonsense"}}
	cases := []struct {
		name string
		line Line
		want string
	}{
		{"no condition", Line{}, "allow line 1 (allow): a condition is missing"},
		{"unknown condition", long, `there is no condition "nonsense": use one of anyone, client_ip, email`},
		{"condition of a part not built yet", parseLine("mfa"), `there is no condition "mfa"`},
		{"scope without value", parseLine("scope"), "scope needs at least one value"},
		{"value where none belongs", parseLine("anyone x"), `anyone takes no value, but got "x"`},
		{"value missing", parseLine("role"), "role needs at least one value"},
		{"empty value", Line{{"role", []string{""}}}, `role "" is empty`},
		{"invalid UTF-8", Line{{"role", []string{"a\xff"}}}, `is not valid UTF-8`},
		{"path without slash", parseLine("path reports"), `path "reports" must begin with /`},
		{"path with a query", parseLine("path /a?b=c"), "only the path is compared"},
		{"path with a control character", Line{{"path", []string{"/a\x00"}}}, "can never match"},
		{"method that is none", parseLine("method G-E/T"), "is not an HTTP method"},
		{"email without domain", parseLine("email alice@"), "is not an e-mail address"},
		{"domain with @", parseLine("email_domain @example.com"), "is not a domain"},
		{"domain with a star", parseLine("email_domain *.example.com"), "is not a domain"},
		{"address with letters", parseLine("client_ip localhost"), "is not an address or range"},
		{"range too narrow", parseLine("client_ip 10.0.0.0/33"), "is not an address or range"},
		{"range of mapped addresses", parseLine("client_ip ::ffff:10.0.0.0/104"), "is not an address or range"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			text, err := CompileRules("site", []Line{c.line}, nil)
			if err == nil || text != "" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant …%s…", err, c.want)
			}
		})
	}
	t.Run("every broken line is told", func(t *testing.T) {
		_, err := CompileRules("site", []Line{parseLine("role"), parseLine("signed_in")}, []Line{parseLine("user")})
		if err == nil || !strings.Contains(err.Error(), "allow line 1") || !strings.Contains(err.Error(), "deny line 1") {
			t.Error(err)
		}
	})
	for _, pkg := range []string{"", "a..b", "1a", "a.b-c", "a.if", "a\nallow := true", `a["b"]`, "a.b "} {
		t.Run("package "+pkg, func(t *testing.T) {
			if _, err := CompileRules(pkg, nil, nil); err == nil {
				t.Error("taken")
			}
		})
	}
}

// hostile are values that try to leave their string, comment or rule.
var hostile = []string{
	`"`, `\`, `\"`, "\n", "a\nallow := true", "a\r\nallow := true", "\u2028allow := true", "a\u0085b",
	`x" in input.identity.roles } allow if { true`, "`", "` + `", "{{", "{{ . }}", "${x}", `$"{input}"`, "#", "# METADATA",
	"\x00", "\x7f", "\u202e", "ﷺ", "é", "e\u0301", "🙂", "\ufeff", `\u0022`, "%", "%s", "{env.X}", "a b", " ", "\t",
	strings.Repeat("x", 5000),
}

// checkContained compiles a rule with a value everywhere, and checks that the
// value is in the policy as itself, and changed nothing else.
func checkContained(t testing.TB, value string) {
	if value == other {
		return
	}
	plain, err := CompileRules("site", everywhere("plain"), everywhere("plain"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := CompileRules("site", everywhere(value), everywhere(value))
	if err != nil {
		return // refused, which is as good
	}
	want, got := parsed(t, plain), parsed(t, text)
	if len(want.Rules) != len(got.Rules) {
		t.Fatalf("%q makes %d rules, not %d:\n%s", value, len(got.Rules), len(want.Rules), text)
	}
	found := false
	for i, rule := range got.Rules {
		if rule.Head.Name != want.Rules[i].Head.Name || len(rule.Body) != len(want.Rules[i].Body) {
			t.Fatalf("%q changes a rule:\n%s", value, text)
		}
		ast.WalkTerms(rule, func(term *ast.Term) bool {
			found = found || term.Equal(ast.StringTerm(value))
			return false
		})
	}
	if !found {
		t.Fatalf("%q is not in the policy:\n%s", value, text)
	}
	if again, err := format.Source("site.rego", []byte(text)); err != nil || string(again) != text {
		t.Fatalf("%q: not formatted: %v", value, err)
	}
}

// other is a value beside the one under test, and another than that.
const other = "the other value"

func everywhere(value string) []Line {
	return []Line{{{"role", []string{value}}, {"group", []string{other, value}}}, {{"group", []string{value}}, {"path", []string{"/" + strings.ReplaceAll(value, "*", "x")}}}}
}

func parsed(t testing.TB, text string) *ast.Module {
	t.Helper()
	mod, err := ast.ParseModuleWithOpts("site.rego", text, ast.ParserOptions{RegoVersion: ast.RegoV1, ProcessAnnotation: true})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if len(mod.Annotations) > 0 || len(mod.Imports) > 0 {
		t.Fatalf("a value became an annotation or an import:\n%s", text)
	}
	c := ast.NewCompiler().WithStrict(true)
	if c.Compile(map[string]*ast.Module{"site.rego": mod.Copy()}); c.Failed() {
		t.Fatalf("%v\n%s", c.Errors, text)
	}
	return mod
}

func TestRulesCannotBeInjected(t *testing.T) {
	for _, value := range hostile {
		t.Run(fmt.Sprintf("%.20q", value), func(t *testing.T) {
			for _, kind := range []string{"user", "role", "group", "email", "email_domain", "method", "path", "client_ip", "scope", "provider"} {
				text, err := CompileRules("site", []Line{{{kind, []string{value}}}}, nil)
				if err == nil {
					parsed(t, text)
				}
			}
			checkContained(t, value)
		})
	}
}

func FuzzCompileRules(f *testing.F) {
	for _, value := range hostile {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		checkContained(t, value)
		// Whatever the value, the rule lets in nobody who does not have it.
		text, err := CompileRules("site", []Line{{{"user", []string{value}}}}, nil)
		if err == nil {
			parsed(t, text)
		}
	})
}

// TestManyRules counts the rules that OPA looks at: a thousand lines must cost
// what ten cost, which they do only as long as it can index them.
func TestManyRules(t *testing.T) {
	for _, kind := range []string{"role", "group", "user", "method", "path", "prefix", "glob", "client_ip", "scope", "provider"} {
		t.Run(kind, func(t *testing.T) {
			few, many := candidates(t, kind, 10), candidates(t, kind, 1000)
			if many > few+3 {
				t.Errorf("%d rules looked at among 1,000 lines, %d among 10", many, few)
			}
		})
	}
}

func manyLines(kind string, n int) []Line {
	var out []Line
	for i := range n {
		c := Condition{Kind: kind, Values: []string{fmt.Sprintf("x%d", i)}}
		switch kind {
		case "path":
			c.Values[0] = fmt.Sprintf("/p%d", i)
		case "prefix":
			c = Condition{"path", []string{fmt.Sprintf("/p%d/*", i)}}
		case "glob":
			c = Condition{"path", []string{fmt.Sprintf("/p%d/*/edit", i)}}
		case "client_ip":
			c.Values[0] = fmt.Sprintf("10.%d.%d.1", i/250, i%250)
		case "method":
			c.Values[0] = strings.Repeat("A", i/26+1) + string(rune('A'+i%26))
		}
		out = append(out, Line{c, {"signed_in", nil}})
	}
	return out
}

// candidates returns how many rules of allow OPA evaluates for alice.
func candidates(t *testing.T, kind string, n int) int {
	t.Helper()
	text, err := CompileRules("site", manyLines(kind, n), manyLines(kind, n)[:0])
	if err != nil {
		t.Fatal(err)
	}
	c := ast.NewCompiler()
	if c.Compile(map[string]*ast.Module{"site": parsed(t, text)}); c.Failed() {
		t.Fatal(c.Errors)
	}
	input, err := newIdentityTerms(0).input(asking(nil), everything)
	if err != nil {
		t.Fatal(err)
	}
	found, err := c.RuleIndex(ast.MustParseRef("data.site.allow")).Lookup(inputResolver{input})
	if err != nil {
		t.Fatal(err)
	}
	return len(found.Rules)
}

type inputResolver struct{ input *ast.Term }

func (r inputResolver) Resolve(ref ast.Ref) (ast.Value, error) {
	v, err := r.input.Value.Find(ref[1:])
	if err != nil {
		return nil, nil // absent
	}
	return v, nil
}

func BenchmarkLines(b *testing.B) {
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			allow := append(manyLines("role", n/2), manyLines("prefix", n/2)...)
			made, _ := rulesSite(b, append(allow, parseLine("role editor")), manyLines("prefix", n))
			q := asking(nil)
			for b.Loop() {
				if _, err := made.Decide(context.Background(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
