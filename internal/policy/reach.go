package policy

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// reach says which parts of the input one entry point can read, whatever the
// request: the union over every rule it can come to. Two questions that agree
// in those parts get the same answer, so an answer may be remembered under
// exactly their values. It errs towards too much, never towards too little.
//
// A reach does not change once made. It holds for one compiled set of policies;
// what the policies read from data is the caller's to keep apart, by a fresh
// memory for each revision.
type reach struct {
	parts []part
	// never says that answers must not be remembered at all: something read
	// differs for each request, or does not come from the input.
	never bool
}

// part is one readable piece of the input. The name picks one query parameter,
// header (canonical) or claim; it is empty for all other pieces.
type part struct {
	field field
	name  string
}

// analyse finds what the rules at the entry points, such as data.app.allow, can
// reach in a compiled set of policies.
func analyse(compiler *ast.Compiler, entries ...ast.Ref) *reach {
	a := analysis{
		builtins: knownBuiltins(compiler),
		tree:     compiler.RuleTree,
		seen:     make(map[*ast.Rule]bool),
		whole:    make(map[*ast.TreeNode]bool),
		parts:    make(map[part]bool),
	}
	for _, entry := range entries {
		if a.tree.Find(entry) == nil {
			a.never = true // a wrong name must not look like a constant answer
		}
		a.data(entry)
	}
	for len(a.queue) > 0 {
		rule := a.queue[len(a.queue)-1]
		a.queue = a.queue[:len(a.queue)-1]
		a.rule(rule)
	}
	return a.result()
}

// analysis is the state of one walk over everything that an entry point can
// come to. It looks at the rules after OPA has rewritten them, which are the
// ones that get evaluated.
type analysis struct {
	builtins map[string]*ast.Builtin
	tree     *ast.TreeNode
	queue    []*ast.Rule // found, not walked yet
	seen     map[*ast.Rule]bool
	whole    map[*ast.TreeNode]bool // subtrees of which every rule was seen
	aliases  map[ast.Var]ast.Ref    // of the rule being walked
	parts    map[part]bool
	never    bool
}

// data follows a reference into data: to the rules it passes through, and to
// all rules below where it ends or where it is no longer known. What else is
// under data are documents, and those belong to the revision.
func (a *analysis) data(ref ast.Ref) {
	node := a.tree
	for i, term := range ref {
		if i > 0 && !ast.IsConstant(term.Value) {
			break
		}
		if node = node.Child(term.Value); node == nil {
			return
		}
		a.node(node)
	}
	a.below(node)
}

func (a *analysis) below(node *ast.TreeNode) {
	if a.whole[node] {
		return
	}
	a.whole[node] = true
	a.node(node)
	for _, child := range node.Children {
		a.below(child)
	}
}

func (a *analysis) node(node *ast.TreeNode) {
	if node.External != nil {
		a.never = true // rules that come from outside, at evaluation
	}
	for _, rule := range node.Values {
		for ; rule != nil && !a.seen[rule]; rule = rule.Else {
			a.seen[rule] = true
			a.queue = append(a.queue, rule)
		}
	}
}

func (a *analysis) rule(rule *ast.Rule) {
	a.aliases = aliasesIn(rule)
	head := rule.Head
	for _, term := range head.Reference[min(1, len(head.Reference)):] {
		a.walk(term)
	}
	a.walk(head.Args)
	if head.Key != nil {
		a.walk(head.Key)
	}
	if head.Value != nil {
		a.walk(head.Value)
	}
	a.walk(rule.Body)
}

// walk looks at everything inside x. The cases name every kind of node that OPA
// has; one that a later OPA adds is not understood, and ends remembering.
func (a *analysis) walk(x any) {
	ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case ast.Ref:
			a.ref(x)
			return true
		case ast.Var:
			a.ref(ast.Ref{ast.NewTerm(x)})
			return true
		case ast.Call:
			a.call(x)
			return true
		case *ast.Expr:
			return a.expr(x)
		case *ast.With:
			a.with(x)
			return true
		case ast.Args, ast.Body, *ast.Term, *ast.Every, *ast.SomeDecl,
			*ast.Not, *ast.LogicalAnd, *ast.LogicalOr, *ast.TemplateString,
			*ast.ArrayComprehension, *ast.SetComprehension, *ast.ObjectComprehension,
			*ast.Array, ast.Set, ast.Object,
			ast.Null, ast.Boolean, ast.Number, ast.String:
		default:
			a.never = true
		}
		return false
	}).Walk(x)
}

// expr reports whether it has dealt with the expression itself.
func (a *analysis) expr(expr *ast.Expr) bool {
	switch terms := expr.Terms.(type) {
	case *ast.Term, *ast.SomeDecl, *ast.Every, *ast.Not, *ast.LogicalAnd, *ast.LogicalOr:
		return false
	case []*ast.Term:
		if v, ref := aliasing(expr); ref == nil || !a.aliases[v].Equal(ref) {
			a.call(terms)
		}
		for _, with := range expr.With {
			a.with(with)
		}
	default:
		a.never = true
	}
	return true
}

// with notes a modifier. What is read below it needs no other care: a read yields
// either the part of the real input that is noted for it, or a part of the
// replacement, whose own references are noted here. The target is noted as well,
// for a modifier can fail on what is there; input as a whole is always there.
func (a *analysis) with(with *ast.With) {
	if !ast.InputRootRef.Equal(with.Target.Value) && !ast.InputRootDocument.Equal(with.Target) {
		a.walk(with.Target)
	}
	a.walk(with.Value)
}

// ref notes what one reference reads.
func (a *analysis) ref(ref ast.Ref) {
	ref = a.resolve(ref)
	switch head := ref[0].Value; {
	case head.Compare(ast.InputRootDocument.Value) == 0:
		a.input(ref)
	case head.Compare(ast.DefaultRootDocument.Value) == 0:
		a.data(ref)
	default:
		if _, isVar := head.(ast.Var); !isVar {
			a.walk(ref[0])
		} else if b := a.builtins[ref.String()]; b != nil {
			a.never = a.never || varies(b) // a call, or the stand-in of a `with`
		}
	}
	for _, term := range ref[1:] {
		a.walk(term)
	}
}

// call notes a call: operator first, then operands. An operator that is neither
// a rule nor a builtin known here could be anything.
func (a *analysis) call(terms []*ast.Term) {
	if operator, ok := terms[0].Value.(ast.Ref); !ok ||
		!operator.HasPrefix(ast.DefaultRootRef) && a.builtins[operator.String()] == nil {
		a.never = true
	}
	if read := a.objectGet(terms); read != nil {
		a.ref(read)
		terms = terms[3:]
	}
	for _, term := range terms {
		a.walk(term)
	}
}

// objectGet turns object.get(input.x, "y", …) and object.get(input, ["x", "y"],
// …) into the reference that they read, or returns nil. It is how careful
// authors write a default, and would otherwise count as reading all of input.
func (a *analysis) objectGet(terms []*ast.Term) ast.Ref {
	if len(terms) < 4 || !ast.ObjectGet.Ref().Equal(terms[0].Value) {
		return nil
	}
	from := a.resolve(ast.Ref{terms[1]})
	if ref, ok := terms[1].Value.(ast.Ref); ok {
		from = a.resolve(ref)
	}
	if !from.HasPrefix(ast.InputRootRef) {
		return nil
	}
	switch path := terms[2].Value.(type) {
	case ast.String:
		return from.Append(terms[2])
	case *ast.Array:
		read := slices.Clone(from)
		for i := range path.Len() {
			read = append(read, path.Elem(i))
		}
		return read
	}
	return nil
}

// input notes a read of input, cut down to what is told apart: a field, or one
// name in query, headers or claims. A read of something that is not known, or
// that is computed, counts as all that it could be.
func (a *analysis) input(ref ast.Ref) {
	group, name := constant(ref, 1), constant(ref, 2)
	if group == "version" {
		return // the same for every request
	}
	f, known := fieldNamed(group, name)
	if !known {
		for _, f := range fieldsOf(group) {
			a.parts[part{field: f}] = true
		}
		return
	}
	p := part{field: f}
	if f.keyed() {
		p.name = f.canonical(constant(ref, 3))
	}
	a.parts[p] = true
}

// constant returns the string at position i of a reference, or "" when there is
// none or it is computed.
func constant(ref ast.Ref, i int) string {
	if i >= len(ref) {
		return ""
	}
	s, _ := ref[i].Value.(ast.String)
	return string(s)
}

func (a *analysis) result() *reach {
	r := &reach{never: a.never}
	for p := range a.parts {
		if p.field == requestID {
			r.never = true
		}
		if p.name != "" && a.parts[part{field: p.field}] {
			continue // all of them are read anyway
		}
		r.parts = append(r.parts, p)
	}
	slices.SortFunc(r.parts, func(a, b part) int {
		if a.field != b.field {
			return int(a.field) - int(b.field)
		}
		return strings.Compare(a.name, b.name)
	})
	return r
}
