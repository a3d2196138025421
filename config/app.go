package config

import (
	"strings"
	"time"
)

// App is the global configuration: what all sites share.
type App struct {
	// Store is where state lives. Default: a bolt file in Caddy's data folder.
	Store Store `json:"store,omitzero"`

	// Policies is where the Rego is and how long it may take.
	Policies Policies `json:"policies,omitzero"`

	// Passwords is how people sign in with a password kept here.
	Passwords Passwords `json:"passwords,omitzero"`

	// Sessions is how long a browser stays signed in.
	Sessions Sessions `json:"sessions,omitzero"`
}

// Policies says where the Rego is and how long it may take.
type Policies struct {
	// Dirs are the folders with Rego and data files, read with all that is below
	// them, watched, and swapped whole. A relative path starts at Caddy's working
	// directory. {env.NAME} and {file.PATH} are filled in. Default: "./policies"
	// if it exists, else none.
	Dirs []string `json:"dirs,omitempty"`

	// Budget is the longest that one evaluation may take; past it the request is
	// refused with 503. From 1ms to 10s. Default: 25ms.
	Budget Duration `json:"budget,omitzero"`
}

// The defaults and limits of Policies.
const (
	DefaultBudget = Duration(25 * time.Millisecond)
	minBudget     = Duration(time.Millisecond)
	maxBudget     = Duration(10 * time.Second)
)

// Validate reports the first value that cannot be used, as an *[Error].
func (a *App) Validate() error {
	if err := a.Store.validate(); err != nil {
		return under("store", err)
	}
	if err := a.Policies.validate(); err != nil {
		return under("policies", err)
	}
	if err := a.Passwords.validate(); err != nil {
		return under("passwords", err)
	}
	if err := a.Sessions.validate(); err != nil {
		return under("sessions", err)
	}
	return nil
}

// WithDefaults returns a copy in which every field that was left out has its
// default. Store.Bolt.File and Policies.Dirs stay empty: their defaults depend
// on the machine.
func (a App) WithDefaults() App {
	if a.Store.Bolt == nil && a.Store.Redis == nil {
		a.Store.Bolt = &Bolt{}
	}
	if a.Policies.Budget == 0 {
		a.Policies.Budget = DefaultBudget
	}
	a.Passwords = a.Passwords.withDefaults()
	a.Sessions = a.Sessions.withDefaults()
	return a
}

// Warnings says what is odd about a valid configuration, for the log.
func (a *App) Warnings() []string {
	if a.Passwords.Off {
		return []string{"passwords are off and this version has no other way to sign in: only rules that hold without a signed-in caller (anyone, client_ip) can let a request pass"}
	}
	return nil
}

func (p *Policies) validate() error {
	seen := map[string]bool{}
	for _, dir := range p.Dirs {
		switch {
		case strings.TrimSpace(dir) == "":
			return fault("dirs", "a folder's name is empty: write its path, such as ./policies")
		case strings.ContainsRune(dir, 0):
			return fault("dirs", "a folder's name holds a NUL character")
		case strings.Contains(dir, "://"):
			return fault("dirs", "%q is a URL: write the path of a folder, such as ./policies", dir)
		case seen[dir]:
			return fault("dirs", "%q is given twice: write each folder once", dir)
		}
		seen[dir] = true
	}
	return within("budget", p.Budget, minBudget, maxBudget)
}

// within checks a duration that may be left out (0).
func within(field string, d, low, high Duration) error {
	switch {
	case d < 0:
		return fault(field, "%s is negative: write a duration from %s to %s", d, low, high)
	case d != 0 && d < low:
		return fault(field, "%s is too short: write a duration from %s to %s", d, low, high)
	case d > high:
		return fault(field, "%s is too long: write a duration from %s to %s", d, low, high)
	}
	return nil
}
