package policy

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"
)

// Report is what Check found. It is fine when Errors is empty.
type Report struct {
	Files    int
	Revision string   // without the rules of sites; empty when there are errors
	Packages []string // that define allow, and so may decide
	Errors   []string // one problem each, with file:line:column where it has one
	Warnings []string
}

// Check reads and compiles policy folders as a load would, and stricter: unused
// imports and variables are errors too. It touches no engine. The error says
// that ctx is done; all else is in the Report.
func Check(ctx context.Context, dirs []string, builtin fs.FS) (*Report, error) {
	r := &Report{}
	src, err := readSources(ctx, dirs)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		r.add(err)
		return r, nil
	}
	r.Files = len(src.files)
	for _, path := range src.ignored {
		r.Warnings = append(r.Warnings, path+": not read; only data.json, data.yaml and data.yml are data")
	}
	if len(src.files) == 0 {
		r.Warnings = append(r.Warnings, "the folders hold no policies: "+strings.Join(dirs, ", "))
	}
	set, err := compile(ctx, src, builtin, nil)
	if err != nil {
		r.add(err)
		return r, nil
	}
	if _, err := set.build(ctx, set.modules.serving, true); err != nil {
		r.add(err)
	}
	r.Packages = set.packages()
	for _, name := range util.KeysSorted(set.modules.serving) {
		pkg := packageName(set.modules.serving[name])
		if set.modules.builtin[name] || !slices.Contains(r.Packages, pkg) {
			continue
		}
		if _, err := set.prepare(pkg, -1); err != nil {
			r.add(err)
		}
	}
	if len(r.Errors) == 0 {
		r.Revision = set.revision
		r.warn(set)
	}
	return r, nil
}

// warn points at reads of input that can never be there: a misspelt field is
// undefined, and in a deny rule that opens what it was to close.
func (r *Report) warn(set *compiled) {
	schemas := ast.NewSchemaSet()
	schemas.Put(ast.SchemaRootRef, inputSchema())
	c := newCompiler().WithSchemas(schemas)
	c.Compile(set.modules.serving)
	if c.Failed() {
		r.Warnings = append(r.Warnings, texts(tidy(c.Errors))...)
	}
}

// add notes an error, which may be several, each once.
func (r *Report) add(err error) {
	for _, text := range texts(err) {
		if !slices.Contains(r.Errors, text) {
			r.Errors = append(r.Errors, text)
		}
	}
}

// texts takes joined errors apart.
func texts(err error) (out []string) {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []string{err.Error()}
	}
	for _, e := range joined.Unwrap() {
		out = append(out, texts(e)...)
	}
	return out
}
