package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-proxy/gatehouse/internal/policy"
	"github.com/gatehouse-proxy/gatehouse/policies"
)

func policyCommands() *cobra.Command {
	show := command("show [package]", "Prints the Rego that decides, of a running Gatehouse", showPolicyCommand)
	show.Args = atMost(1)
	check := command("check [dir...]", "Checks policy folders, without a running Gatehouse", checkPolicyCommand)
	check.Args = anyArgs
	test := command("test [dir...]", "Runs the Rego tests of policy folders, without a running Gatehouse", testPolicyCommand)
	test.Args = anyArgs
	test.Flags().String("run", "", "Only tests whose full name matches this regular expression")
	test.Flags().BoolP("verbose", "v", false, "Also show passing tests, and the trace of failing ones")
	return group("policy", "Shows, checks and tests policies", show, check, test)
}

type policyText struct {
	Package string `json:"package"`
	Rego    string `json:"rego"`
}

// showPolicyCommand prints one package, or without an argument that of the only
// site; with several it lists them.
func showPolicyCommand(c *call) error {
	pkg := ""
	if len(c.args) == 1 {
		pkg = c.args[0]
	} else {
		var in policyPage
		if err := c.request(http.MethodGet, "/policy", nil, &in); err != nil {
			return err
		}
		if len(in.Sites) != 1 {
			return c.print(in.Sites, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "SITE\tPACKAGE")
				for _, s := range in.Sites {
					fmt.Fprintf(w, "%s\t%s\n", orDash(s.Site), s.Package)
				}
			})
		}
		pkg = in.Sites[0].Package
	}
	var text policyText
	if err := c.request(http.MethodGet, "/policy/"+url.PathEscape(pkg), nil, &text); err != nil {
		return err
	}
	if c.json() {
		return c.print(text, nil)
	}
	fmt.Fprint(c.cmd.OutOrStdout(), strings.TrimRight(text.Rego, "\n")+"\n")
	return nil
}

// dirs are the folders of an offline command: those named, else ./policies.
func (c *call) dirs() ([]string, error) {
	if len(c.args) > 0 {
		return c.args, nil
	}
	if _, err := os.Stat(defaultPolicyDir); err != nil {
		return nil, usageError{fmt.Errorf("there is no folder ./%s here: name the folder to read", defaultPolicyDir)}
	}
	return []string{defaultPolicyDir}, nil
}

type checkReport struct {
	Files    int      `json:"files"`
	Revision string   `json:"revision,omitempty"`
	Packages []string `json:"packages"`
	Errors   []string `json:"errors"`
	Warnings []string `json:"warnings"`
}

func checkPolicyCommand(c *call) error {
	dirs, err := c.dirs()
	if err != nil {
		return err
	}
	r, err := policy.Check(c.cmd.Context(), dirs, policies.FS)
	if err != nil {
		return err
	}
	out := checkReport{Files: r.Files, Revision: r.Revision, Packages: list(r.Packages), Errors: list(r.Errors), Warnings: list(r.Warnings)}
	err = c.print(out, func(w *tabwriter.Writer) {
		for _, warning := range r.Warnings {
			fmt.Fprintln(w, "warning:", warning)
		}
		for _, problem := range r.Errors {
			fmt.Fprintln(w, problem)
		}
		if len(r.Errors) == 0 {
			verb := "are"
			if r.Files == 1 {
				verb = "is"
			}
			fmt.Fprintf(w, "%s %s fine. Packages that can decide: %s.\n", count(r.Files, "file"), verb, orDash(strings.Join(r.Packages, ", ")))
		}
	})
	if err == nil && len(r.Errors) > 0 {
		err = fmt.Errorf("%s; a running Gatehouse keeps the last good policies until this is mended", count(len(r.Errors), "problem"))
	}
	return err
}

type testView struct {
	Package  string        `json:"package"`
	Name     string        `json:"name"`
	Location string        `json:"location"`
	Pass     bool          `json:"pass"`
	Skip     bool          `json:"skip,omitempty"`
	Error    string        `json:"error,omitempty"`
	Duration time.Duration `json:"duration_ns"`
	Output   string        `json:"output,omitempty"`
	Trace    string        `json:"trace,omitempty"`
}

func testPolicyCommand(c *call) error {
	dirs, err := c.dirs()
	if err != nil {
		return err
	}
	report, err := policy.Test(c.cmd.Context(), policy.TestOptions{Dirs: dirs, Builtin: policies.FS, Run: c.text("run")})
	if err != nil {
		return err
	}
	verbose, _ := c.cmd.Flags().GetBool("verbose")
	views := []testView{}
	for _, r := range report.Results {
		views = append(views, testView(r))
	}
	err = c.print(views, func(w *tabwriter.Writer) {
		for _, v := range views {
			v.print(w, verbose)
		}
		fmt.Fprintf(w, "%d passed, %d failed\n", len(views)-report.Failed, report.Failed)
	})
	switch {
	case err != nil:
		return err
	case report.Failed > 0:
		return fmt.Errorf("%d of %d tests failed", report.Failed, len(views))
	case len(views) == 0:
		return errors.New("there are no tests: rules named test_… in files named *_test.rego")
	}
	return nil
}

func (v testView) print(w *tabwriter.Writer, verbose bool) {
	if v.Pass && !verbose {
		return
	}
	result := "FAIL"
	switch {
	case v.Skip:
		result = "SKIP"
	case v.Pass:
		result = "PASS"
	}
	fmt.Fprintf(w, "%s\t%s.%s\t%s\t%s\n", result, v.Package, v.Name, v.Location, v.Duration.Round(time.Microsecond))
	if v.Error != "" {
		fmt.Fprintln(w, v.Error)
	}
	fmt.Fprint(w, v.Output)
	if verbose {
		fmt.Fprint(w, v.Trace)
	}
}
