package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
)

// Bounds on what a policy may answer.
const (
	maxReasons     = 32       // more are counted, not kept: the request is refused anyway
	maxReasonBytes = 1 << 10  // a longer one is cut
	maxHeaderBytes = 8 << 10  // names and values together
	maxLogBytes    = 16 << 10 // as JSON
)

// ResultError says that a policy answered with something that is no answer. The
// request is refused as a fault.
type ResultError struct {
	Package string
	Rule    string // allow, deny, require, headers or log
	Problem string
}

func (e *ResultError) Error() string {
	return fmt.Sprintf("policy %s: %s %s", e.Package, e.Rule, e.Problem)
}

// answer turns the values of the rules into an Answer. The second result reports
// an allow that is defined and no boolean, which is no.
func (v values) answer(pkg string, may []string) (decision.Answer, bool, error) {
	var a decision.Answer
	odd := false
	if v.allow != nil {
		b, isBool := v.allow.Value.(ast.Boolean)
		a.Allow, odd = isBool && bool(b), !isBool
	}
	fail := func(rule, problem string) (decision.Answer, bool, error) {
		return decision.Answer{}, odd, &ResultError{Package: pkg, Rule: rule, Problem: problem}
	}
	var problem string
	if a.Reasons, problem = reasons(v.deny); problem != "" {
		return fail("deny", problem)
	}
	if a.Require, problem = steps(v.require); problem != "" {
		return fail("require", problem)
	}
	if a.Headers, problem = headers(v.headers, may); problem != "" {
		return fail("headers", problem)
	}
	if a.Log, problem = logFields(v.log); problem != "" {
		return fail("log", problem)
	}
	return a, odd, nil
}

// list returns the strings of a set or an array.
func list(t *ast.Term) (out []string, problem string) {
	if t == nil {
		return nil, ""
	}
	add := func(item *ast.Term) {
		s, ok := item.Value.(ast.String)
		if !ok {
			problem = "must hold strings only, and holds " + kind(item)
		}
		out = append(out, string(s))
	}
	switch v := t.Value.(type) {
	case ast.Set:
		if v.Len() > 0 {
			v.Foreach(add)
		}
	case *ast.Array:
		v.Foreach(add)
	default:
		return nil, "must be a set of strings, and is " + kind(t)
	}
	return out, problem
}

func reasons(t *ast.Term) ([]string, string) {
	out, problem := list(t)
	if problem != "" || len(out) == 0 {
		return nil, problem
	}
	slices.Sort(out)
	out = slices.Compact(out)
	out = out[:min(len(out), maxReasons)]
	for i, r := range out {
		if len(r) > maxReasonBytes {
			out[i] = strings.ToValidUTF8(r[:maxReasonBytes], "")
		}
	}
	return out, ""
}

func steps(t *ast.Term) ([]decision.Step, string) {
	names, problem := list(t)
	if problem != "" || len(names) == 0 {
		return nil, problem
	}
	slices.Sort(names)
	var out []decision.Step
	for _, name := range slices.Compact(names) {
		switch s := decision.Step(name); s {
		case decision.Login, decision.MFA, decision.Reauth:
			out = append(out, s)
		default:
			return nil, fmt.Sprintf("may hold login, mfa and reauth, and holds %.40q", name)
		}
	}
	return out, ""
}

// headers checks names and values again, though the names were checked when the
// policy was loaded: what goes into a request is worth two looks.
func headers(t *ast.Term, may []string) (map[string]string, string) {
	if t == nil {
		return nil, ""
	}
	obj, ok := t.Value.(ast.Object)
	if !ok {
		return nil, "must be an object, and is " + kind(t)
	}
	out := make(map[string]string, obj.Len())
	problem, size := "", 0
	obj.Until(func(k, v *ast.Term) bool {
		name, okName := k.Value.(ast.String)
		value, okValue := v.Value.(ast.String)
		canonical, err := checkHeaderName(string(name))
		size += len(name) + len(value)
		switch {
		case !okName || !okValue:
			problem = "must map strings to strings"
		case err != nil:
			problem = "has a name that cannot be set: " + err.Error()
		case !slices.Contains(may, canonical):
			problem = fmt.Sprintf("has a name that was not known when the policy was loaded: %.80q", canonical)
		case !headerValue(string(value)):
			problem = "has a value with a control character for " + canonical
		case size > maxHeaderBytes:
			problem = fmt.Sprintf("are longer than %d bytes", maxHeaderBytes)
		}
		if old, twice := out[canonical]; problem == "" && twice && old != string(value) {
			problem = "has two values for " + canonical
		}
		out[canonical] = string(value)
		return problem != ""
	})
	if problem != "" || len(out) == 0 {
		return nil, problem
	}
	return out, ""
}

func logFields(t *ast.Term) (map[string]any, string) {
	if t == nil {
		return nil, ""
	}
	obj, ok := t.Value.(ast.Object)
	if !ok {
		return nil, "must be an object, and is " + kind(t)
	}
	if obj.Len() == 0 {
		return nil, ""
	}
	v, err := ast.JSON(obj)
	if err != nil {
		return nil, "is not JSON: " + err.Error()
	}
	fields, ok := v.(map[string]any)
	if !ok {
		return nil, "must have strings as names"
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return nil, "is not JSON: " + err.Error()
	}
	if len(text) > maxLogBytes {
		return nil, fmt.Sprintf("is longer than %d bytes", maxLogBytes)
	}
	return fields, ""
}

// kind names the type of a value with its article.
func kind(t *ast.Term) string {
	switch name := ast.ValueName(t.Value); name {
	case "array", "object":
		return "an " + name
	default:
		return "a " + name
	}
}
