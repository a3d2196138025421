package caddymodule

import (
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func sessionCommands() *cobra.Command {
	list := command("list", "Lists sessions", listSessionsCommand)
	list.Flags().String("user", "", "Only this user's")
	revoke := command("revoke [<id>]", "Ends a session, or with --user all of a user's", revokeSessionCommand)
	revoke.Flags().String("user", "", "End all sessions of this user")
	revoke.Args = func(cmd *cobra.Command, args []string) error {
		byUser := cmd.Flags().Changed("user")
		if len(args) > 1 || byUser == (len(args) == 1) {
			return fail(cmd, usageError{fmt.Errorf("write either `session revoke <id>` or `session revoke --user <username>`")})
		}
		return nil
	}
	return group("session", "Manages sessions", list, revoke)
}

func listSessionsCommand(c *call) error {
	all := []sessionView{}
	for after := ""; ; {
		q := url.Values{"limit": {"1000"}, "after": {after}}
		if c.text("user") != "" {
			q.Set("user", c.text("user"))
		}
		var page sessionsPage
		if err := c.request(http.MethodGet, "/sessions?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		all = append(all, page.Sessions...)
		if after = page.Next; after == "" {
			break
		}
	}
	if len(all) == 0 && !c.json() {
		if name := c.text("user"); name != "" {
			c.say("%s has no session.", clean(name))
		} else {
			c.say("Nobody is signed in.")
		}
		return nil
	}
	return c.print(all, func(w *tabwriter.Writer) {
		fmt.Fprintln(w, "ID\tUSERNAME\tWITH\tSITE\tSIGNED IN\tLAST SEEN\tENDS\tADDRESS")
		for _, s := range all {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.ID, clean(s.Username), orDash(s.Provider), orDash(s.Site), shortTime(s.Created),
				shortTime(s.LastSeen), shortTime(s.Expires), orDash(s.ClientIP))
		}
	})
}

func revokeSessionCommand(c *call) error {
	if name := c.text("user"); name != "" {
		var done struct {
			Revoked int `json:"revoked"`
		}
		if err := c.request(http.MethodDelete, "/sessions?user="+url.QueryEscape(name), nil, &done); err != nil {
			return err
		}
		c.say("Ended %s of %s.", count(done.Revoked, "session"), clean(name))
		return c.onlyJSON(done)
	}
	if err := c.request(http.MethodDelete, "/sessions/"+url.PathEscape(c.args[0]), nil, nil); err != nil {
		return err
	}
	c.say("Ended the session %s.", clean(c.args[0]))
	return nil
}
