package policy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/util"
)

// siteRules are the allow and deny lines of one site, as Rego.
type siteRules struct {
	pkg  string
	text string
}

// modules are the parsed parts of a set before it is compiled.
type modules struct {
	serving map[string]*ast.Module // by name for messages
	tests   map[string]*ast.Module
	builtin map[string]bool // which of serving are shipped with us
	text    map[string]string
}

// compiled is a whole set, checked and ready to be asked. It never changes.
type compiled struct {
	modules  *modules
	data     map[string]any
	compiler *ast.Compiler
	store    storage.Store
	txn      storage.Transaction // one read transaction for good: nothing writes
	revision string
	files    int
	mocks    bool // see mocked
}

// compile checks a set in whole. Its errors carry file, line and column as OPA
// prints them, one a line.
func compile(ctx context.Context, src *sources, builtin fs.FS, rules []siteRules) (*compiled, error) {
	mods, err := parse(src, builtin, rules)
	data, dataErr := mergeData(src.files)
	if err = errors.Join(err, dataErr); err != nil {
		return nil, err
	}
	c := &compiled{
		modules:  mods,
		data:     data,
		store:    inmem.NewFromObjectWithOpts(data, inmem.OptReturnASTValuesOnRead(true)),
		revision: revision(src, mods, rules),
		files:    len(src.files),
		mocks:    mocked(mods.serving),
	}
	if c.txn, err = c.store.NewTransaction(ctx); err != nil {
		return nil, err
	}
	if c.compiler, err = c.build(ctx, mods.serving, false); err != nil {
		return nil, err
	}
	if len(mods.tests) > 0 { // a bad test refuses the set, but never serves
		all := maps.Clone(mods.serving)
		maps.Copy(all, mods.tests)
		if _, err := c.build(ctx, all, false); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *compiled) build(ctx context.Context, mods map[string]*ast.Module, strict bool) (*ast.Compiler, error) {
	compiler := newCompiler().WithStrict(strict).
		WithPathConflictsCheck(storage.NonEmpty(ctx, c.store, c.txn))
	compiler.Compile(mods)
	if compiler.Failed() {
		return nil, explain(compiler.Errors)
	}
	return compiler, nil
}

func newCompiler() *ast.Compiler {
	return ast.NewCompiler().
		WithCapabilities(capabilities()).
		WithDefaultRegoVersion(ast.RegoV1)
}

// parse reads the Rego of folders, site rules and shipped files. A package of
// the user's replaces the shipped file of the same package.
func parse(src *sources, builtin fs.FS, rules []siteRules) (*modules, error) {
	m := &modules{
		serving: map[string]*ast.Module{}, tests: map[string]*ast.Module{},
		builtin: map[string]bool{}, text: map[string]string{},
	}
	var errs []error
	owned := map[string]string{} // package -> who defines it
	for i := range src.files {
		f := &src.files[i]
		if !f.rego() {
			continue
		}
		mod, err := parseModule(f.path, string(f.text))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		m.text[f.path] = string(f.text)
		if f.test() {
			m.tests[f.path] = mod
			continue
		}
		m.serving[f.path] = mod
		owned[packageName(mod)] = f.path
	}
	for _, r := range rules {
		errs = append(errs, m.addRules(r, owned))
	}
	errs = append(errs, m.addBuiltin(builtin, owned))
	return m, errors.Join(errs...)
}

func (m *modules) addRules(r siteRules, owned map[string]string) error {
	if other, taken := owned[r.pkg]; taken {
		return fmt.Errorf("package %s is made from allow and deny lines, but %s defines it too: rename the package there", r.pkg, other)
	}
	name := "allow and deny lines of " + r.pkg
	mod, err := parseModule(name, r.text)
	if err != nil {
		return err
	}
	m.serving[name], m.text[name] = mod, r.text
	return nil
}

func (m *modules) addBuiltin(files fs.FS, owned map[string]string) error {
	if files == nil {
		return nil
	}
	return fs.WalkDir(files, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(p) != ".rego" || strings.HasSuffix(p, "_test.rego") {
			return err
		}
		text, err := fs.ReadFile(files, p)
		if err != nil {
			return err
		}
		name := "built-in " + p
		mod, err := parseModule(name, string(text))
		if err != nil {
			return err
		}
		if _, taken := owned[packageName(mod)]; taken {
			return nil
		}
		m.serving[name], m.text[name], m.builtin[name] = mod, string(text), true
		return nil
	})
}

func parseModule(name, text string) (*ast.Module, error) {
	mod, err := ast.ParseModuleWithOpts(name, text, ast.ParserOptions{
		RegoVersion: ast.RegoV1, Capabilities: capabilities(), ProcessAnnotation: true,
	})
	if errs := (ast.Errors)(nil); errors.As(err, &errs) {
		return nil, tidy(errs)
	}
	return mod, err
}

// packageName is the package without the leading "data.".
func packageName(m *ast.Module) string {
	return strings.TrimPrefix(m.Package.Path.String(), "data.")
}

// packageRef parses a package as a user writes it ("gatehouse.authz").
func packageRef(pkg string) (ast.Ref, error) {
	ref, err := ast.ParseRef("data." + pkg)
	if err != nil || len(ref) < 2 || !ref.IsGround() || strings.TrimPrefix(ref.String(), "data.") != pkg {
		return nil, fmt.Errorf("%q is not a Rego package: write it as in its package line, such as gatehouse.authz", pkg)
	}
	return ref, nil
}

// packages lists the packages of a set that define allow, and so may decide. A
// function of that name is a helper.
func (c *compiled) packages() []string {
	var out []string
	for _, mod := range c.modules.serving {
		name := packageName(mod)
		if ref, err := packageRef(name); err == nil && !slices.Contains(out, name) && c.decides(ref) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func (c *compiled) decides(pkg ast.Ref) bool {
	node := c.rule(pkg, "allow")
	return node != nil && !slices.ContainsFunc(node.Values, func(r *ast.Rule) bool { return len(r.Head.Args) > 0 })
}

// rule finds the node of a rule of the package, or nil.
func (c *compiled) rule(pkg ast.Ref, name string) *ast.TreeNode {
	node := c.compiler.RuleTree.Find(pkg)
	if node == nil {
		return nil
	}
	return node.Child(ast.String(name))
}

// revision names a set by what is in it: the same files give the same revision
// on every instance, wherever its folders are.
func revision(src *sources, mods *modules, rules []siteRules) string {
	h := sha256.New()
	part := func(kind, name, text string) {
		fmt.Fprintf(h, "%s %d %d\n%s%s", kind, len(name), len(text), name, text)
	}
	for i := range src.files {
		f := &src.files[i]
		part(fmt.Sprint("file ", f.dir), path.Join(f.rel...), string(f.text))
	}
	for _, name := range util.KeysSorted(mods.builtin) {
		part("built-in", name, mods.text[name])
	}
	for _, r := range rules {
		part("rules", r.pkg, r.text)
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}
