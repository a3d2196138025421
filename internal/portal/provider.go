package portal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-proxy/gatehouse/internal/federation"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// Provider is an outside identity provider that people sign in at.
type Provider struct {
	// Entry says who may come from it; its Name is part of the provider's addresses.
	// An e-mail address that is given on the login page leads to the provider that
	// allows its domain.
	Entry  federation.Entry
	Label  string // of its button ["Sign in with " and the name]
	Client Client // required
	// Issuer is the provider's, whose origin alone may show our page for
	// front-channel logout in a frame. "": that page is shown in no frame.
	Issuer string
	// MFAValues are the authentication context classes that stand for a second
	// factor. Without them nobody is sent there for one.
	MFAValues []string
	// LogoutThere ends the session at the provider, too, when somebody signs out
	// here, if the provider knows how.
	LogoutThere bool
}

// Client is the protocol with one provider; *oidc.Provider is one.
type Client interface {
	CanStepUp() bool
	Status() (ready bool, err error)
	Begin(context.Context, oidc.Request) (address string, pending *oidc.Pending, err error)
	Finish(ctx context.Context, pending *oidc.Pending, callback url.Values) (*oidc.Login, error)
	EndSessionURL(idToken, back, state string) (address string, ok bool)
	LogoutToken(ctx context.Context, raw string) (*oidc.Logout, error)
	FrontChannel(url.Values) (sid string, ok bool)
	Revoke(context.Context, oidc.Tokens) error
}

// Federation knows what becomes of people from providers; *federation.Guard is
// one, and says what the errors mean.
type Federation interface {
	SignIn(context.Context, federation.Entry, *oidc.Login) (*user.User, error)
	Session(federation.Entry, *user.User, *oidc.Login) (session.Login, error)
	Logout(context.Context, federation.Entry, *oidc.Logout) (sessions int, err error)
	Identify(ctx context.Context, token string) (*identity.Identity, error)
}

// checkProviders checks and completes the options about providers.
func checkProviders(o *Options) error {
	if len(o.Providers) == 0 {
		return nil
	}
	if o.Federation == nil || o.StateKey == nil || o.Once == nil {
		return errors.New("portal: providers need a federation, a state key and a memory of what was used")
	}
	o.Providers = slices.Clone(o.Providers)
	names := map[string]bool{}
	for i := range o.Providers {
		w := &o.Providers[i]
		name := w.name()
		switch {
		case name == "" || name == identity.Local || url.PathEscape(name) != name || names[name]:
			return fmt.Errorf("portal: %q can be no provider's name, or is there twice", name)
		case w.Client == nil:
			return fmt.Errorf("portal: provider %s needs a client", name)
		}
		names[name] = true
		w.Label = cmp.Or(w.Label, "Sign in with "+name)
	}
	return nil
}

// provider returns the provider of a name, or nil.
func (p *Portal) provider(name string) *Provider {
	i := slices.IndexFunc(p.o.Providers, func(w Provider) bool { return w.name() == name })
	if i < 0 {
		return nil
	}
	return &p.o.Providers[i]
}

func (w *Provider) name() string { return w.Entry.Name }

// title is what sentences call the provider.
func (w *Provider) title() string {
	if name, found := strings.CutPrefix(w.Label, "Sign in with "); found && name != "" {
		return name
	}
	return w.Label
}

// down reports whether it is known that nobody can be sent to the provider now.
func (w *Provider) down() bool {
	ready, err := w.Client.Status()
	return !ready && err != nil
}

// canDo reports whether the provider can be asked for a step.
func (w *Provider) canDo(step string) bool {
	switch step {
	case stepReauth:
		return w.Client.CanStepUp()
	case stepMFA:
		return w.Client.CanStepUp() && len(w.MFAValues) > 0
	}
	return true
}

// takes reports whether people with an e-mail address may sign in there, and
// whether the provider is for its domain in particular.
func (w *Provider) takes(address string) (ok, own bool) {
	if len(w.Entry.AllowEmailDomain) == 0 {
		return true, false
	}
	_, domain, found := cutLast(address, "@")
	own = found && slices.ContainsFunc(w.Entry.AllowEmailDomain, func(d string) bool { return strings.EqualFold(d, domain) })
	return own, own
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// at is the address of one of the provider's pages, below our host.
func (p *Portal) at(w *Provider, page string) string {
	return p.o.Base + "/oidc/" + w.name() + "/" + page
}

// startURL is where a login at the provider begins. All but the provider may be
// empty.
func (p *Portal) startURL(w *Provider, back, step, hint string) string {
	q := url.Values{}
	for _, f := range []struct{ name, value string }{{"return_to", back}, {"step", step}, {"login_hint", hint}} {
		if f.value != "" && f.value != "/" {
			q.Set(f.name, f.value)
		}
	}
	if len(q) == 0 {
		return p.at(w, "login")
	}
	return p.at(w, "login") + "?" + q.Encode()
}

// origin is the scheme and host of an address; "" if it has none.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// Interface guards
var (
	_ Client     = (*oidc.Provider)(nil)
	_ Federation = (*federation.Guard)(nil)
)
