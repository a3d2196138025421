package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
	"github.com/open-policy-agent/opa/v1/util"
)

// Show returns the Rego of a package in force, formatted: what allow and deny
// lines became, or the files that define the package.
func (e *Engine) Show(pkg string) (string, error) {
	if _, err := packageRef(pkg); err != nil {
		return "", err
	}
	set := e.current.Load()
	if set == nil {
		return "", ErrNotLoaded
	}
	var names, parts []string
	for _, name := range util.KeysSorted(set.modules.serving) {
		mod := set.modules.serving[name]
		names = append(names, packageName(mod))
		if packageName(mod) != pkg {
			continue
		}
		text, err := format.SourceWithOpts(name, []byte(set.modules.text[name]), format.Opts{
			RegoVersion: ast.RegoV1, ParserOptions: &ast.ParserOptions{RegoVersion: ast.RegoV1, Capabilities: capabilities()},
		})
		if err != nil {
			return "", fmt.Errorf("policy package %s: %w", pkg, err)
		}
		parts = append(parts, fmt.Sprintf("# %s\n%s", name, text))
	}
	if parts == nil {
		slices.Sort(names)
		return "", errors.New("no policy package " + pkg + "; there are: " + strings.Join(slices.Compact(names), ", "))
	}
	return strings.Join(parts, "\n"), nil
}
