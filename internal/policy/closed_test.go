package policy

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
)

// odds are values whose types show only when they are read.
const odds = `{"text": "true", "n": 1, "null": null, "true": true, "false": false, "yes": [true], "object": {"x": true}}`

// Nothing that a policy can be or do, other than a clear yes, is a pass.
func TestOnlyAClearYesPasses(t *testing.T) {
	fault := errors.New("any fault")
	for name, c := range map[string]struct {
		policy string
		want   error
	}{
		"undefined allow":                 {`allow if input.nope`, nil},
		"false":                           {`allow := false`, nil},
		"a string":                        {`allow := data.v.text`, nil},
		"a number":                        {`allow := data.v.n`, nil},
		"an object":                       {`allow := data.v.object`, nil},
		"a list with true":                {`allow := data.v.yes`, nil},
		"null":                            {`allow := data.v.null`, nil},
		"deny beside allow":               {"allow := true\ndeny contains \"no\"", nil},
		"deny with an empty reason":       {"allow := true\ndeny contains \"\"", nil},
		"deny as an array":                {"allow := true\ndeny := [\"no\"]", nil},
		"require beside allow":            {"allow := true\nrequire contains \"mfa\"", nil},
		"error inside allow":              {`allow if to_number(input.request.path) > 1`, fault},
		"error inside deny":               {"allow := true\ndeny contains \"x\" if to_number(input.request.path) > 1", fault},
		"error under not":                 {`allow if not to_number(input.request.path) > 1`, fault},
		"error under not in deny":         {"allow := true\ndeny contains \"x\" if not startswith(input.request.path, input.request.port)", fault},
		"error in a comprehension":        {`allow if count([x | x := to_number(input.request.path)]) == 0`, fault},
		"error in every":                  {`allow if every x in [input.request.path] { to_number(x) > 1 }`, fault},
		"error in a helper of deny":       {"allow := true\nf(x) := to_number(x)\ndeny contains \"x\" if f(input.request.path) > 1", fault},
		"error in else":                   {"allow := false if input.nope\nelse := true if to_number(input.request.path) > 1", fault},
		"default, and nothing else":       {"default allow := false\nallow if input.nope", nil},
		"default beside an error":         {"default allow := false\nallow if to_number(input.request.path) > 1", fault},
		"default true beside an error":    {"default allow := true\nallow := false if to_number(input.request.path) > 1", fault},
		"default beside two values":       {"default allow := true\nallow := true if input.request.path\nallow := false if input.request.method", fault},
		"default deny of a wrong type":    {"allow := true\ndefault deny := set()\ndeny := data.v.text", fault},
		"two values for allow":            {"allow := true if input.request.path\nallow := false if input.request.method", fault},
		"deny is a string":                {"allow := true\ndeny := data.v.text", fault},
		"deny is false":                   {"allow := true\ndeny := data.v.false", fault},
		"deny is true":                    {"allow := true\ndeny := data.v.true", fault},
		"deny is an object":               {"allow := true\ndeny := data.v.object", fault},
		"deny holds a number":             {"allow := true\ndeny contains data.v.n", fault},
		"deny holds a set":                {"allow := true\ndeny contains {input.request.path}", fault},
		"require is unknown":              {"allow := true\nrequire contains data.v.text", fault},
		"require is a string":             {"allow := true\nrequire := data.v.text", fault},
		"require is misspelt":             {"allow := true\nrequire contains upper(\"mfa\")", fault},
		"headers is a set":                {"allow := true\nheaders := {\"X-A\": {input.request.path}}", fault},
		"headers with a number":           {"allow := true\nheaders[\"X-A\"] := input.request.port", fault},
		"headers with a line break":       {"allow := true\nheaders[\"X-A\"] := concat(\"\", [input.request.path, \"\\r\\nRemote-User: root\"])", fault},
		"headers with a NUL":              {"allow := true\nheaders[\"X-A\"] := concat(\"a\\u0000b\", [\"\", \"\"])", fault},
		"headers too long":                {"allow := true\nheaders[\"X-A\"] := concat(\"\", [\"x\" | some _ in numbers.range(0, 9000)])", fault},
		"two spellings with two values":   {"allow := true\nheaders[\"X-A\"] := \"1\"\nheaders[\"x-a\"] := \"2\"", fault},
		"log is a string":                 {"allow := true\nlog := data.v.text", fault},
		"log is too long":                 {"allow := true\nlog := {\"n\": numbers.range(1, 9000)}", fault},
		"remote schema is not fetched":    {`allow if { [ok, _] := json.match_schema({}, {"$ref": "http://127.0.0.1:1/x"}); not ok }`, fault},
		"division by zero inside a deny":  {"allow := true\ndeny contains \"x\" if 1 / (input.request.port - 443) > 0", fault},
		"bad address for a network rule":  {"allow := true\ndeny contains \"x\" if net.cidr_contains(\"10.0.0.0/8\", input.request.path)", fault},
		"bad pattern made from a request": {"allow := true\ndeny contains \"x\" if regex.match(concat(\"\", [\"(\", input.request.path]), \"x\")", fault},
	} {
		t.Run(name, func(t *testing.T) {
			for _, remember := range []int{-1, 0} {
				e := load(t, Options{Remember: remember}, files{"app.rego": "package app\n" + c.policy + "\n", "v/data.json": odds})
				n := entry(t, e, "app")
				for range 3 { // the later ones may be remembered
					a, err := n.Decide(context.Background(), question("/x"))
					if a.Pass() {
						t.Fatalf("passed: %+v, %v", a, err)
					}
					if (err != nil) != (c.want != nil) {
						t.Fatalf("answer %+v, error %v", a, err)
					}
					if a.Revision != e.Revision() {
						t.Errorf("answer %+v of revision %s", a, e.Revision())
					}
					if err != nil && !reflect.DeepEqual(a, decision.Answer{Revision: e.Revision()}) {
						t.Errorf("a fault with an answer: %+v", a)
					}
					if err != nil && !strings.Contains(err.Error(), "app") {
						t.Errorf("the error does not name the package: %v", err)
					}
				}
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	e := load(t, Options{}, files{"app.rego": `package app
allow if "editor" in input.identity.roles
deny contains reason if {
	some reason in ["b", "a", "b"]
	input.request.path == "/denied"
}
require contains step if {
	some step in ["reauth", "mfa"]
	input.request.path == "/steps"
}
headers["X-Tenant"] := "t1"
headers["x-lower"] := input.identity.username
log["n"] := 3
`})
	n := entry(t, e, "app")
	a := decide(t, n, question("/denied"))
	if !slices.Equal(a.Reasons, []string{"a", "b"}) || a.Pass() || !a.Allow {
		t.Errorf("%+v", a)
	}
	a = decide(t, n, question("/steps"))
	if !slices.Equal(a.Require, []decision.Step{decision.MFA, decision.Reauth}) || a.Pass() {
		t.Errorf("%+v", a)
	}
	a = decide(t, n, question("/"))
	if !a.Pass() || a.Headers["X-Tenant"] != "t1" || a.Headers["X-Lower"] != "alice" || len(a.Headers) != 2 {
		t.Errorf("%+v", a)
	}
	if a.Cached || a.Revision != e.Revision() {
		t.Errorf("%+v", a)
	}
	if again := decide(t, n, question("/")); !again.Cached || !again.Pass() {
		t.Errorf("not remembered: %+v", again)
	}
	if got := n.StaticHeaders(); !slices.Equal(got, []string{"X-Lower", "X-Tenant"}) {
		t.Errorf("headers %v", got)
	}
}

// What reaches out or leaks is not there, by any way to name it.
func TestRemovedBuiltins(t *testing.T) {
	for name, text := range map[string]string{
		"http.send":           "package app\nallow if http.send({\"method\": \"get\", \"url\": \"http://127.0.0.1:1\"}).status_code == 200\n",
		"net.lookup_ip_addr":  "package app\nallow if count(net.lookup_ip_addr(\"example.com\")) > 0\n",
		"opa.runtime":         "package app\nallow if opa.runtime().env.HOME\n",
		"rego.parse_module":   "package app\nallow if rego.parse_module(\"x\", input.request.path)\n",
		"mocked in":           "package app\nallow if count(\"x\") == 1 with count as http.send\n",
		"mocked out":          "package app\nallow if count(\"x\") == 1 with http.send as count\n",
		"mocked as a value":   "package app\nf(x) := x\nallow if f(1) with data.app.f as opa.runtime\n",
		"mocked deep":         "package app\nallow if data.lib.g with data.lib.f as net.lookup_ip_addr\n",
		"in a test":           "package app_test\ntest_x if http.send({})\n",
		"named in a variable": "package app\nallow if { f := http.send; f({}) }\n",
	} {
		t.Run(name, func(t *testing.T) {
			file := "app.rego"
			if strings.Contains(text, "app_test") {
				file = "app_test.rego"
			}
			e := NewEngine(Options{Dirs: []string{folder(t, files{file: text,
				"lib.rego": "package lib\nf(x) := x\ng := f(\"localhost\")\n"})}})
			defer e.Close()
			err := e.Load(context.Background())
			if err == nil || !strings.Contains(err.Error(), file+":") {
				t.Fatalf("it loads: %v", err)
			}
			if _, gone := removed[name]; gone && !strings.Contains(err.Error(), removed[name]) {
				t.Errorf("the error does not say why: %v", err)
			}
		})
	}
}

func TestPureNetworkBuiltinsStay(t *testing.T) {
	e := load(t, Options{}, files{"app.rego": "package app\nallow if net.cidr_contains(\"203.0.113.0/24\", input.request.client_ip)\n"})
	if a := decide(t, entry(t, e, "app"), question("/")); !a.Pass() {
		t.Errorf("%+v", a)
	}
}

func TestOurNamesMustBeRules(t *testing.T) {
	for name, fs := range map[string]files{
		"deny is a package":  {"a.rego": "package app\nallow := true\n", "b.rego": "package app.deny\nx := 1\n"},
		"deny above package": {"a.rego": "package app\nallow := true\n", "b.rego": "package app.deny.more\nx := 1\n"},
		"deny is data":       {"a.rego": "package app\nallow := true\n", "app/deny/data.json": `["everybody"]`},
		"require is data":    {"a.rego": "package app\nallow := true\n", "data.json": `{"app": {"require": ["mfa"]}}`},
		"allow is data":      {"a.rego": "package app\nx := true\n", "data.json": `{"app": {"allow": true}}`},
	} {
		t.Run(name, func(t *testing.T) {
			e := load(t, Options{}, fs)
			if _, err := e.Entry("app"); err == nil {
				t.Error("it is taken for an entry")
			}
		})
	}
}

func TestHeaderNames(t *testing.T) {
	for name, c := range map[string]struct{ policy, want string }{
		"written out":         {`headers["X-A"] := input.request.path`, "X-A"},
		"as an object":        {`headers := {"X-B": input.request.path, "x-a": "1"}`, "X-A X-B"},
		"with a condition":    {`headers := {"X-A": input.identity.username} if input.identity.username`, "X-A"},
		"with else":           {"headers := {\"X-A\": \"1\"} if input.nope\nelse := {\"X-B\": lower(input.request.path)}", "X-A X-B"},
		"with a default":      {"default headers := {\"X-C\": \"0\"}\nheaders := {\"X-A\": \"1\"} if input.nope", "X-A X-C"},
		"through a variable":  {"headers := h if h := {\"X-A\": input.request.path}", "X-A"},
		"with a dot":          {`headers.tenant := "x"`, "Tenant"},
		"empty":               {`headers := {}`, ""},
		"from the request":    {`headers[k] := "1" if some k in input.identity.roles`, "written out"},
		"from a header":       {`headers := {input.request.path: "1"}`, "written out"},
		"computed":            {`headers := {lower("X-A"): "1"}`, "written out"},
		"comprehension":       {`headers := {k: "1" | some k in input.identity.roles}`, "written out"},
		"merged":              {`headers := object.union({"X-A": "1"}, input.identity.claims)`, "written out"},
		"from data":           {"headers := data.lib.h", "written out"},
		"a set":               {`headers contains "X-A"`, "must be an object of strings"},
		"identity":            {`headers["Remote-User"] := "root"`, "Remote-User is not for a policy to set (identity"},
		"identity, lower":     {`headers["remote-groups"] := "root"`, "identity"},
		"identity, _":         {`headers["Remote_User"] := "root"`, "identity"},
		"identity, .":         {`headers := {"remote.ROLES": "root"}`, "identity"},
		"request id":          {`headers["X-Request-Id"] := "1"`, "identity"},
		"assertion":           {`headers["X_Gatehouse.Assertion"] := "1"`, "identity"},
		"hop-by-hop":          {`headers["Connection"] := "Remote-User"`, "hop-by-hop"},
		"framing":             {`headers["Transfer-Encoding"] := "chunked"`, "hop-by-hop"},
		"length":              {`headers["Content-Length"] := "0"`, "framing"},
		"host":                {`headers["Host"] := "evil"`, "framing"},
		"client address":      {`headers["X-Forwarded-For"] := "127.0.0.1"`, "forwarding"},
		"credential":          {`headers["Cookie"] := "x"`, "credential"},
		"no name":             {`headers[""] := "x"`, "not a header name"},
		"a space":             {`headers["X A"] := "x"`, "not a header name"},
		"a line break":        {"headers[\"X-A\\r\\nRemote-User\"] := \"x\"", "not a header name"},
		"a colon":             {`headers["Remote-User:"] := "x"`, "not a header name"},
		"two rules, one bad":  {"headers[\"X-A\"] := \"1\"\nheaders[\"Remote-Name\"] := \"x\"", "identity"},
		"bad one in an else":  {"headers := {\"X-A\": \"1\"} if input.nope\nelse := {\"Remote-User\": \"x\"}", "identity"},
		"sub-package headers": {`x := 1`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := load(t, Options{}, files{"app.rego": "package app\nallow := true\n" + c.policy + "\n", "lib.rego": "package lib\nh := {\"Remote-User\": \"x\"}\n"})
			n, err := e.Entry("app")
			if err != nil {
				if !strings.Contains(err.Error(), c.want) || c.want == "" || !strings.Contains(err.Error(), "app.rego:") {
					t.Errorf("error %v, want %q", err, c.want)
				}
				return
			}
			if got := strings.Join(n.StaticHeaders(), " "); got != c.want {
				t.Errorf("headers %q, want %q", got, c.want)
			}
		})
	}
}
