package policy

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

func knownBuiltins(compiler *ast.Compiler) map[string]*ast.Builtin {
	known := make(map[string]*ast.Builtin, len(ast.Builtins))
	for _, b := range ast.Builtins {
		known[b.Name] = b
	}
	for _, more := range []*ast.Capabilities{compiler.Capabilities(), compiler.Required} {
		if more == nil {
			continue
		}
		for _, b := range more.Builtins {
			if known[b.Name] == nil {
				known[b.Name] = b
			}
		}
	}
	return known
}

// unmarked are builtins that OPA does not mark as nondeterministic, though what
// they say depends on the clock, or on a schema that they may fetch.
var unmarked = []string{
	"crypto.x509.parse_and_verify_certificates",
	"crypto.x509.parse_and_verify_certificates_with_options",
	"io.jwt.decode_verify",
	"json.match_schema",
	"json.verify_schema",
}

// varies reports whether a builtin can answer differently for equal operands.
func varies(b *ast.Builtin) bool {
	return b.Nondeterministic || slices.Contains(unmarked, b.Name)
}
