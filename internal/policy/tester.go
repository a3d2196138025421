package policy

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// TestOptions say which Rego tests to run.
type TestOptions struct {
	Dirs     []string
	Builtin  fs.FS  // shipped packages, for policies that import them
	Run      string // regular expression on "data.<package>.<test>"; "": all
	Coverage bool
}

// TestResult is the outcome of one test rule.
type TestResult struct {
	Package  string
	Name     string
	Location string // file:line
	Pass     bool
	Skip     bool   // named todo_test_…
	Error    string // an error while it ran; it fails then
	Duration time.Duration
	Output   string // of print
	Trace    string // of a failed test
}

// TestReport is the outcome of a run.
type TestReport struct {
	Results  []TestResult // by file and line
	Failed   int
	Coverage float64 // percent of the expressions outside tests; with Coverage
}

// Test runs the tests (rules named test_…) in the policy folders as OPA does, with
// the builtins that a policy has here, and with errors inside builtins as errors.
// Its error says that there is nothing to run because the folders are broken.
func Test(ctx context.Context, o TestOptions) (*TestReport, error) {
	if _, err := regexp.Compile(o.Run); err != nil {
		return nil, fmt.Errorf("which tests to run: %w", err)
	}
	src, err := readSources(ctx, o.Dirs)
	if err != nil {
		return nil, err
	}
	set, err := compile(ctx, src, o.Builtin, nil)
	if err != nil {
		return nil, err
	}
	var covered *cover.Cover
	if o.Coverage {
		covered = cover.New()
	}
	results, err := set.runTests(ctx, o.Run, false, covered)
	if err != nil {
		return nil, err
	}
	report := &TestReport{}
	for _, r := range results {
		if !r.Pass() && !r.Skip {
			report.Failed++
			if err := set.traced(ctx, r); err != nil {
				return nil, err
			}
		}
		report.Results = append(report.Results, testResult(r))
	}
	if covered != nil {
		own := maps.Clone(set.modules.serving)
		maps.DeleteFunc(own, func(name string, _ *ast.Module) bool { return set.modules.builtin[name] })
		report.Coverage = covered.Report(own).Coverage
	}
	return report, nil
}

func (c *compiled) runTests(ctx context.Context, run string, trace bool, covered *cover.Cover) ([]*tester.Result, error) {
	all := maps.Clone(c.modules.serving)
	maps.Copy(all, c.modules.tests)
	runner := tester.NewRunner().
		SetCompiler(newCompiler().WithEnablePrintStatements(true).
			WithPathConflictsCheck(storage.NonEmpty(ctx, c.store, c.txn))).
		SetStore(c.store).
		SetModules(all).
		CapturePrintOutput(true).
		RaiseBuiltinErrors(true).
		EnableTracing(trace).
		Filter(run)
	if covered != nil {
		runner = runner.SetCoverageQueryTracer(covered)
	}
	results, err := runner.RunTests(ctx, c.txn)
	if err != nil {
		return nil, err
	}
	var out []*tester.Result
	for r := range results {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b *tester.Result) int {
		if n := a.Location.Compare(b.Location); n != 0 {
			return n
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out, ctx.Err()
}

// traced runs a failed test once more, with a trace: tracing them all would take
// the memory of all their steps.
func (c *compiled) traced(ctx context.Context, failed *tester.Result) error {
	again, err := c.runTests(ctx, "^"+regexp.QuoteMeta(failed.Package+"."+failed.Name)+"$", true, nil)
	if err != nil {
		return err
	}
	for _, r := range again {
		failed.Trace = append(failed.Trace, r.Trace...)
	}
	return nil
}

func testResult(r *tester.Result) TestResult {
	out := TestResult{
		Package: strings.TrimPrefix(r.Package, "data."), Name: r.Name,
		Location: fmt.Sprintf("%s:%d", r.Location.File, r.Location.Row),
		Pass:     r.Pass(), Skip: r.Skip, Duration: r.Duration, Output: string(r.Output),
	}
	if r.Error != nil {
		out.Error = r.Error.Error()
	}
	if len(r.Trace) > 0 {
		var b bytes.Buffer
		topdown.PrettyTraceWithLocation(&b, r.Trace)
		out.Trace = b.String()
	}
	return out
}
