package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-proxy/gatehouse/internal/key"
)

func tokenCommands() *cobra.Command {
	revoke := command("revoke", "Refuses a token, or all of a subject or session, at once", revokeTokenCommand)
	revoke.Long = `
Refuses tokens that are still good by themselves, on every instance, at once.
Without a flag that says which, the token itself is asked for on the terminal,
or read from the first line of stdin. This cannot be taken back: look twice at
the time of --issued-before.`
	revoke.Flags().String("issuer", "", "Name of the jwt block whose tokens are meant (default: every issuer's)")
	revoke.Flags().String("jti", "", "The token with this jti")
	revoke.Flags().String("sid", "", "All tokens of the session with this sid")
	revoke.Flags().String("subject", "", "All tokens of this subject, issued until now or before --issued-before")
	revoke.Flags().String("issued-before", "", "Tokens issued before this time, such as 2026-11-26T10:00:00Z")
	revoke.Flags().Bool("all", false, "With --issued-before: of every subject")
	revoke.Flags().String("note", "", "Why, for whoever reads the list")
	return group("token", "Manages tokens of other issuers",
		revoke,
		command("list", "Lists which tokens are refused", listRevokedCommand),
	)
}

func revokeTokenCommand(c *call) error {
	all, _ := c.cmd.Flags().GetBool("all")
	in := tokenRevocation{
		Issuer: c.text("issuer"), JTI: c.text("jti"), SID: c.text("sid"), Subject: c.text("subject"), All: all, Note: c.text("note"),
	}
	if text := c.text("issued-before"); text != "" {
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return usageError{fmt.Errorf("--issued-before: %q is no time: write one such as 2026-11-26T10:00:00Z", text)}
		}
		in.Before = &t
	}
	given := 0
	for _, v := range []string{in.JTI, in.SID, in.Subject} {
		if v != "" {
			given++
		}
	}
	switch {
	case given > 1:
		return usageError{errors.New("name one of --jti, --sid and --subject")}
	case in.All && (given > 0 || in.Before == nil):
		return usageError{errors.New("--all stands for every subject: write it with --issued-before, and without --jti, --sid and --subject")}
	case given == 0 && in.Before != nil && !in.All:
		return usageError{errors.New("--issued-before needs --subject, or --all for every subject")}
	case given == 0 && !in.All && in.Issuer != "":
		return usageError{errors.New("--issuer needs one of --jti, --sid, --subject, or --all with --issued-before")}
	case given == 0 && !in.All:
		var err error
		if in.Token, err = c.readSecret("token"); err != nil {
			return err
		}
		if key.Looks(in.Token) {
			return usageError{errors.New("this is an API key and no token: end it with key revoke")}
		}
	}
	var r revocationView
	if err := c.request(http.MethodPost, "/tokens/revoke", in, &r); err != nil {
		return err
	}
	c.say("Refused from now on: %s.", r.words())
	return c.onlyJSON(r)
}

// words says which tokens are meant.
func (r revocationView) words() string {
	var what string
	switch {
	case r.JTI != "":
		what = "the token " + clean(r.JTI)
	case r.TokenHash != "":
		what = "the token with the hash " + r.TokenHash
	case r.SID != "":
		what = "all tokens of the session " + clean(r.SID)
	case r.Subject != "":
		what = "all tokens of " + clean(r.Subject)
	default:
		what = "all tokens"
	}
	if r.Before != nil {
		what += " issued before " + r.Before.UTC().Format(time.RFC3339)
	}
	if r.Issuer != "" {
		what += " from " + r.Issuer
	}
	return what
}

func listRevokedCommand(c *call) error {
	var page struct {
		Revoked []revocationView `json:"revoked"`
	}
	if err := c.request(http.MethodGet, "/tokens/revoked", nil, &page); err != nil {
		return err
	}
	if len(page.Revoked) == 0 && !c.json() {
		c.say("No token is refused.")
		return nil
	}
	return c.print(page.Revoked, func(w *tabwriter.Writer) {
		fmt.Fprintln(w, "REFUSED\tSINCE\tUNTIL\tNOTE")
		for _, r := range page.Revoked {
			words := r.words()
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", strings.ToUpper(words[:1])+words[1:], shortTime(r.Created), orDashTime(r.Until), orDash(r.Note))
		}
	})
}
