package policies_test

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"

	"github.com/gatehouse-proxy/gatehouse/internal/policy"
	"github.com/gatehouse-proxy/gatehouse/policies"
)

const root = ".." // of the repository

// regoFolders finds every folder of the repository that has Rego in it.
func regoFolders(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "artifacts" || name == "out"):
			return fs.SkipDir
		case !d.IsDir() && strings.HasSuffix(name, ".rego"):
			out[filepath.Dir(path)] = append(out[filepath.Dir(path)], path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestLint holds all Rego that we show to one standard: what `opa fmt`, `opa check
// --strict` and `policy check` say, and the few rules of regal that matter here.
func TestLint(t *testing.T) {
	folders := regoFolders(t)
	if len(folders) < 3 {
		t.Fatalf("only %v: the walk has lost its way", folders)
	}
	for folder, paths := range folders {
		t.Run(strings.TrimPrefix(folder, root+"/"), func(t *testing.T) {
			all := map[string]*ast.Module{}
			for _, path := range paths {
				all[path] = parsed(t, path)
			}
			for path, mod := range all {
				formatted(t, path)
				imports(t, path, mod)
				if strings.HasSuffix(path, "_test.rego") {
					testFile(t, path, mod, all)
					continue
				}
				titled(t, path, mod)
			}
			strict(t, folder, all)
			checked(t, folder)
		})
	}
}

func parsed(t *testing.T, path string) *ast.Module {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	mod, err := ast.ParseModuleWithOpts(path, string(text), ast.ParserOptions{RegoVersion: ast.RegoV1, ProcessAnnotation: true})
	if err != nil {
		t.Fatal(err)
	}
	return mod
}

func formatted(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := format.SourceWithOpts(path, text, format.Opts{RegoVersion: ast.RegoV1})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, text) {
		t.Errorf("%s is not formatted as opa fmt would:\n%s", path, want)
	}
}

// imports finds those that Rego v1 does not need. Unused ones end the strict build.
func imports(t *testing.T, path string, mod *ast.Module) {
	t.Helper()
	for _, i := range mod.Imports {
		if name := i.Path.String(); name == "rego.v1" || strings.HasPrefix(name, "future.keywords") {
			t.Errorf("%s: import %s is noise in Rego v1", path, name)
		}
	}
}

func testFile(t *testing.T, path string, mod *ast.Module, all map[string]*ast.Module) {
	t.Helper()
	tested, ok := strings.CutSuffix(mod.Package.Path.String(), "_test")
	if !ok {
		t.Errorf("%s: the package of a test file ends in _test", path)
		return
	}
	for other, mod := range all {
		if !strings.HasSuffix(other, "_test.rego") && mod.Package.Path.String() == tested {
			return
		}
	}
	t.Errorf("%s tests %s, which is not beside it", path, tested)
}

func titled(t *testing.T, path string, mod *ast.Module) {
	t.Helper()
	if strings.HasSuffix(mod.Package.Path.String(), "_test") {
		t.Errorf("%s: a test file is called …_test.rego, or its rules serve", path)
	}
	if !slices.ContainsFunc(mod.Annotations, func(a *ast.Annotations) bool { return a.Scope == "package" && a.Title != "" }) {
		t.Errorf("%s: its package has no METADATA with a title", path)
	}
}

// strict compiles a folder as `opa check --strict` does, tests too, beside the
// shipped packages that it does not define itself.
func strict(t *testing.T, folder string, all map[string]*ast.Module) {
	t.Helper()
	mods := map[string]*ast.Module{}
	owned := map[string]bool{}
	for path, mod := range all {
		mods[path], owned[mod.Package.Path.String()] = mod, true
	}
	for path, mod := range modules(t) {
		if !owned[mod.Package.Path.String()] && !strings.HasSuffix(path, "_test.rego") {
			mods[path] = mod
		}
	}
	c := ast.NewCompiler().WithStrict(true)
	if c.Compile(mods); c.Failed() {
		t.Errorf("%s: %v", folder, c.Errors)
	}
}

// checked is what `caddy gatehouse policy check` says, its warnings too.
func checked(t *testing.T, folder string) {
	t.Helper()
	r, err := policy.Check(context.Background(), []string{folder}, policies.FS)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range slices.Concat(r.Errors, r.Warnings) {
		t.Errorf("policy check: %s", line)
	}
}

var fence = regexp.MustCompile("(?ms)^```rego\n(.*?)^```$")

// TestGuide holds the guide to its word that each policy in it works as it stands.
func TestGuide(t *testing.T) {
	guide, err := os.ReadFile(filepath.Join(root, "docs/guide/policies.md"))
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for _, block := range fence.FindAllSubmatch(guide, -1) {
		first, _, _ := strings.Cut(string(block[1]), "\n")
		name, ok := strings.CutPrefix(first, "package ")
		if !ok {
			continue // a fragment
		}
		path := filepath.Join(folder, name+".rego")
		if err := os.WriteFile(path, block[1], 0o600); err != nil {
			t.Fatal(err)
		}
		formatted(t, path)
	}
	checked(t, folder)
	report, err := policy.Test(context.Background(), policy.TestOptions{Dirs: []string{folder}, Builtin: policies.FS})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Results) == 0 {
		t.Error("the guide has no tests")
	}
	for _, r := range report.Results {
		if !r.Pass {
			t.Errorf("%s: %s", r.Name, r.Trace)
		}
	}
}
