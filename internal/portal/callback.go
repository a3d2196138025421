package portal

import (
	"errors"
	"net/url"
	"slices"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
)

// maxState is the longest state that is looked at, in bytes; ours have 43.
const maxState = 128

// fresh is how far the provider's clock may be behind ours where somebody had to
// prove who they are after a login began.
const fresh = time.Minute

// Why a login that the provider vouches for does not count.
var (
	errNotAsked  = errors.New("the provider does not show that the person proved who they are once more")
	errNoFactor  = errors.New("the provider does not show that a second factor was given")
	errSomeone   = errors.New("it is another person than the session's")
	errMixedUp   = errors.New("the answer came to another provider's address than the login began with")
	errElsewhere = errors.New("the login began on another address of this site")
	errLost      = errors.New("the login did not begin in this browser, or it lost the cookie")
	errUsed      = errors.New("the answer has been used already, or came too late")
)

// getCallback is where the browser comes back from a provider. The address is
// anybody's to make up; what counts is in the cookie of the login.
func (p *Portal) getCallback(v *visit, at *Provider) {
	if !p.mayHaveCookies(v) {
		return
	}
	seal, err := p.sealer(v.r.Context(), sealLogin)
	if err != nil {
		p.fault(v, "ending a login", err)
		return
	}
	q := v.r.URL.Query()
	b := p.pendingOf(v, seal, q)
	switch {
	case b == nil:
		p.lost(v, at, q.Get("state"))
	case b.Login.Provider != at.name():
		p.refuseLoginAt(v, at, b, errMixedUp)
	case b.Login.RedirectURL != p.callbackURL(v, at):
		p.refuseLoginAt(v, at, b, errElsewhere)
	case b.Used || b.stale(p.o.Clock()):
		p.onceMore(v, at, b)
	default:
		p.finish(v, at, seal, b, q)
	}
}

// pendingOf returns the login that a callback belongs to, or nil.
func (p *Portal) pendingOf(v *visit, seal *sealer, q url.Values) *pending {
	if states := q["state"]; len(states) != 1 || states[0] == "" || len(states[0]) > maxState {
		return nil
	}
	return p.find(v, seal, q.Get("state"))
}

// finish ends the login of a callback, which no other callback has ended.
func (p *Portal) finish(v *visit, at *Provider, seal *sealer, b *pending, q url.Values) {
	ctx := v.r.Context()
	// Longer than the login may take, by as much as clocks may differ.
	first, err := p.o.Once(ctx, "login/"+stateHash(b.Login.State), pendingLife+5*time.Minute)
	if err != nil {
		p.fault(v, "ending a login", err) // the cookie stays: the same address can be tried again
		return
	}
	if !first {
		p.onceMore(v, at, b)
		return
	}
	if err := p.keep(v, seal, b.used(), pendingLife); err != nil {
		p.fault(v, "ending a login", err)
		return
	}
	login, err := at.Client.Finish(ctx, &b.Login, q)
	if err == nil {
		err = p.checkStep(at, b, login)
	}
	if err != nil {
		p.refuseLoginAt(v, at, b, err)
		return
	}
	u, err := p.o.Federation.SignIn(ctx, at.Entry, login)
	if err == nil && b.UserID != "" && u.ID != b.UserID {
		err = errSomeone
	}
	if err != nil {
		p.refuseLoginAt(v, at, b, err)
		return
	}
	p.arrive(v, at, b, login, u)
}

// checkStep holds what came back against what a step asked for.
func (p *Portal) checkStep(at *Provider, b *pending, l *oidc.Login) error {
	switch {
	case b.Step == stepReauth && l.AuthTime.Before(b.Login.Started.Add(-fresh)):
		return errNotAsked
	case b.Step == stepMFA && !slices.Contains(at.MFAValues, l.ACR):
		return errNoFactor
	}
	return nil
}

// onceMore is for a callback that comes too late or a second time: the login
// begins again, once, and ends where it should have.
func (p *Portal) onceMore(v *visit, at *Provider, b *pending) {
	who, err := p.who(v)
	switch {
	case err != nil:
		p.fault(v, "reading the session", err)
	case p.arrived(b, who):
		v.redirect(p.returnTo(b.back))
	case b.Again:
		p.refuseLoginAt(v, at, b, errUsed)
	default:
		p.begin(v, start{at: at, back: p.returnTo(b.back), step: b.Step, again: true})
	}
}

// arrived reports whether what a login was begun for has been reached meanwhile.
func (p *Portal) arrived(b *pending, who *identity.Identity) bool {
	if who == nil || b.UserID != "" && who.ID != b.UserID {
		return false
	}
	return b.Step == "" || b.Used && b.Step == stepReauth && !who.AuthTime.Before(b.Login.Started.Add(-fresh))
}

// lost answers a callback of no login that this browser has under way.
func (p *Portal) lost(v *visit, at *Provider, state string) {
	who, err := p.who(v)
	if err != nil {
		p.fault(v, "reading the session", err)
		return
	}
	name := p.o.Cookies.HostOnly().Begun("…")
	if state != "" && len(state) <= maxState {
		name = p.o.Cookies.HostOnly().Begun(pendingID(state))
	}
	p.noteFailedAt(v, at, nil, errLost)
	p.lostPage(v, at, name, who)
}

// remembered is the provider that this browser used last, or "".
func (p *Portal) remembered(v *visit) string {
	jar := p.o.Cookies.HostOnly()
	name, _ := cookie.Read(v.r.Header, jar.Choice())
	return name
}

// amr are the methods by which somebody proved who they are. A class that stands
// for a second factor is one, in the word of RFC 8176.
func amr(at *Provider, l *oidc.Login) []string {
	if slices.Contains(at.MFAValues, l.ACR) && l.ACR != "" && !slices.Contains(l.AMR, "mfa") {
		return append(slices.Clone(l.AMR), "mfa")
	}
	return l.AMR
}
