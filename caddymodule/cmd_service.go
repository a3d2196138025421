package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func serviceCommands() *cobra.Command {
	add := command("add <name>", "Adds a service, which owns keys and certificates", addServiceCommand)
	add.Flags().StringArray("role", nil, "Role (may be repeated)")
	add.Flags().StringArray("group", nil, "Group (may be repeated)")
	add.Flags().StringArray("scope", nil, "Scope that its keys may carry (may be repeated)")
	add.Flags().String("rate", "", "Rate limit of each of its keys that has none of its own, such as 100/1m")
	add.Flags().String("label", "", "Name for people to read")
	set := command("set <name>", "Changes a service; what is not named stays", setServiceCommand)
	addRightsFlags(set)
	set.Flags().String("rate", "", "Rate limit of each of its keys that has none of its own, such as 100/1m (\"\" for none)")
	set.Flags().String("label", "", "Name for people to read")
	return group("service", "Manages services: owners of keys and certificates that are no people",
		add,
		command("list", "Lists all services", listServicesCommand),
		command("show <name>", "Shows a service", showServiceCommand),
		set,
		command("disable <name>", "Keeps a service out, at once, with all keys and certificates", serviceAction("disable", "disabled; its keys and certificates are good for nothing")),
		command("enable <name>", "Lets a disabled service in again", serviceAction("enable", "enabled")),
		command("delete <name>", "Deletes a service and its keys; its certificates stay refused", deleteServiceCommand),
	)
}

func servicePath(name string, more ...string) string {
	return strings.Join(append([]string{"/services", url.PathEscape(name)}, more...), "/")
}

func addServiceCommand(c *call) error {
	var s serviceView
	err := c.request(http.MethodPost, "/services", newService{
		Name: c.args[0], Label: c.text("label"), Roles: c.list("role"), Groups: c.list("group"), Scopes: c.list("scope"),
		Rate: rateText(c.text("rate")),
	}, &s)
	if err != nil {
		return err
	}
	c.say("Added the service %s.", s.Name)
	if len(s.Scopes) == 0 {
		c.say("It has no scopes, so no key can be made for it; add some with: service set %s --scope <scope>", s.Name)
	}
	return c.onlyJSON(s)
}

func listServicesCommand(c *call) error {
	all := []serviceView{}
	for after := ""; ; {
		var page servicesPage
		if err := c.request(http.MethodGet, "/services?limit=1000&after="+url.QueryEscape(after), nil, &page); err != nil {
			return err
		}
		all = append(all, page.Services...)
		if after = page.Next; after == "" {
			break
		}
	}
	if len(all) == 0 && !c.json() {
		c.say("There are no services; make one with: service add <name> --scope <scope>")
		return nil
	}
	return c.print(all, func(w *tabwriter.Writer) {
		fmt.Fprintln(w, "NAME\tROLES\tGROUPS\tSCOPES\tRATE\tSTATE")
		for _, s := range all {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", clean(s.Name), orDash(strings.Join(s.Roles, ",")),
				orDash(strings.Join(s.Groups, ",")), orDash(strings.Join(s.Scopes, ",")), orDash(string(s.Rate)), s.state())
		}
	})
}

func (s serviceView) state() string {
	if s.Disabled {
		return "disabled"
	}
	return "enabled"
}

func showServiceCommand(c *call) error {
	var s serviceView
	if err := c.request(http.MethodGet, servicePath(c.args[0]), nil, &s); err != nil {
		return err
	}
	return c.print(s, func(w *tabwriter.Writer) {
		fmt.Fprintf(w, "name\t%s\nid\t%s\nlabel\t%s\nroles\t%s\ngroups\t%s\nscopes\t%s\nrate\t%s\nstate\t%s\ncreated\t%s UTC\n",
			clean(s.Name), s.ID, orDash(s.Label), orDash(strings.Join(s.Roles, ", ")), orDash(strings.Join(s.Groups, ", ")),
			orDash(strings.Join(s.Scopes, ", ")), orDash(string(s.Rate)), s.state(), shortTime(s.Created))
	})
}

func setServiceCommand(c *call) error {
	ch := serviceChange{rightsChange: c.rights()}
	if c.cmd.Flags().Changed("label") {
		v := c.text("label")
		ch.Label = &v
	}
	if c.cmd.Flags().Changed("rate") {
		v := rateText(c.text("rate"))
		ch.Rate = &v
	}
	if !c.anyChanged(append([]string{"label", "rate"}, rightsFlags...)...) {
		return usageError{errors.New("nothing to change: name at least one of --role, --group, --scope (or --add-… and --remove-… of them), --rate, --label")}
	}
	var s serviceView
	if err := c.request(http.MethodPatch, servicePath(c.args[0]), ch, &s); err != nil {
		return err
	}
	c.say("Changed %s: roles %s, groups %s, scopes %s, rate %s.", s.Name, orDash(strings.Join(s.Roles, ",")),
		orDash(strings.Join(s.Groups, ",")), orDash(strings.Join(s.Scopes, ",")), orDash(string(s.Rate)))
	return c.onlyJSON(s)
}

func serviceAction(action, done string) func(*call) error {
	return func(c *call) error {
		var s serviceView
		if err := c.request(http.MethodPost, servicePath(c.args[0], action), struct{}{}, &s); err != nil {
			return err
		}
		c.say("%s: %s.", s.Name, done)
		return c.onlyJSON(s)
	}
}

func deleteServiceCommand(c *call) error {
	if err := c.request(http.MethodDelete, servicePath(c.args[0]), nil, nil); err != nil {
		return err
	}
	c.say("Deleted %s and its keys.", clean(c.args[0]))
	return nil
}
