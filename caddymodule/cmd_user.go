package caddymodule

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func userCommands() *cobra.Command {
	add := command("add <username>", "Adds a user; asks for the password", addUserCommand)
	add.Flags().StringArray("role", nil, "Role (may be repeated)")
	add.Flags().StringArray("group", nil, "Group (may be repeated)")
	add.Flags().StringArray("scope", nil, "Scope that keys of the user may carry (may be repeated)")
	add.Flags().String("email", "", "E-mail address")
	add.Flags().Bool("email-verified", false, "The address is known to be the user's")
	add.Flags().String("name", "", "Name for people to read")
	set := command("set <username>", "Changes a user's attributes; what is not named stays", setUserCommand)
	addRightsFlags(set)
	set.Flags().String("email", "", "E-mail address")
	set.Flags().Bool("email-verified", false, "The address is known to be the user's")
	set.Flags().String("name", "", "Name for people to read")
	return group("user", "Manages users",
		add,
		command("list", "Lists all users", listUsersCommand),
		command("show <username>", "Shows a user", showUserCommand),
		set,
		command("disable <username>", "Keeps a user out, at once, with all keys and certificates", userAction("disable", "disabled; all sessions ended")),
		command("enable <username>", "Lets a disabled user in again", userAction("enable", "enabled")),
		command("delete <username>", "Deletes a user, with all sessions and keys", deleteUserCommand),
		command("passwd <username>", "Sets a user's password; ends the sessions", passwdCommand),
	)
}

// rightsFlags are the flags by which the rights of a user or service change.
var rightsFlags = []string{"role", "add-role", "remove-role", "group", "add-group", "remove-group", "scope", "add-scope", "remove-scope"}

func addRightsFlags(set *cobra.Command) {
	for _, what := range []string{"role", "group", "scope"} {
		set.Flags().StringArray(what, nil, strings.ToUpper(what[:1])+what[1:]+", instead of all there are (may be repeated; \"\" for none)")
		set.Flags().StringArray("add-"+what, nil, strings.ToUpper(what[:1])+what[1:]+" to add (may be repeated)")
		set.Flags().StringArray("remove-"+what, nil, strings.ToUpper(what[:1])+what[1:]+" to remove (may be repeated)")
	}
}

func (c *call) rights() rightsChange {
	return rightsChange{
		Roles: c.replacement("role"), AddRoles: c.list("add-role"), RemoveRoles: c.list("remove-role"),
		Groups: c.replacement("group"), AddGroups: c.list("add-group"), RemoveGroups: c.list("remove-group"),
		Scopes: c.replacement("scope"), AddScopes: c.list("add-scope"), RemoveScopes: c.list("remove-scope"),
	}
}

func userPath(name string, more ...string) string {
	return strings.Join(append([]string{"/users", url.PathEscape(name)}, more...), "/")
}

func addUserCommand(c *call) error {
	password, err := c.readPassword()
	if err != nil {
		return err
	}
	verified, _ := c.cmd.Flags().GetBool("email-verified")
	var u userView
	err = c.request(http.MethodPost, "/users", newUser{
		Username: c.args[0], Password: password, Email: c.text("email"), EmailVerified: verified,
		Name: c.text("name"), Roles: c.list("role"), Groups: c.list("group"), Scopes: c.list("scope"),
	}, &u)
	if err != nil {
		return err
	}
	c.say("Added %s.", u.Username)
	return c.onlyJSON(u)
}

// onlyJSON prints v when JSON was asked for; people have had their sentence.
func (c *call) onlyJSON(v any) error {
	if !c.json() {
		return nil
	}
	return c.print(v, nil)
}

func listUsersCommand(c *call) error {
	all := usersPage{Users: []userView{}}
	for after := ""; ; {
		var page usersPage
		if err := c.request(http.MethodGet, "/users?limit=1000&after="+url.QueryEscape(after), nil, &page); err != nil {
			return err
		}
		all.Users = append(all.Users, page.Users...)
		if after = page.Next; after == "" {
			break
		}
	}
	if len(all.Users) == 0 && !c.json() {
		var s statusPage
		if err := c.request(http.MethodGet, "/status", nil, &s); err != nil {
			return err
		}
		c.say("There are no users: %s.", s.wayIn())
		return nil
	}
	return c.print(all.Users, func(w *tabwriter.Writer) {
		fmt.Fprintln(w, "USERNAME\tROLES\tGROUPS\tEMAIL\tSTATE\tLAST LOGIN")
		for _, u := range all.Users {
			last := "-"
			if u.LastLogin != nil {
				last = shortTime(*u.LastLogin)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", clean(u.Username), orDash(strings.Join(u.Roles, ",")),
				orDash(strings.Join(u.Groups, ",")), orDash(u.Email), u.state(), last)
		}
	})
}

func (u userView) state() string {
	if u.Disabled {
		return "disabled"
	}
	return "enabled"
}

func showUserCommand(c *call) error {
	var u userView
	if err := c.request(http.MethodGet, userPath(c.args[0]), nil, &u); err != nil {
		return err
	}
	return c.print(u, func(w *tabwriter.Writer) {
		email := orDash(u.Email)
		if u.Email != "" {
			email += " (verified: " + strconv.FormatBool(u.EmailVerified) + ")"
		}
		fmt.Fprintf(w, "username\t%s\nid\t%s\nname\t%s\nemail\t%s\nroles\t%s\ngroups\t%s\nscopes\t%s\nstate\t%s\ncreated\t%s UTC\n",
			clean(u.Username), u.ID, orDash(u.Name), email, orDash(strings.Join(u.Roles, ", ")),
			orDash(strings.Join(u.Groups, ", ")), orDash(strings.Join(u.Scopes, ", ")), u.state(), shortTime(u.Created))
		if u.PasswordChanged != nil {
			fmt.Fprintf(w, "password set\t%s UTC\n", shortTime(*u.PasswordChanged))
		}
		if u.LastLogin != nil {
			fmt.Fprintf(w, "last login\t%s UTC\n", shortTime(*u.LastLogin))
		}
		for _, id := range u.Federated {
			fmt.Fprintf(w, "at %s\t%s of %s, since %s UTC\n", clean(id.Provider), clean(id.Subject), clean(id.Issuer), shortTime(id.Linked))
		}
	})
}

func setUserCommand(c *call) error {
	var ch userChange
	flags := c.cmd.Flags()
	if flags.Changed("email") {
		v := c.text("email")
		ch.Email = &v
	}
	if flags.Changed("email-verified") {
		v, _ := flags.GetBool("email-verified")
		ch.EmailVerified = &v
	}
	if flags.Changed("name") {
		v := c.text("name")
		ch.Name = &v
	}
	ch.rightsChange = c.rights()
	if !c.anyChanged(append([]string{"email", "email-verified", "name"}, rightsFlags...)...) {
		return usageError{fmt.Errorf("nothing to change: name at least one of --role, --add-role, --remove-role, --group, --add-group, --remove-group, --scope, --add-scope, --remove-scope, --email, --name")}
	}
	var u userView
	if err := c.request(http.MethodPatch, userPath(c.args[0]), ch, &u); err != nil {
		return err
	}
	scopes := ""
	if len(u.Scopes) > 0 || c.anyChanged("scope", "add-scope", "remove-scope") {
		scopes = ", scopes " + orDash(strings.Join(u.Scopes, ","))
	}
	c.say("Changed %s: roles %s, groups %s%s.", u.Username, orDash(strings.Join(u.Roles, ",")), orDash(strings.Join(u.Groups, ",")), scopes)
	return c.onlyJSON(u)
}

// replacement is the whole new list of a repeatable flag, nil when it was not
// given, and empty when it was given as "".
func (c *call) replacement(flag string) *[]string {
	if !c.cmd.Flags().Changed(flag) {
		return nil
	}
	values := []string{}
	for _, v := range c.list(flag) {
		if v != "" {
			values = append(values, v)
		}
	}
	return &values
}

func (c *call) anyChanged(flags ...string) bool {
	for _, f := range flags {
		if c.cmd.Flags().Changed(f) {
			return true
		}
	}
	return false
}

func userAction(action, done string) func(*call) error {
	return func(c *call) error {
		var u userView
		if err := c.request(http.MethodPost, userPath(c.args[0], action), struct{}{}, &u); err != nil {
			return err
		}
		c.say("%s: %s.", u.Username, done)
		return c.onlyJSON(u)
	}
}

func deleteUserCommand(c *call) error {
	if err := c.request(http.MethodDelete, userPath(c.args[0]), nil, nil); err != nil {
		return err
	}
	c.say("Deleted %s.", clean(c.args[0]))
	return nil
}

func passwdCommand(c *call) error {
	password, err := c.readPassword()
	if err != nil {
		return err
	}
	var u userView
	err = c.request(http.MethodPost, userPath(c.args[0], "password"), map[string]string{"password": password}, &u)
	if err != nil {
		return err
	}
	c.say("Password of %s changed; all sessions ended.", u.Username)
	return c.onlyJSON(u)
}
