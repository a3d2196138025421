package portal

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
)

// maxHint is the longest login_hint that is looked at, in bytes.
const maxHint = 320

// start is what a login at a provider begins with.
type start struct {
	at    *Provider
	back  string
	step  string
	hint  string
	again bool
}

// getStart begins a login. Any page may lead here by a link, but not in secret:
// each login takes room in the browser, from which the oldest has to go.
func (p *Portal) getStart(v *visit, at *Provider) {
	q := v.r.URL.Query()
	if !openly(v.r) {
		p.fail(v, problem.Problem{
			Status: http.StatusForbidden, Kind: problem.Forbidden, Title: "This sign-in was begun by another page",
			Detail: "Another site tried to begin a sign-in without showing it to you, so nothing was done.",
		})
		return
	}
	if !clicked(v.r) && p.circled(v) {
		return
	}
	p.begin(v, start{at: at, back: p.returnTo(q.Get("return_to")), step: knownStep(q.Get("step")), hint: hint(q.Get("login_hint"))})
}

func (p *Portal) postStart(v *visit, at *Provider) {
	in, ok := p.read(v, "return_to", "step", "login_hint")
	if !ok {
		return
	}
	p.begin(v, start{at: at, back: p.returnTo(in["return_to"]), step: knownStep(in["step"]), hint: hint(in["login_hint"])})
}

// openly reports whether a request comes from a page of ours, or is one for a
// whole page, which the person sees.
func openly(r *http.Request) bool {
	if strings.Contains(r.Header.Get("Sec-Purpose"), "prefetch") {
		return false
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return true
	}
	mode, dest := r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Sec-Fetch-Dest")
	return mode == "navigate" && (dest == "" || dest == "document")
}

// clicked reports whether somebody followed a link of ours.
func clicked(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Site") == "same-origin" && r.Header.Get("Sec-Fetch-User") == "?1"
}

// knownStep is a step of ours, or "".
func knownStep(step string) string {
	switch step {
	case stepReauth, stepMFA, stepSwitch:
		return step
	}
	return ""
}

// hint is a login_hint that is worth passing on, or "".
func hint(raw string) string {
	if len(raw) > maxHint || strings.ContainsFunc(raw, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return ""
	}
	return strings.TrimSpace(raw)
}

// callbackURL is where the provider sends browsers back to: on the host that this
// one is on, since only there it has its cookies.
func (p *Portal) callbackURL(v *visit, at *Provider) string {
	return p.origin(v.r) + p.at(at, "callback")
}

// origin is that of the portal as the browser sees it.
func (p *Portal) origin(r *http.Request) string {
	return identity.Origin(r.TLS != nil, r.Host)
}

// begin sends the browser to a provider.
func (p *Portal) begin(v *visit, s start) {
	if !p.mayHaveCookies(v) {
		return
	}
	who, err := p.who(v)
	if err != nil {
		p.fault(v, "reading the session", err)
		return
	}
	if who == nil && s.step == stepReauth {
		s.step = "" // to sign in at all is as good
	}
	if !s.at.canDo(s.step) {
		p.cannotStep(v, s)
		return
	}
	ctx := v.r.Context()
	seal, err := p.sealer(ctx, sealLogin)
	if err != nil {
		p.fault(v, "beginning a login", err)
		return
	}
	address, login, err := s.at.Client.Begin(ctx, p.request(v, s))
	if err != nil {
		p.failedStart(ctx, v, s, err)
		return
	}
	// What a step asked for is held against what comes back by ourselves, so that
	// the page can say what was missing. What the provider's own options ask for is
	// left to the client.
	switch s.step {
	case stepReauth:
		login.MaxAge = nil // 0 is the strictest
	case stepMFA:
		login.ACRValues = nil // those of the step stand instead of the options'
	}
	b := &pending{Login: *login, Step: s.step, Again: s.again, back: s.back}
	if who != nil && (s.step == stepReauth || s.step == stepMFA) {
		b.UserID = who.ID
	}
	if err := p.keep(v, seal, b, pendingKept); err != nil {
		p.fault(v, "beginning a login", err)
		return
	}
	p.leave(v, s.at, address)
}

// request is what a step asks the provider for.
func (p *Portal) request(v *visit, s start) oidc.Request {
	r := oidc.Request{RedirectURL: p.callbackURL(v, s.at), LoginHint: s.hint}
	switch s.step {
	case stepReauth:
		// Some providers know only one of the two.
		r.MaxAge, r.Prompt = new(time.Duration), "login"
	case stepMFA:
		r.ACRValues = s.at.MFAValues
	case stepSwitch:
		// Of these values every provider of OpenID Connect has to know the first.
		if r.Prompt = "login"; !s.at.Client.CanStepUp() {
			r.Prompt = "select_account"
		}
	}
	return r
}

// failedStart answers when a login could not begin.
func (p *Portal) failedStart(ctx context.Context, v *visit, s start, err error) {
	switch {
	case errors.Is(err, oidc.ErrNoStepUp):
		p.cannotStep(v, s)
	case errors.Is(err, oidc.ErrUnavailable) && ctx.Err() == nil:
		p.o.OnLogin(methodOIDC, resultUnavailable)
		p.o.Logger.WarnContext(ctx, "portal: a provider is not available", "request_id", v.RequestID, "provider", s.at.name(), "error", err)
		p.unavailable(v, s)
	default:
		p.fault(v, "beginning a login", err)
	}
}
