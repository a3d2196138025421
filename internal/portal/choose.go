package portal

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// way is a provider on the login page.
type way struct {
	Name, Label, Title string
	URL                string
	Down               bool
	First              bool // it is the one to take
}

// wayReply is a provider on the login page as JSON.
type wayReply struct {
	Name      string `json:"name"`
	Label     string `json:"label"`
	URL       string `json:"url"` // a login begins there
	Available bool   `json:"available"`
}

// ways is how many ways to sign in there are.
func (p *Portal) ways() int {
	if p.o.Passwords {
		return len(p.o.Providers) + 1
	}
	return len(p.o.Providers)
}

// choice is what the login page offers to somebody.
type choice struct {
	passwords bool
	providers []*Provider
	byEmail   bool // an address tells which
}

// choose picks the ways to sign in that fit who asks and for what. Who is to
// confirm who they are can do so only where they signed in.
func (p *Portal) choose(v *visit, who *identity.Identity, step, hint string) choice {
	var c choice
	for i := range p.o.Providers {
		c.providers = append(c.providers, &p.o.Providers[i])
	}
	c.passwords = p.o.Passwords
	switch own := p.ownWay(who); {
	case who == nil:
	case step == stepReauth:
		c.passwords = c.passwords && own == nil
		c.providers = slices.DeleteFunc(c.providers, func(w *Provider) bool { return w != own || !w.canDo(step) })
		return c
	case step == stepMFA:
		c.passwords = false
		c.providers = slices.DeleteFunc(c.providers, func(w *Provider) bool {
			return !w.canDo(step) || w != own && own != nil && own.canDo(step)
		})
		return c
	}
	c.byEmail = p.domainsDiffer()
	last := p.remembered(v)
	rank := func(w *Provider) int {
		_, own := w.takes(hint)
		switch {
		case hint != "" && own:
			return 0
		case w.name() == last:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(c.providers, func(a, b *Provider) int { return rank(a) - rank(b) })
	return c
}

// ownWay is the provider that somebody signed in at, if it is one of ours still.
func (p *Portal) ownWay(who *identity.Identity) *Provider {
	if who == nil || who.Provider == identity.Local {
		return nil
	}
	return p.provider(who.Provider)
}

// domainsDiffer reports whether an e-mail address could tell which provider it is.
func (p *Portal) domainsDiffer() bool {
	return slices.ContainsFunc(p.o.Providers, func(w Provider) bool {
		return !slices.EqualFunc(w.Entry.AllowEmailDomain, p.o.Providers[0].Entry.AllowEmailDomain, strings.EqualFold)
	})
}

// shown are the providers as the page shows them.
func (p *Portal) shown(c choice, back, step, hint string) []way {
	rows := make([]way, 0, len(c.providers))
	for _, w := range c.providers {
		rows = append(rows, way{Name: w.name(), Label: w.Label, Title: w.title(), URL: p.startURL(w, back, step, hint), Down: w.down()})
	}
	if !c.passwords {
		if i := slices.IndexFunc(rows, func(w way) bool { return !w.Down }); i >= 0 {
			rows[i].First = true
		}
	}
	return rows
}

func wayReplies(rows []way) []wayReply {
	replies := make([]wayReply, 0, len(rows))
	for _, w := range rows {
		replies = append(replies, wayReply{Name: w.Name, Label: w.Label, URL: w.URL, Available: !w.Down})
	}
	return replies
}

// straight reports whether a visit of the login page may lead on to the only
// provider: nothing else could be chosen, nothing has to be read first, and it is
// a person's browser that asks for a page.
func (p *Portal) straight(v *visit, c choice, signedIn bool, step string) (*Provider, bool) {
	q := v.r.URL.Query()
	switch {
	case c.passwords || len(c.providers) != 1 || p.ways() != 1, v.json, v.r.Method != http.MethodGet, !openly(v.r):
		return nil, false
	case q.Has("done") || q.Has("choose"):
		return nil, false
	case signedIn && step != stepSwitch:
		return nil, false
	}
	return c.providers[0], !c.providers[0].down()
}
