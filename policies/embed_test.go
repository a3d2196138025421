package policies_test

import (
	"context"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/tester"

	"github.com/gatehouse-proxy/gatehouse/policies"
)

// modules reads all Rego here, tests included, as a policy author would get it.
func modules(t *testing.T) map[string]*ast.Module {
	t.Helper()
	paths, err := filepath.Glob("gatehouse/*.rego")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	out := map[string]*ast.Module{}
	for _, path := range paths {
		out[path] = parsed(t, path)
	}
	return out
}

func TestRego(t *testing.T) {
	results, err := tester.NewRunner().
		SetCompiler(ast.NewCompiler()).
		SetModules(modules(t)).
		SetStore(inmem.New()).
		SetTimeout(10*time.Second).
		RunTests(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	tested := map[string]int{}
	for r := range results {
		tested[r.Package]++
		t.Run(r.Package+"."+r.Name, func(t *testing.T) {
			if r.Error != nil || r.Fail {
				t.Errorf("%v: %v", r.Location, r.Error)
			}
		})
	}
	for _, pkg := range []string{"rbac", "abac", "rebac", "http"} {
		if tested["data.gatehouse."+pkg+"_test"] < 5 {
			t.Errorf("%s has %d tests", pkg, tested["data.gatehouse."+pkg+"_test"])
		}
	}
}

// TestDescribed keeps every package and every public function of it explained.
func TestDescribed(t *testing.T) {
	for path, mod := range modules(t) {
		if strings.HasSuffix(path, "_test.rego") {
			continue
		}
		var text []string
		for _, a := range mod.Annotations {
			if a.Title == "" || a.Description == "" {
				t.Errorf("%s: annotation without title or description", a.Location)
			}
			text = append(text, a.Title)
		}
		if mod.Annotations == nil || mod.Annotations[0].Scope != "package" {
			t.Errorf("%s has no annotation of the package", path)
		}
		t.Log(path, strings.Join(text, ", "))
	}
}

func TestEmbedded(t *testing.T) {
	var got []string
	err := fs.WalkDir(policies.FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			got = append(got, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "gatehouse/abac.rego gatehouse/http.rego gatehouse/rbac.rego gatehouse/rebac.rego"
	if strings.Join(got, " ") != want {
		t.Errorf("embedded: %v", got)
	}
}
