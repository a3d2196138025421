package caddymodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "gatehouse",
		Usage: "<command>",
		Short: "Manages users, services, keys, tokens, certificates and policies of a running Gatehouse",
		Long: `
Manages the users, services, sessions, keys, tokens, certificates and policies
of a running Gatehouse over Caddy's admin API. Tables are for people; --json
prints what programs read. Errors go to stderr; the exit status is 1 on failure
and 2 on wrong usage. Passwords and tokens are asked for on the terminal, or
read from the first line of stdin.`,
		CobraFunc: buildCommands,
	})
}

func buildCommands(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.String("address", "", "Address of the admin API, e.g. localhost:2019")
	flags.StringP("config", "c", "", "Configuration file to read the admin address from")
	flags.StringP("adapter", "a", "", "Name of the config adapter of that file")
	flags.Bool("json", false, "Print JSON")
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return fail(cmd, usageError{err}) })
	root.Args, root.RunE = anyArgs, needsSubcommand
	root.AddCommand(userCommands(), serviceCommands(), sessionCommands(), keyCommands(), tokenCommands(), certificateCommands(), policyCommands(), statusCommand())
}

func anyArgs(*cobra.Command, []string) error { return nil }

// needsSubcommand answers a group of commands that was called by itself.
func needsSubcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	return fail(cmd, usageError{fmt.Errorf("there is no command %q; `%s --help` lists them", args[0], cmd.CommandPath())})
}

func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: anyArgs, RunE: needsSubcommand, SilenceErrors: true, SilenceUsage: true}
	cmd.AddCommand(commands...)
	return cmd
}

// command makes a leaf that takes exactly the arguments that use names.
func command(use, short string, run func(c *call) error) *cobra.Command {
	want := strings.Fields(use)[1:]
	return &cobra.Command{
		Use: use, Short: short, SilenceErrors: true, SilenceUsage: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < len(want) {
				return fail(cmd, usageError{fmt.Errorf("%s is missing; write: %s", want[len(args)], synopsis(cmd))})
			}
			return atMost(len(want))(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return fail(cmd, run(&call{cmd: cmd, args: args}))
		},
	}
}

// atMost refuses arguments beyond the first n.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return fail(cmd, usageError{fmt.Errorf("%q is one argument too many; write: %s", args[n], synopsis(cmd))})
		}
		return nil
	}
}

// synopsis is the whole line to write, without flags.
func synopsis(cmd *cobra.Command) string {
	_, args, _ := strings.Cut(cmd.Use, " ")
	return strings.TrimSpace(cmd.CommandPath() + " " + args)
}

// usageError is the caller's mistake in calling the command: exit status 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// fail prints err and turns it into what makes Caddy exit with its status.
func fail(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	cmd.SilenceErrors = true
	fmt.Fprintf(cmd.ErrOrStderr(), "Error: %s\n", err)
	var usage usageError
	if !errors.As(err, &usage) {
		return err
	}
	exit := caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return 2, nil })
	return exit(cmd, nil)
}

// call is one run of a command.
type call struct {
	cmd  *cobra.Command
	args []string
}

func (c *call) text(flag string) string {
	v, _ := c.cmd.Flags().GetString(flag)
	return v
}

func (c *call) list(flag string) []string {
	v, _ := c.cmd.Flags().GetStringArray(flag)
	return v
}

func (c *call) json() bool {
	v, _ := c.cmd.Flags().GetBool("json")
	return v
}

// request asks the admin API and decodes its answer into out, if there is one.
func (c *call) request(method, path string, body, out any) error {
	address, err := caddycmd.DetermineAdminAPIAddress(c.text("address"), nil, c.text("config"), c.text("adapter"))
	if err != nil {
		return fmt.Errorf("finding the admin API's address: %w", err)
	}
	var payload io.Reader
	if body != nil {
		doc, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(doc)
	}
	resp, err := caddycmd.AdminAPIRequest(address, method, adminBase+path, http.Header{}, payload)
	if err != nil {
		return plainError(address, err)
	}
	defer resp.Body.Close()
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("reading the admin API's answer: %w", err)
	}
	return nil
}

// plainError takes the message out of what AdminAPIRequest wraps around it.
func plainError(address string, err error) error {
	text := err.Error()
	if _, doc, ok := strings.Cut(text, "{"); ok {
		var body struct {
			Error string `json:"error"`
		}
		if json.Unmarshal([]byte("{"+doc), &body) == nil && body.Error != "" {
			return errors.New(body.Error)
		}
	}
	if strings.HasPrefix(text, "performing request") {
		return fmt.Errorf("no Caddy answers at %s (%w); start it, or name its admin address with --address", address, err)
	}
	if strings.Contains(text, "HTTP 404") {
		return fmt.Errorf("the Caddy at %s has no Gatehouse in it: %w", address, err)
	}
	return err
}

// print writes v as JSON when asked to, else what table writes.
func (c *call) print(v any, table func(w *tabwriter.Writer)) error {
	out := c.cmd.OutOrStdout()
	if c.json() {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	table(w)
	return w.Flush()
}

// say prints a sentence for people; programs that ask for JSON get none.
func (c *call) say(format string, args ...any) {
	if !c.json() {
		fmt.Fprintf(c.cmd.OutOrStdout(), format+"\n", args...)
	}
}

// count says how many there are: "1 file", "2 files".
func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

func shortTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

// clean keeps what strangers sent (a User-Agent) from steering the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return clean(s)
}
