package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
)

// Condition is one condition of an allow or deny line: a kind, such as "role",
// and its values, any one of which is enough.
type Condition struct {
	Kind   string
	Values []string
}

// Line is an allow or deny line. All its conditions must hold, and no others:
// `allow path /health` lets anybody in there, signed in or not.
type Line []Condition

// signedIn is the one line that counts when a site has no allow line. A site
// with deny lines alone could otherwise be entered by nobody.
var signedIn = Line{{Kind: "signed_in"}}

// CompileRules turns the allow and deny lines of a site into a Rego v1 policy in
// package pkg, formatted as OPA would, for a person to read and carry on from.
// Any allow line is enough and any deny line wins.
//
// The kinds, and what their values are compared with:
//
//	anyone, signed_in   no values
//	user                username, in the normal form of stored names
//	role, group         as spelled
//	email               whole address, in any case
//	email_domain        what follows the last @, in any case; no subdomains
//	method              in capitals
//	path                decoded path. A `*` at the end stands for any rest, as
//	                    in Caddy; elsewhere for a part of one segment; `**` for
//	                    any number of segments
//	client_ip           address, CIDR range, or private_ranges
//
// Both kinds of line fail closed. An allow line takes a path and a method only
// in the case it is written in, and an e-mail address only when it is verified.
// A deny line takes them in any case, verified or not; its `/x/*` covers `/x`
// too, and its client_ip a caller whose address is not known.
//
// Errors name the line and the value, and say what to write.
func CompileRules(pkg string, allow, deny []Line) (string, error) {
	if !isPackage(pkg) {
		return "", fmt.Errorf("%q cannot be a Rego package: use letters, digits and _, with dots between, such as sites.app", pkg)
	}
	if len(allow) == 0 {
		allow = []Line{signedIn}
	}
	allows, err := compileLines("allow", allow)
	denies, denyErr := compileLines("deny", deny)
	if err = errors.Join(err, denyErr); err != nil {
		return "", err
	}
	var w rulesWriter
	w.writeHead(pkg)
	w.writeAllows(allows)
	w.writeDenies(denies)
	w.writeNeeds(allow)
	text, err := format.SourceWithOpts(pkg+".rego", []byte(w.String()), format.Opts{RegoVersion: ast.RegoV1})
	if err != nil {
		return "", fmt.Errorf("allow and deny lines of %s: %w", pkg, err)
	}
	return string(text), nil
}

// compiledLine is a line as Rego: it holds when all expressions of any one of
// its bodies do.
type compiledLine struct {
	text   string // as in the Caddyfile, on one line
	reason string // for people
	bodies [][]string
	folds  folds
	inside bool // uses the helper function outside
}

func compileLines(verb string, lines []Line) ([]compiledLine, error) {
	out := make([]compiledLine, len(lines))
	var errs []error
	for i, line := range lines {
		var err error
		if out[i], err = compileLine(verb, line); err != nil {
			errs = append(errs, fmt.Errorf("%s line %d (%s): %w", verb, i+1, spell(verb, line), err))
		}
	}
	return out, errors.Join(errs...)
}

func compileLine(verb string, line Line) (compiledLine, error) {
	c := compiledLine{text: spell(verb, line), reason: refusal(line), bodies: [][]string{nil}}
	if len(line) == 0 {
		return c, errors.New("a condition is missing, such as signed_in or role admin")
	}
	for _, condition := range line {
		k, known := kinds[condition.Kind]
		if !known {
			return c, fmt.Errorf("there is no condition %q: use one of %s", condition.Kind, strings.Join(kindNames(), ", "))
		}
		values, err := k.parse(condition)
		if err != nil {
			return c, err
		}
		form := k.allow
		if verb == "deny" {
			form = k.deny
			c.folds |= k.folds
			c.inside = c.inside || condition.Kind == "client_ip"
		}
		c.bodies = combine(c.bodies, form(values))
	}
	return c, nil
}

// combine joins every body so far with every alternative of a condition.
func combine(bodies, alternatives [][]string) [][]string {
	var out [][]string
	for _, body := range bodies {
		for _, alternative := range alternatives {
			out = append(out, slices.Concat(body, alternative))
		}
	}
	return out
}

// folds says which parts of the input a deny line wants without regard to case.
type folds uint8

const (
	foldPath folds = 1 << iota
	foldMethod
	foldEmail
)

// The replacements of folds. An absent e-mail address must not make the whole
// rule undefined, hence its default.
var foldings = []struct {
	fold folds
	with string
}{
	{foldPath, `with input.request.path as lower(input.request.path)`},
	{foldMethod, `with input.request.method as upper(input.request.method)`},
	{foldEmail, `with input.identity.email as lower(object.get(input.identity, "email", ""))`},
}

type rulesWriter struct{ strings.Builder }

func (w *rulesWriter) writeHead(pkg string) {
	fmt.Fprintf(w, `# The allow and deny lines of a site, as Rego. To carry on from here, save this
# under another package name in a policy folder, and name that package with
# "policy" in place of the lines.
package %s

default allow := false
`, pkg)
}

func (w *rulesWriter) writeAllows(lines []compiledLine) {
	for _, line := range lines {
		fmt.Fprintf(w, "\n# %s\n", line.text)
		for _, body := range line.bodies {
			if len(body) == 0 {
				w.WriteString("allow := true\n")
				continue
			}
			w.writeRule("allow", body)
		}
	}
}

// writeDenies writes deny lines as entries of deny itself, or where case is to be
// disregarded as entries of refusals, which deny then asks about a folded input.
// Folding the input once keeps the lines plain comparisons, which OPA can index;
// lower(input.request.path) in each would cost a thousand lines a millisecond.
func (w *rulesWriter) writeDenies(lines []compiledLine) {
	var all folds
	inside := false
	for _, line := range lines {
		all |= line.folds
		inside = inside || line.inside
	}
	rule := "deny"
	if all != 0 {
		rule = "refusals"
		w.WriteString("\n# A deny line disregards case: an application might, too.\n")
		w.WriteString("deny contains reason if {\n\tsome reason in refusals")
		for _, f := range foldings {
			if all&f.fold != 0 {
				w.WriteString("\n\t\t" + f.with)
			}
		}
		w.WriteString("\n}\n")
	}
	for _, line := range lines {
		fmt.Fprintf(w, "\n# %s\n", line.text)
		head := rule + " contains " + literal(line.reason)
		for _, body := range line.bodies {
			w.writeRule(head, body)
		}
	}
	if inside {
		w.WriteString(`
# An address that is not known counts as inside: nobody slips past a deny line.
outside(networks) if {
	address := input.request.client_ip
	every network in networks {
		net.cidr_contains(network, address) == false
	}
}
`)
	}
}

// writeNeeds adds a reason for people who may not pass. It refuses only who is
// refused anyway, and tells nothing to a caller who has yet to sign in.
func (w *rulesWriter) writeNeeds(allow []Line) {
	if reason := needs(allow); reason != "" {
		w.WriteString("\n# Told to people whom no allow line lets in.\n")
		w.writeRule("deny contains "+literal(reason), []string{"input.identity.authenticated", "not allow"})
	}
}

func (w *rulesWriter) writeRule(head string, body []string) {
	switch len(body) {
	case 0:
		fmt.Fprintf(w, "%s\n", head)
	case 1:
		fmt.Fprintf(w, "%s if %s\n", head, body[0])
	default:
		fmt.Fprintf(w, "%s if {\n\t%s\n}\n\n", head, strings.Join(body, "\n\t"))
	}
}

// spell writes a line as it may stand in a Caddyfile. Nothing in a value can end
// the comment that this goes into, or make it read as something else.
func spell(verb string, line Line) string {
	var words []string
	for _, c := range line {
		words = append(words, c.Kind)
		words = append(words, c.Values...)
	}
	for i, word := range words {
		plain := word != "" && !strings.ContainsFunc(word, func(r rune) bool {
			return !unicode.IsPrint(r) || r == unicode.ReplacementChar || strings.ContainsRune(" \"`\\{}#", r)
		})
		if !plain {
			words[i] = strconv.Quote(word)
		}
	}
	return strings.Join(append([]string{verb}, words...), " ")
}

var packagePart = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func isPackage(pkg string) bool {
	return !slices.ContainsFunc(strings.Split(pkg, "."), func(part string) bool {
		return !packagePart.MatchString(part) || ast.IsInKeywords(part, ast.KeywordsForRegoVersion(ast.RegoV1))
	})
}
