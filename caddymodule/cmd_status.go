package caddymodule

import (
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// wayIn is how somebody becomes the first user.
func (s statusPage) wayIn() string {
	switch {
	case s.PasswordsOff && len(s.Providers) > 0:
		return "sign in at " + strings.Join(s.Providers, " or ")
	case s.PasswordsOff:
		return "passwords are off, so nobody can sign in"
	}
	return "open the set-up link in the log, which works for a day (a restart of Caddy prints a new one), or run `caddy gatehouse user add <username> --role admin`"
}

func statusCommand() *cobra.Command {
	return command("status", "Says whether a running Gatehouse can do its work", func(c *call) error {
		var s statusPage
		if err := c.request(http.MethodGet, "/status", nil, &s); err != nil {
			return err
		}
		err := c.print(s, func(w *tabwriter.Writer) {
			fmt.Fprintf(w, "store\t%s: %s\n", s.Store.Kind, s.Store.State)
			fmt.Fprintf(w, "policy\trevision %s, loaded %s UTC\n", orDash(s.Policy.Revision), shortTime(s.Policy.Loaded))
			if s.Policy.Error != "" {
				fmt.Fprintf(w, "\tthe folders hold something else, which is refused: %s\n", s.Policy.Error)
			}
			for _, site := range s.Sites {
				fmt.Fprintf(w, "site\t%s by %s\n", orDash(site.Site), site.Package)
			}
			if s.Sessions != nil {
				fmt.Fprintf(w, "sessions\t%d\n", *s.Sessions)
			}
			if s.NoUsers {
				fmt.Fprintf(w, "users\tnone: %s\n", s.wayIn())
			}
		})
		if err == nil && (s.Store.State != "ok" || s.Policy.Error != "") {
			err = fmt.Errorf("not everything is in order")
		}
		return err
	})
}
