package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// removed names the builtins that are not compiled in, and why: a policy decides
// from its input and data, and neither reaches out nor tells what the process
// knows. net.cidr_* only compare addresses, and stay.
var removed = map[string]string{
	"http.send":          "it reaches out to the network",
	"net.lookup_ip_addr": "it reaches out to the network",
	"opa.runtime":        "it shows the environment of the process, secrets included",
	"rego.parse_module":  "it compiles Rego out of request data",
}

// capabilities are OPA's own without the removed builtins. The empty AllowNet
// also keeps JSON schemas from being fetched (json.match_schema with a remote
// $ref). They are given to the compiler, so that mocking with "with" cannot
// reach a removed builtin either.
func capabilities() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	c.Builtins = slices.DeleteFunc(slices.Clone(c.Builtins), func(b *ast.Builtin) bool {
		_, gone := removed[b.Name]
		return gone
	})
	c.AllowNet = []string{}
	return c
}

// explain adds to compile errors about a removed builtin why it is not there.
func explain(errs ast.Errors) error {
	for _, e := range errs {
		for name, why := range removed {
			if strings.HasSuffix(e.Message, "undefined function "+name) {
				e.Message += fmt.Sprintf(" (%s is not available to policies: %s)", name, why)
			}
		}
	}
	return tidy(errs)
}

// tidy turns OPA's list of errors into one error a line, each with its file,
// line and column, in a stable order.
func tidy(errs ast.Errors) error {
	slices.SortStableFunc(errs, func(a, b *ast.Error) int {
		if a.Location == nil || b.Location == nil {
			return strings.Compare(a.Error(), b.Error())
		}
		return a.Location.Compare(b.Location)
	})
	out := make([]error, 0, len(errs))
	seen := map[string]bool{}
	for _, e := range errs {
		if text := printed(e); !seen[text] {
			seen[text] = true
			out = append(out, errors.New(text))
		}
	}
	return errors.Join(out...)
}

// printed is an error as OPA prints it, with the column as well.
func printed(e *ast.Error) string {
	if e.Location == nil || e.Location.File == "" {
		return e.Error()
	}
	text := fmt.Sprintf("%s:%d:%d: %s: %s", e.Location.File, max(e.Location.Row, 1), max(e.Location.Col, 1), e.Code, e.Message)
	if e.Details == nil {
		return text
	}
	for _, line := range e.Details.Lines() {
		text += "\n\t" + line
	}
	return text
}
