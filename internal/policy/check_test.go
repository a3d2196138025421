package policy

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		fs                     files
		errors, warns, entries string
	}{
		"fine":            {files{"a.rego": "package a\nallow if input.identity.roles[_] == \"x\"\n"}, "", "", "a"},
		"unused variable": {files{"a.rego": "package a\nallow if { x := 1; true }\n"}, "a.rego:2:12: rego_compile_error: assigned var x unused", "", "a"},
		"unused import":   {files{"a.rego": "package a\nimport data.b\nallow := true\n"}, "a.rego:2:1: rego_compile_error: import data.b unused", "", "a"},
		"bad header":      {files{"a.rego": "package a\nallow := true\nheaders[\"Remote-User\"] := \"x\"\n"}, "a.rego:3:1: header Remote-User", "", "a"},
		"bad test":        {files{"a_test.rego": "package a\ntest_x if y\n"}, "a_test.rego:2:11:", "", ""},
		"two problems":    {files{"a.rego": "package a\nallow if y\n", "b.rego": "package b\nallow if z\n"}, "a.rego:2:10: | b.rego:2:10:", "", ""},
		"misspelt field":  {files{"a.rego": "package a\nallow := true\ndeny contains \"x\" if input.request.pth == \"/x\"\n"}, "", "a.rego:3:22", "a"},
		"misspelt group":  {files{"a.rego": "package a\nallow if input.user.name == \"x\"\n"}, "", "a.rego:2:10", "a"},
		"open fields":     {files{"a.rego": "package a\nallow if input.identity.claims.realm.x == input.request.headers[\"x-a\"][0]\nallow if input.request.query.q[0] == \"1\"\nallow if input.request.body.x == 1\n"}, "", "", "a"},
		"stray data":      {files{"users.json": "{}", "a.rego": "package a\nallow := true\n"}, "", "users.json: not read", "a"},
		"nothing":         {files{}, "", "no policies", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, c.fs)
			r, err := Check(context.Background(), []string{dir}, nil)
			if err != nil {
				t.Fatal(err)
			}
			messages(t, "errors", r.Errors, c.errors)
			messages(t, "warnings", r.Warnings, c.warns)
			if got := strings.Join(r.Packages, " "); got != c.entries {
				t.Errorf("packages %q, want %q", got, c.entries)
			}
			if (r.Revision == "") != (c.errors != "") {
				t.Errorf("revision %q", r.Revision)
			}
		})
	}
}

// messages compares messages with parts of the wanted ones, separated by " | ".
func messages(t *testing.T, what string, got []string, want string) {
	t.Helper()
	var parts []string
	if want != "" {
		parts = strings.Split(want, " | ")
	}
	if len(got) != len(parts) {
		t.Errorf("%s: %d instead of %d:\n%s", what, len(got), len(parts), strings.Join(got, "\n"))
		return
	}
	for i := range parts {
		if !strings.Contains(got[i], parts[i]) {
			t.Errorf("%s: %q does not say %q", what, got[i], parts[i])
		}
	}
}

func TestCheckWithoutFolder(t *testing.T) {
	r, err := Check(context.Background(), []string{"/nope/at/all"}, nil)
	if err != nil || len(r.Errors) != 1 || !strings.Contains(r.Errors[0], "does not exist") {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestTest(t *testing.T) {
	dir := folder(t, files{
		"app.rego":  "package app\nallow if input.identity.username == data.boss\nnever if input.nope\n",
		"data.json": `{"boss": "alice"}`,
		"app_test.rego": `package app_test

import data.app

test_boss_may if app.allow with input.identity.username as "alice"

test_all_may if {
	print("asking for", "bob")
	app.allow with input.identity.username as "bob"
}

test_error if to_number("x") > 0

todo_test_later if false
`})
	r, err := Test(context.Background(), TestOptions{Dirs: []string{dir}, Coverage: true})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range r.Results {
		got = append(got, fmt.Sprintf("%s pass=%v skip=%v", x.Name, x.Pass, x.Skip))
	}
	want := "test_boss_may pass=true skip=false\ntest_all_may pass=false skip=false\ntest_error pass=false skip=false\ntodo_test_later pass=false skip=true"
	if strings.Join(got, "\n") != want {
		t.Errorf("results\n%s", strings.Join(got, "\n"))
	}
	if r.Failed != 2 || r.Coverage <= 0 || r.Coverage >= 100 {
		t.Errorf("%d failed, coverage %v", r.Failed, r.Coverage)
	}
	all := r.Results[1]
	if !strings.Contains(all.Output, "asking for bob") || !strings.Contains(all.Trace, "Fail") || !strings.HasSuffix(all.Location, "app_test.rego:7") {
		t.Errorf("%+v", all)
	}
	if all := r.Results[2]; !strings.Contains(all.Error, "to_number") {
		t.Errorf("an error in a builtin counts as %q", all.Error)
	}
	one, err := Test(context.Background(), TestOptions{Dirs: []string{dir}, Run: "boss"})
	if err != nil || len(one.Results) != 1 || one.Failed != 0 || one.Coverage != 0 {
		t.Errorf("%+v, %v", one, err)
	}
	if _, err := Test(context.Background(), TestOptions{Dirs: []string{dir}, Run: "("}); err == nil {
		t.Error("a bad expression is taken")
	}
	if _, err := Test(context.Background(), TestOptions{Dirs: []string{folder(t, files{"a.rego": "package a\nallow if"})}}); err == nil {
		t.Error("broken policies are tested")
	}
}

func TestEval(t *testing.T) {
	e := load(t, Options{}, files{"app.rego": "package app\nallow if time.now_ns() == input.time.unix * 1000000000\n", "lib.rego": "package lib\nx := 1\n"})
	ctx := context.Background()
	a, err := e.Eval(ctx, "app", []byte(fullInput))
	if err != nil || !a.Pass() || a.Revision != e.Revision() {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := e.Eval(ctx, "app", []byte(`{}`)); err != nil || a.Pass() {
		t.Errorf("%+v, %v", a, err)
	}
	for _, bad := range []string{"", "[]", "{", "null", `{"a": 1} {}`} {
		if a, err := e.Eval(ctx, "app", []byte(bad)); err == nil || a.Pass() {
			t.Errorf("%q: %+v", bad, a)
		}
	}
	if _, err := e.Eval(ctx, "lib", []byte(`{}`)); err == nil || !strings.Contains(err.Error(), "app") {
		t.Errorf("a package without allow: %v", err)
	}
}
