package policy

import (
	"errors"
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/types"
)

// shape is the type of one of our rules in contract section 5.
type shape struct {
	name  string
	is    string // for messages
	write string // what to write instead
	// How a rule may build it: entry by entry as a set (deny contains …), field
	// by field as an object (headers["X-A"] := …). Any may name its value whole.
	set, object bool
	holds       func(ast.Value) bool
	may         func(types.Type) bool
}

var shapes = []shape{
	{
		name: "allow", is: "a boolean", write: "allow if { … }",
		holds: func(v ast.Value) bool { _, ok := v.(ast.Boolean); return ok },
		may:   func(t types.Type) bool { _, ok := t.(types.Boolean); return ok },
	},
	{
		name: "deny", is: "a set of strings", write: `deny contains "the reason" if { … }`, set: true,
		holds: isList, may: mayBeList,
	},
	{
		name: "require", is: "a set of strings", write: `require contains "login" if { … }`, set: true,
		holds: isList, may: mayBeList,
	},
	{
		name: "headers", is: "an object of strings", write: `headers["X-Team"] := "…" if { … }`, object: true,
		holds: isObject, may: mayBeObject,
	},
	{
		name: "log", is: "an object", write: `log["team"] := … if { … }`, object: true,
		holds: isObject, may: mayBeObject,
	},
}

func isList(v ast.Value) bool {
	switch v.(type) {
	case ast.Set, *ast.Array: // an array is a list of reasons, too
		return true
	}
	return false
}

func mayBeList(t types.Type) bool {
	switch t.(type) {
	case *types.Set, *types.Array:
		return true
	}
	return false
}

func isObject(v ast.Value) bool     { _, ok := v.(ast.Object); return ok }
func mayBeObject(t types.Type) bool { _, ok := t.(*types.Object); return ok }
func writtenOut(t *ast.Term) bool   { return t != nil && ast.IsConstant(t.Value) }
func (s *shape) must(is string) error {
	return fmt.Errorf("%s must be %s, and is %s: write %s", s.name, s.is, is, s.write)
}

// checkShapes refuses rules that can only answer with a value of a wrong type:
// they would turn every request that they concern into a fault. What only a
// request can tell is left to answer.
func (c *compiled) checkShapes(pkg ast.Ref) error {
	var errs []error
	for i := range shapes {
		s := &shapes[i]
		rules := c.rulesOf(pkg, s.name)
		before := len(errs)
		for _, rule := range rules {
			if err := s.checkRule(rule, len(pkg)+1); err != nil {
				errs = append(errs, at(rule, err))
			}
		}
		if len(errs) > before || len(rules) == 0 || c.mocks {
			continue
		}
		if t := c.compiler.TypeEnv.GetByRef(pkg.Append(ast.StringTerm(s.name))); !possible(t, s.may) {
			errs = append(errs, at(rules[0], s.must(typeName(t))))
		}
	}
	return errors.Join(errs...)
}

// checkRule judges a rule by how it is written, and by its value if that is
// written out. Names of ours have the length depth.
func (s *shape) checkRule(rule *ast.Rule, depth int) error {
	head := rule.Head
	switch {
	case len(head.Args) > 0:
		return s.must("a function")
	case len(rule.Ref()) > depth:
		if !s.object {
			return s.must("an object")
		}
	case head.RuleKind() == ast.MultiValue:
		if !s.set {
			return s.must("a set")
		}
	case writtenOut(head.Value) && !s.holds(head.Value.Value):
		return s.must(kind(head.Value))
	}
	return nil
}

// checkValues refuses values that are written out and that answer would refuse,
// in its words.
func (c *compiled) checkValues(pkg ast.Ref, headers []string) error {
	var errs []error
	for _, name := range ruleNames[1:] {
		for _, rule := range c.rulesOf(pkg, name) {
			value := written(rule, len(pkg)+1)
			if value == nil {
				continue
			}
			var wrong *ResultError
			var v values
			*v.of(name) = value
			if _, _, err := v.answer("", headers); errors.As(err, &wrong) {
				errs = append(errs, at(rule, fmt.Errorf("%s %s", wrong.Rule, wrong.Problem)))
			}
		}
	}
	return errors.Join(errs...)
}

// written is what a rule adds to the value of our name, when all of that is
// written out, and nil otherwise.
func written(rule *ast.Rule, depth int) *ast.Term {
	head, ref := rule.Head, rule.Ref()
	switch {
	case len(ref) == depth+1 && writtenOut(ref[depth]) && head.RuleKind() == ast.SingleValue && writtenOut(head.Value):
		return ast.ObjectTerm([2]*ast.Term{ref[depth], head.Value})
	case len(ref) > depth:
		return nil
	case head.RuleKind() == ast.MultiValue && writtenOut(head.Key):
		return ast.SetTerm(head.Key)
	case head.RuleKind() == ast.SingleValue && writtenOut(head.Value):
		return head.Value
	}
	return nil
}

// rulesOf lists the rules under one of our names, else branches too, as they
// stand in their files.
func (c *compiled) rulesOf(pkg ast.Ref, name string) (out []*ast.Rule) {
	node := c.rule(pkg, name)
	if node == nil {
		return nil
	}
	node.DepthFirst(func(n *ast.TreeNode) bool {
		for _, rule := range n.Values {
			for ; rule != nil; rule = rule.Else {
				out = append(out, rule)
			}
		}
		return false
	})
	slices.SortStableFunc(out, func(a, b *ast.Rule) int { return a.Location.Compare(b.Location) })
	return out
}

// at puts the place of a rule before an error about it.
func at(rule *ast.Rule, err error) error {
	return fmt.Errorf("%s:%d:%d: %w", rule.Location.File, rule.Location.Row, rule.Location.Col, err)
}

// possible reports whether a value of type t may be of a wanted type. What the
// type checker does not know may be.
func possible(t types.Type, may func(types.Type) bool) bool {
	switch t := t.(type) {
	case types.Null, types.Boolean, types.Number, types.String, *types.Array, *types.Set, *types.Object:
		return may(t)
	case *types.NamedType:
		return possible(t.Type, may)
	case types.Any:
		return len(t) == 0 || slices.ContainsFunc(t, func(t types.Type) bool { return possible(t, may) })
	}
	return true
}

// typeName names a type with its article.
func typeName(t types.Type) string {
	switch t := t.(type) {
	case *types.NamedType:
		return typeName(t.Type)
	case types.Any:
		return "of the type " + types.Sprint(t)
	case *types.Array:
		return "an array"
	case *types.Object:
		return "an object"
	case *types.Set:
		return "a set"
	}
	return "a " + types.Sprint(t)
}

// mocked reports whether a policy replaces a function by something else (with
// count as …). The type checker then takes the result for what the function that
// was replaced returns, so its word does not count.
func mocked(mods map[string]*ast.Module) bool {
	found := false
	for _, mod := range mods {
		ast.WalkWiths(mod, func(w *ast.With) bool {
			target, ok := w.Target.Value.(ast.Ref)
			found = found || !ok || !target.HasPrefix(ast.InputRootRef)
			return found
		})
	}
	return found
}
