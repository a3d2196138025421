package caddymodule

import (
	"fmt"
	"strings"

	"github.com/gatehouse-proxy/gatehouse/config"
	"github.com/gatehouse-proxy/gatehouse/internal/policy"
)

// defaultPackage decides for sites that name no policy, if the policy folder
// defines it.
const defaultPackage = "gatehouse.authz"

// sitePackage returns the Rego package that decides for a site, compiling its
// allow and deny lines where it has them.
func (a *App) sitePackage(s *config.Site) (string, error) {
	if s.Policy != "" {
		return s.Policy, nil
	}
	if len(s.Allow) == 0 && len(s.Deny) == 0 {
		if _, err := a.engine.Entry(defaultPackage); err == nil {
			return defaultPackage, nil
		}
		s.Allow = []config.Line{{{Kind: "signed_in"}}}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	pkg := a.freePackage(s.Name)
	err := a.engine.AddRules(pkg, lines(s.Allow), lines(s.Deny))
	return pkg, err
}

// freePackage makes a package name from a site's name, unlike those of the
// sites before it.
func (a *App) freePackage(site string) string {
	base := "gatehouse.sites." + identifier(site)
	name := base
	for n := 2; a.taken(name); n++ {
		name = fmt.Sprintf("%s_%d", base, n)
	}
	return name
}

func (a *App) taken(pkg string) bool {
	for _, s := range a.sites {
		if s.pkg == pkg {
			return true
		}
	}
	return false
}

// identifier turns a host name into a Rego identifier: letters, digits and _.
func identifier(site string) string {
	host := strings.TrimPrefix(strings.TrimPrefix(strings.ToLower(site), "https://"), "http://")
	id := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, host)
	id = strings.Trim(id, "_")
	switch {
	case id == "":
		return "site"
	case !strings.Contains(id, "_"), id[0] >= '0' && id[0] <= '9':
		// A single word may be a keyword of Rego; a package may not begin with a
		// digit.
		return "site_" + id
	}
	return id
}

func lines(from []config.Line) []policy.Line {
	to := make([]policy.Line, len(from))
	for i, line := range from {
		for _, c := range line {
			to[i] = append(to[i], policy.Condition{Kind: c.Kind, Values: c.Values})
		}
	}
	return to
}
