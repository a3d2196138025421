package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-proxy/gatehouse/config"
	"github.com/gatehouse-proxy/gatehouse/internal/key"
)

func keyCommands() *cobra.Command {
	create := command("create <owner>", "Makes a key for a user or service, and shows it once", createKeyCommand)
	create.Flags().StringArray("scope", nil, "Scope, one that the owner has (may be repeated); at least one")
	create.Flags().String("expires", "", "How long it is good for, such as 30d (default: 90d, or the longest that is allowed)")
	create.Flags().StringArray("network", nil, "Address range that it may be used from, such as 10.0.0.0/8 (may be repeated; default: all)")
	create.Flags().String("rate", "", "Rate limit, such as 100/1m (default: the owner's, if it is a service)")
	create.Flags().String("description", "", "What it is for")
	list := command("list", "Lists keys", listKeysCommand)
	list.Flags().String("owner", "", "Only this user's or service's")
	rotate := command("rotate <id>", "Makes a new key under the id of one, and shows it once", rotateKeyCommand)
	rotate.Flags().String("grace", "", "How long the old key works, too, such as 1h, or 0 (default 24h)")
	return group("key", "Manages API keys",
		create, list,
		command("show <id>", "Shows what is known of a key; never the key itself", showKeyCommand),
		rotate,
		command("revoke <id>", "Ends a key, at once", revokeKeyCommand),
	)
}

func createKeyCommand(c *call) error {
	in := newKey{
		Owner: c.args[0], Scopes: c.list("scope"), Networks: c.list("network"), Description: c.text("description"),
		Rate: rateText(c.text("rate")),
	}
	if text := c.text("expires"); text != "" {
		var err error
		if in.Lifetime, err = config.ParseDuration(text); err != nil {
			return usageError{fmt.Errorf("--expires: %w", err)}
		}
		if in.Lifetime <= 0 {
			return usageError{fmt.Errorf("--expires: %s is no time at all", text)}
		}
	}
	var k keyView
	if err := c.request(http.MethodPost, "/keys", in, &k); err != nil {
		return err
	}
	return c.showOnce(k, fmt.Sprintf("The key %s of %s is good until %s UTC. It is shown only now:", k.ID, k.Owner, shortTime(k.Expires)))
}

// showOnce prints a key: alone on standard output, so that it can be piped into
// a file; what people are to know goes beside it.
func (c *call) showOnce(k keyView, sentence string) error {
	if c.json() {
		return c.onlyJSON(k)
	}
	fmt.Fprintln(c.cmd.ErrOrStderr(), sentence)
	fmt.Fprintln(c.cmd.OutOrStdout(), k.Key)
	return nil
}

func rotateKeyCommand(c *call) error {
	var in rotation
	if text := c.text("grace"); text != "" {
		if text == "0" {
			text = "0s"
		}
		grace, err := config.ParseDuration(text)
		if err != nil {
			return usageError{fmt.Errorf("--grace: %w", err)}
		}
		in.Grace = &grace
	}
	id, err := keyID(c.args[0])
	if err != nil {
		return err
	}
	var k keyView
	if err := c.request(http.MethodPost, keyPath(id, "rotate"), in, &k); err != nil {
		return err
	}
	sentence := "The old key works no more."
	if k.GraceEnds != nil {
		sentence = "The old key works until " + shortTime(*k.GraceEnds) + " UTC."
	}
	return c.showOnce(k, fmt.Sprintf("%s The new key %s of %s is good until %s UTC. It is shown only now:", sentence, k.ID, k.Owner, shortTime(k.Expires)))
}

// keyID is the id that an argument means. Who has a whole key at hand, perhaps one
// that has leaked, means the id in it; the rest must go no further, since Caddy logs
// the addresses that its admin API is asked for.
func keyID(arg string) (string, error) {
	if id, ok := key.Parse(arg); ok {
		return id, nil
	}
	if key.Looks(arg) {
		return "", usageError{errors.New("this is a key, and not a whole one: write its id, the 12 letters and digits after gh_")}
	}
	return arg, nil
}

func keyPath(id string, more ...string) string {
	return strings.Join(append([]string{"/keys", url.PathEscape(id)}, more...), "/")
}

func listKeysCommand(c *call) error {
	all := []keyView{}
	for after := ""; ; {
		q := url.Values{"limit": {"1000"}, "after": {after}}
		if c.text("owner") != "" {
			q.Set("owner", c.text("owner"))
		}
		var page keysPage
		if err := c.request(http.MethodGet, "/keys?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		all = append(all, page.Keys...)
		if after = page.Next; after == "" {
			break
		}
	}
	if len(all) == 0 && !c.json() {
		if owner := c.text("owner"); owner != "" {
			c.say("%s has no key.", clean(owner))
		} else {
			c.say("There are no keys; make one with: key create <owner> --scope <scope>")
		}
		return nil
	}
	return c.print(all, func(w *tabwriter.Writer) {
		fmt.Fprintln(w, "ID\tOWNER\tSCOPES\tEXPIRES\tLAST USED\tUSES\tDESCRIPTION")
		for _, k := range all {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", k.ID, clean(k.Owner), orDash(strings.Join(k.Scopes, ",")),
				k.ends(), orDashTime(k.LastUsed), k.Uses, orDash(k.Description))
		}
	})
}

func (k keyView) ends() string {
	if k.Expired {
		return "expired"
	}
	return shortTime(k.Expires)
}

func orDashTime(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return shortTime(*t)
}

func inUTC(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return shortTime(*t) + " UTC"
}

func showKeyCommand(c *call) error {
	id, err := keyID(c.args[0])
	if err != nil {
		return err
	}
	var k keyView
	if err := c.request(http.MethodGet, keyPath(id), nil, &k); err != nil {
		return err
	}
	return c.print(k, func(w *tabwriter.Writer) {
		networks := make([]string, len(k.Networks))
		for i, n := range k.Networks {
			networks[i] = n.String()
		}
		expires := inUTC(&k.Expires)
		if k.Expired {
			expires += " (expired)"
		}
		for _, row := range [][2]string{
			{"id", k.ID}, {"owner", clean(k.Owner)}, {"description", orDash(k.Description)}, {"scopes", orDash(strings.Join(k.Scopes, ", "))},
			{"networks", cmp.Or(strings.Join(networks, ", "), "all")}, {"rate", cmp.Or(string(k.Rate), "its owner's, if any")},
			{"created", inUTC(&k.Created)}, {"expires", expires}, {"rotated", inUTC(k.Rotated)}, {"old key until", inUTC(k.GraceEnds)},
			{"last used", inUTC(k.LastUsed)}, {"uses", strconv.FormatInt(k.Uses, 10)},
		} {
			fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
		}
	})
}

func revokeKeyCommand(c *call) error {
	id, err := keyID(c.args[0])
	if err != nil {
		return err
	}
	if err := c.request(http.MethodDelete, keyPath(id), nil, nil); err != nil {
		return err
	}
	c.say("The key %s is revoked.", clean(id))
	return nil
}
