package policy

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
)

// Whatever a policy yields, an answer is either a fault or within the contract.
func FuzzResult(f *testing.F) {
	f.Add(`true`, `{"no"}`, `{"mfa"}`, `{"X-A": "1"}`, `{"n": 1}`)
	f.Add(`true`, `set()`, `[]`, `{}`, `{}`)
	f.Add(`"true"`, `["a", "a"]`, `["login", "login"]`, `{"x-a": "1", "X-A": "1"}`, `{"a": {"b": [null]}}`)
	f.Add(`1`, `{1}`, `{"x"}`, `{"Remote-User": "root"}`, `[]`)
	f.Add(`null`, `"no"`, `"mfa"`, `{"X-A": "a\r\nRemote-User: root"}`, `{1: 2}`)
	f.Add(`[true]`, `{{"a"}}`, `{null}`, `{"Remote_User": "x"}`, `{{"a"}: 1}`)
	f.Add(`{true}`, `{"a": "b"}`, `true`, `{"": ""}`, `{"a": {1, 2}}`)
	f.Fuzz(func(t *testing.T, allow, deny, require, headers, log string) {
		v := values{}
		for name, text := range map[string]string{"allow": allow, "deny": deny, "require": require, "headers": headers, "log": log} {
			term, err := ast.ParseTerm(text)
			if err != nil || !term.IsGround() || len(text) > 10_000 {
				continue
			}
			if _, err := ast.JSON(term.Value); err != nil {
				continue // a call or comprehension: no result is one
			}
			*v.of(name) = term
		}
		a, odd, err := v.answer("app", []string{"X-A", "X-B"})
		if err != nil {
			var result *ResultError
			if !errors.As(err, &result) || a.Allow || a.Pass() {
				t.Fatalf("fault %v with answer %+v", err, a)
			}
			return
		}
		sound(t, v, a, odd)
	})
}

func sound(t *testing.T, v values, a decision.Answer, odd bool) {
	yes := v.allow != nil && v.allow.Value.Compare(ast.Boolean(true)) == 0
	if a.Allow != yes || odd && a.Allow {
		t.Errorf("allow %v became %v", v.allow, a.Allow)
	}
	if deny := v.deny; deny != nil && a.Pass() {
		if set, ok := deny.Value.(ast.Set); ok && set.Len() > 0 {
			t.Errorf("passed in spite of deny %v", deny)
		}
		if list, ok := deny.Value.(*ast.Array); ok && list.Len() > 0 {
			t.Errorf("passed in spite of deny %v", deny)
		}
	}
	if !slices.IsSorted(a.Reasons) || len(a.Reasons) > maxReasons {
		t.Errorf("reasons %q", a.Reasons)
	}
	for _, s := range a.Require {
		if s != decision.Login && s != decision.MFA && s != decision.Reauth {
			t.Errorf("step %q", s)
		}
	}
	for name, value := range a.Headers {
		if name != "X-A" && name != "X-B" || strings.ContainsAny(value, "\r\n\x00") {
			t.Errorf("header %q: %q", name, value)
		}
	}
}

func FuzzHeaderName(f *testing.F) {
	for _, name := range []string{"X-A", "remote-user", "REMOTE_USER", "Remote.Email", "x_request.id", "connection", "X-Forwarded-For", "a b", "", "ü", "x_forwarded.host", "X-Gatehouse_Assertion"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		canonical, err := checkHeaderName(name)
		if err != nil {
			return
		}
		if canonical != http.CanonicalHeaderKey(name) || canonical == "" || strings.ContainsAny(canonical, " \r\n\t:\x00") {
			t.Errorf("%q became %q", name, canonical)
		}
		plain := strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(canonical))
		if reserved[plain] != "" || strings.HasPrefix(plain, "x-forwarded-") {
			t.Errorf("%q may be set", canonical)
		}
	})
}
