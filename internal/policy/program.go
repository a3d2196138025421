package policy

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/cache"
)

// ruleNames are the rules that the gateway reads, contract section 5.
var ruleNames = []string{"allow", "deny", "require", "headers", "log"}

// program is one package at one revision, ready to decide. Only its memory and
// caches change.
type program struct {
	set      *compiled
	pkg      string
	rules    []ask
	query    ast.Body
	qc       ast.QueryCompiler
	headers  []string // canonical names that the headers rule may set
	memory   *remembered
	needs    inputNeeds
	patterns patterns    // compiled regular expressions and globs
	warned   atomic.Bool // of an allow that is no boolean
}

// prepare makes the program of a package, which must define allow.
func (c *compiled) prepare(pkg string, remember int) (*program, error) {
	ref, err := packageRef(pkg)
	if err != nil {
		return nil, err
	}
	if !c.decides(ref) {
		return nil, c.missing(pkg)
	}
	p := &program{set: c, pkg: pkg, patterns: newPatterns()}
	var refs []ast.Ref
	for _, name := range ruleNames {
		full := ref.Append(ast.StringTerm(name))
		if err := c.onlyRule(full); err != nil {
			return nil, err
		}
		if c.rule(ref, name) != nil {
			p.rules = append(p.rules, ask{name: name, defined: c.always(full)})
			refs = append(refs, full)
		}
	}
	if err := c.checkShapes(ref); err != nil {
		return nil, err
	}
	if p.headers, err = c.headerNames(ref); err != nil {
		return nil, err
	}
	if err := c.checkValues(ref, p.headers); err != nil {
		return nil, err
	}
	if err := p.compileQuery(refs); err != nil {
		return nil, err
	}
	p.memory = rememberFor(c.compiler, refs, remember)
	p.needs = p.memory.reach.needed()
	return p, nil
}

func (c *compiled) missing(pkg string) error {
	found := "no package defines allow"
	if have := c.packages(); len(have) > 0 {
		found = "these packages do: " + strings.Join(have, ", ")
	}
	return fmt.Errorf("policy package %s does not define allow; %s", pkg, found)
}

// onlyRule refuses a deny (or another of our names) that is a package or data
// rather than a rule: it would look as if it decided, and never would.
func (c *compiled) onlyRule(full ast.Ref) error {
	node := c.compiler.ModuleTree
	for _, term := range full {
		if node = node.Children[term.Value]; node == nil {
			break
		}
	}
	if node != nil {
		return fmt.Errorf("%s must be a rule, and is a package: rename the package", full)
	}
	doc := any(c.data)
	for _, term := range full[1:] {
		obj, _ := doc.(map[string]any)
		doc = obj[string(term.Value.(ast.String))]
	}
	if doc != nil {
		return fmt.Errorf("%s must be a rule, and is in a data file: rename the field", full)
	}
	return nil
}

// ask is one of ruleNames that a package defines.
type ask struct {
	name    string
	defined bool // whatever the request
}

// always reports whether a rule is sure to have a value: it is a set that is
// made entry by entry, or it has a default.
func (c *compiled) always(full ast.Ref) bool {
	node := c.compiler.RuleTree.Find(full)
	if node == nil || len(node.Children) > 0 || len(node.Values) == 0 {
		return false
	}
	sure := false
	for _, rule := range node.Values {
		if len(rule.Head.Args) > 0 || len(rule.Ref()) != len(full) {
			return false
		}
		sure = sure || rule.Default || rule.Head.RuleKind() == ast.MultiValue
	}
	return sure
}

// compileQuery asks for a rule that may be undefined inside a comprehension, so
// that it gives an empty list rather than no result at all. Should a rule that is
// always defined be undefined after all, that is a fault.
func (p *program) compileQuery(refs []ast.Ref) error {
	var q strings.Builder
	for i, ref := range refs {
		if i > 0 {
			q.WriteString("; ")
		}
		if p.rules[i].defined {
			fmt.Fprintf(&q, "%s = %s", p.rules[i].name, ref)
			continue
		}
		fmt.Fprintf(&q, "%s = [x | x = %s]", p.rules[i].name, ref)
	}
	body, err := ast.ParseBodyWithOpts(q.String(), ast.ParserOptions{RegoVersion: ast.RegoV1})
	if err != nil {
		return fmt.Errorf("policy package %s: %w", p.pkg, err)
	}
	p.qc = p.set.compiler.QueryCompiler()
	if p.query, err = p.qc.Compile(body); err != nil {
		return fmt.Errorf("policy package %s: %w", p.pkg, err)
	}
	return nil
}

// Bounds on the compiled patterns that a program remembers; a policy that makes
// patterns out of requests could otherwise fill the memory.
const (
	patternsKept    = 4096
	maxPatternBytes = 1 << 10 // a longer one is compiled each time
)

type patterns struct{ cache.InterQueryValueCache }

func newPatterns() patterns {
	kept := patternsKept
	return patterns{cache.NewInterQueryValueCache(context.Background(), &cache.Config{
		InterQueryBuiltinValueCache: cache.InterQueryBuiltinValueCacheConfig{MaxNumEntries: &kept},
	})}
}

func (p patterns) Insert(key ast.Value, value any) int {
	if text, ok := key.(ast.String); ok && len(text) > maxPatternBytes {
		return 0
	}
	return p.InterQueryValueCache.Insert(key, value)
}

// values are the results of the rules; one that is undefined is nil.
type values struct{ allow, deny, require, headers, log *ast.Term }

// of is the place of a rule of ruleNames.
func (v *values) of(name string) **ast.Term {
	switch name {
	case "allow":
		return &v.allow
	case "deny":
		return &v.deny
	case "require":
		return &v.require
	case "headers":
		return &v.headers
	default:
		return &v.log
	}
}

// read takes the values out of a query result.
func (p *program) read(qr topdown.QueryResult) (out values, err error) {
	for _, rule := range p.rules {
		name := rule.name
		term := qr[ast.Var(name)]
		if term == nil {
			return values{}, fmt.Errorf("policy %s: the result has no %s", p.pkg, name)
		}
		if rule.defined {
			*out.of(name) = term
			continue
		}
		list, ok := term.Value.(*ast.Array)
		if !ok || list.Len() > 1 {
			return values{}, fmt.Errorf("policy %s: %s has more than one value", p.pkg, name)
		}
		if list.Len() == 1 {
			*out.of(name) = list.Elem(0)
		}
	}
	return out, nil
}
