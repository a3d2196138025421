package policy

import "github.com/open-policy-agent/opa/v1/ast"

// Authors write `who := input.identity` and go on with `who.roles`, and OPA
// itself moves input out of calls into variables. Were such a variable taken for
// a read of the whole, half of all policies would count as reading everything.

// aliasesIn returns the variables of a rule that only name input or one of its
// groups. Any use of one but `variable.field` still reads the whole.
func aliasesIn(rule *ast.Rule) map[ast.Var]ast.Ref {
	aliases := make(map[ast.Var]ast.Ref)
	ast.WalkExprs(rule, func(expr *ast.Expr) bool {
		if v, ref := aliasing(expr); ref != nil && aliases[v] == nil {
			aliases[v] = ref
		}
		return false
	})
	return aliases
}

// aliasing returns the two sides of an expression like `who = input.identity`,
// or nil. It takes no fields, only what every input has: the expression of a
// field holds or not, depending on the request, even if nobody uses the variable.
func aliasing(expr *ast.Expr) (ast.Var, ast.Ref) {
	if !expr.IsEquality() || len(expr.Operands()) != 2 {
		return "", nil
	}
	left, right := expr.Operand(0).Value, expr.Operand(1).Value
	v, ok := left.(ast.Var)
	if !ok {
		v, ok = right.(ast.Var)
		right = left
	}
	ref, isRef := right.(ast.Ref)
	if !ok || !isRef || !ref.HasPrefix(ast.InputRootRef) || len(ref) > 2 {
		return "", nil
	}
	switch constant(ref, 1) {
	case "request", "identity", "time", "site":
		return v, ref
	}
	if len(ref) == 1 {
		return v, ref
	}
	return "", nil
}

// resolve replaces an alias at the head of a reference by what it names.
func (a *analysis) resolve(ref ast.Ref) ast.Ref {
	if v, ok := ref[0].Value.(ast.Var); ok {
		if named := a.aliases[v]; named != nil {
			return named.Concat(ref[1:])
		}
	}
	return ref
}
