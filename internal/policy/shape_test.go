package policy

import (
	"context"
	"strings"
	"testing"
)

// A rule that can only be a fault is refused when the policy is loaded, at its
// place and with the words to write instead.
func TestWrongTypesAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ policy, want string }{
		"deny is true":                  {`deny := true`, `:3:1: deny must be a set of strings, and is a boolean: write deny contains "the reason" if { … }`},
		"deny is boolean":               {`deny if input.request.path == "/x"`, `:3:1: deny must be a set of strings, and is a boolean`},
		"deny has a boolean default":    {"default deny := false\ndeny := {\"no\"} if input.request.path == \"/x\"", ":3:1: deny must be a set of strings, and is a boolean"},
		"deny has a boolean branch":     {"deny := {\"no\"} if input.request.path == \"/x\"\nelse := false", ":4:1: deny must be a set of strings, and is a boolean"},
		"deny as in Rego v0":            {`deny["no"] if input.request.path == "/x"`, ":3:1: deny must be a set of strings, and is an object"},
		"deny with a field":             {`deny.reason := "no"`, ":3:1: deny must be a set of strings, and is an object"},
		"deny with a set in a field":    {`deny.reason contains "no"`, ":3:1: deny must be a set of strings, and is an object"},
		"deny by name":                  {`deny[x] := true if some x in input.identity.roles`, ":3:1: deny must be a set of strings, and is an object"},
		"deny is a function":            {`deny(x) if x == 1`, ":3:1: deny must be a set of strings, and is a function"},
		"deny is a string":              {`deny := "no"`, ":3:1: deny must be a set of strings, and is a string"},
		"deny is made of text":          {`deny := sprintf("not %s", [input.request.path])`, ":3:1: deny must be a set of strings, and is a string"},
		"deny counts":                   {"deny := n if {\n\tn := count(input.identity.roles)\n}", ":3:1: deny must be a set of strings, and is a number"},
		"deny is a number or text":      {"deny := count(input.identity.roles) if input.request.path == \"/x\"\nelse := sprintf(\"%d\", [1])", ":3:1: deny must be a set of strings, and is of the type any<number, string>"},
		"deny is another rule":          {"deny := bad\nbad := true if input.request.path == \"/x\"", ":3:1: deny must be a set of strings, and is a boolean"},
		"deny holds a number":           {`deny contains 1`, ":3:1: deny must hold strings only, and holds a number"},
		"deny holds true":               {`deny contains true if input.request.path == "/x"`, ":3:1: deny must hold strings only, and holds a boolean"},
		"deny is a list of numbers":     {`deny := ["no", 1]`, ":3:1: deny must hold strings only, and holds a number"},
		"require is a step":             {`require := "login"`, `:3:1: require must be a set of strings, and is a string: write require contains "login" if { … }`},
		"require by name":               {`require.login if input.request.path == "/x"`, ":3:1: require must be a set of strings, and is an object"},
		"require holds an unknown step": {`require contains "MFA"`, `:3:1: require may hold login, mfa and reauth, and holds "MFA"`},
		"headers are a list":            {`headers := []`, `:3:1: headers must be an object of strings, and is an array: write headers["X-Team"] := "…" if { … }`},
		"headers are a set":             {`headers contains "X-A"`, ":3:1: headers must be an object of strings, and is a set"},
		"headers are a list of a rule":  {`headers := [x | some x in input.identity.roles]`, ":3:1: headers must be an object of strings, and is an array"},
		"a header is a number":          {`headers["X-A"] := 1`, ":3:1: headers must map strings to strings"},
		"a header is a boolean":         {`headers["X-A"] if input.request.path == "/x"`, ":3:1: headers must map strings to strings"},
		"a header has a line break":     {`headers["X-A"] := "a\r\nb"`, ":3:1: headers has a value with a control character for X-A"},
		"log is text":                   {`log := "x"`, `:3:1: log must be an object, and is a string: write log["team"] := … if { … }`},
		"log is a set":                  {`log contains "x"`, ":3:1: log must be an object, and is a set"},
		"allow is text":                 {`allow := "yes"`, `:3:1: allow must be a boolean, and is a string: write allow if { … }`},
		"allow has a text default":      {"default allow := \"no\"\nallow := false if input.request.path == \"/x\"", ":3:1: allow must be a boolean, and is a string"},
		"allow is null":                 {`allow := null`, ":3:1: allow must be a boolean, and is a null"},
		"allow is a set":                {`allow contains "x"`, ":3:1: allow must be a boolean, and is a set"},
		"allow has fields":              {`allow.read if input.request.path == "/x"`, ":3:1: allow must be a boolean, and is an object"},
		"allow is a number":             {`allow := count(input.identity.roles)`, ":3:1: allow must be a boolean, and is a number"},
		"two rules":                     {"deny := true\nlog := 1", ":3:1: deny must be a set of strings, and is a boolean"},
	} {
		t.Run(name, func(t *testing.T) {
			text := "package app\n\n" + c.policy + "\n"
			if !strings.Contains(c.policy, "allow") {
				text += "allow if input.identity.authenticated\n"
			}
			dir := folder(t, files{"app.rego": text})
			e := NewEngine(Options{Dirs: []string{dir}, Budget: patient})
			defer e.Close()
			if _, err := e.Entry("app"); err != nil {
				t.Fatal(err)
			}
			err := e.Load(context.Background())
			if err == nil || !strings.Contains(err.Error(), "app.rego"+c.want) {
				t.Fatalf("load: %v", err)
			}
			r, err := Check(context.Background(), []string{dir}, nil)
			if err != nil || r.Revision != "" || !strings.Contains(strings.Join(r.Errors, "\n"), "app.rego"+c.want) {
				t.Errorf("check: %+v, %v", r, err)
			}
			if name == "two rules" && len(r.Errors) != 2 {
				t.Errorf("check tells only %q", r.Errors)
			}
		})
	}
}

// What may be right for some request is not refused.
func TestDoubtfulTypesAreTaken(t *testing.T) {
	for name, policy := range map[string]string{
		"deny from data":               `deny := data.odd`,
		"deny from the input":          `deny := input.identity.claims.deny`,
		"deny is an array":             `deny := ["no"] if input.request.path == "/y"`,
		"deny is an empty set":         `deny := set()`,
		"deny is a default set":        "default deny := set()\ndeny := {\"no\"} if input.request.path == \"/y\"",
		"deny is a comprehension":      `deny := {r | some r in input.identity.roles; r == "banned"}`,
		"deny is a union":              "deny := a | b\na contains \"a\" if input.request.path == \"/y\"\nb contains \"b\" if input.request.path == \"/y\"",
		"deny contains anything":       `deny contains input.identity.claims.reason`,
		"deny from JSON":               `deny := json.unmarshal("[]")`,
		"deny is a set or a boolean":   "deny := data.odd if input.request.path == \"/x\"\nelse := x if {\n\tx := input.request.path == \"/y\"\n}",
		"deny from a function":         "deny := f(1)\nf(_) := {\"no\"} if input.request.path == \"/y\"\nf(_) := set() if input.request.path == \"/x\"",
		"deny with other data":         "deny := v if v := x with data.app.y as set()\nx := y\ny := true if input.request.path == \"/x\"",
		"deny with a function as data": "deny := v if v := f(1) with f as set()\nf(_) := true",
		"deny with count as data":      "deny := x\nx := v if v := count([]) with count as set()",
		"require from data":            `require := data.odd`,
		"require of a step":            `require contains step if some step in data.odd`,
		"headers by name":              `headers["X-A"] := input.request.path`,
		"headers as an object":         `headers := {"X-A": input.request.path, "X-B": "b"}`,
		"no headers":                   `headers := {}`,
		"log as an object":             `log := {"a": 1}`,
		"log by name":                  "log[\"a\"] := 1\nlog.b := [2]\nlog.c.d := 3\nlog.e contains 4",
		"log by any name":              `log[role] := true if some role in input.identity.roles`,
		"log from JSON":                `log := json.unmarshal("{}")`,
		"allow from data":              "allow := data.yes",
		"allow with an else":           "allow := false if input.request.path == \"/y\"\nelse := data.yes",
	} {
		t.Run(name, func(t *testing.T) {
			text := "package app\n\n" + policy + "\n"
			if !strings.Contains(policy, "allow") {
				text += "allow if input.identity.authenticated\n"
			}
			e := load(t, Options{}, files{"app.rego": text, "data.json": `{"odd": [], "yes": true}`})
			if a := decide(t, entry(t, e, "app"), question("/x")); !a.Pass() {
				t.Errorf("%+v", a)
			}
		})
	}
}

// A package that has a function called allow is a library, and decides nothing.
func TestFunctionCalledAllow(t *testing.T) {
	dir := folder(t, files{
		"lib.rego": "package lib\n\nallow(x) if x == 1\n\ndeny := true\n",
		"app.rego": "package app\n\nimport data.lib\n\nallow if lib.allow(1)\n",
	})
	r, err := Check(context.Background(), []string{dir}, nil)
	if err != nil || len(r.Errors) > 0 || strings.Join(r.Packages, " ") != "app" {
		t.Errorf("%+v, %v", r, err)
	}
	e := load(t, Options{}, files{"lib.rego": "package lib\nallow(x) if x == 1\n"})
	if _, err := e.Entry("lib"); err == nil || !strings.Contains(err.Error(), "does not define allow") {
		t.Errorf("a function is taken for an entry: %v", err)
	}
}
