package portal

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/audit"
	"github.com/gatehouse-proxy/gatehouse/internal/federation"
	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
)

// What OnLogin is told of logins at providers.
const (
	methodOIDC = "oidc"

	resultSuccess     = "success"
	resultDenied      = "denied"      // the provider, or what we allow, keeps the person out
	resultInvalid     = "invalid"     // the answer fails a check
	resultLost        = "lost"        // it belongs to no login of this browser, or to one that ended
	resultUnavailable = "unavailable" // the provider gave no usable answer
	resultError       = "error"
)

// retryProvider is when to try a provider again that gave no usable answer.
const retryProvider = 30 * time.Second

// notSignedIn is the title of most pages here.
const notSignedIn = "You were not signed in"

// refusedLogin is how a login at a provider failed, for the metric, the audit
// trail and the page.
type refusedLogin struct {
	result string
	reason string // for the audit trail
	who    string // for the audit trail; "" when that is nobody here
	page   problem.Problem
	other  bool // another account may do better
}

// explain turns an error of a login into an answer; ok is false for a fault of
// ours.
func explain(at *Provider, err error) (why refusedLogin, ok bool) {
	var (
		said    *oidc.ProviderError
		denied  *oidc.DeniedError
		refused *federation.RefusedError
	)
	switch {
	case errors.Is(err, oidc.ErrUnavailable):
		why = refusedLogin{result: resultUnavailable, reason: oidc.ErrUnavailable.Error()}
		why.page = problem.Problem{
			Status: http.StatusServiceUnavailable, Kind: problem.Unavailable, RetryAfter: retryProvider, Title: notSignedIn,
			Detail: at.title() + " gave no answer that could be used. Nothing is wrong with your account; try again in a moment.",
		}
	case errors.As(err, &said):
		why = refusedLogin{result: resultDenied, reason: said.Error(), page: saidNo(at.title(), said), other: said.Code == "access_denied"}
	case errors.As(err, &denied):
		why = refusedLogin{result: resultDenied, reason: denied.Error(), page: mayNot(denied.Reason), other: true}
	case errors.As(err, &refused):
		why = refusedLogin{result: resultDenied, reason: refused.Reason, who: refused.Username, page: mayNot(refused.Sentence), other: true}
	default:
		return ownReason(at.title(), err)
	}
	return why, true
}

// mayNot is the page for somebody whom the provider vouches for, and who may not
// come in.
func mayNot(sentence string) problem.Problem {
	return problem.Problem{
		Status: http.StatusForbidden, Kind: problem.Forbidden, Title: "You may not sign in with this account", Detail: sentence,
	}
}

// saidNo is the page for a provider's own "no". What it gives as the reason is
// shown as its words, as text.
func saidNo(name string, said *oidc.ProviderError) problem.Problem {
	pr := problem.Problem{
		Status: http.StatusForbidden, Kind: problem.Forbidden, Title: notSignedIn, Detail: name + " did not sign you in. " + said.Meaning(),
	}
	switch said.Code {
	case "access_denied", "login_required", "interaction_required", "account_selection_required", "consent_required",
		"unmet_authentication_requirements", "invalid_grant":
	default: // about us, not the person
		pr.Status, pr.Kind = http.StatusBadGateway, problem.Unavailable
	}
	if said.Description != "" {
		pr.Reasons = []string{said.Description}
	}
	return pr
}

// ownReason explains what fails a check of ours.
func ownReason(name string, err error) (why refusedLogin, ok bool) {
	const asBefore = " You are signed in as before."
	for _, r := range []struct {
		err           error
		result        string
		status        int
		kind          problem.Kind
		title, detail string
		other         bool
	}{
		{errNotAsked, resultDenied, http.StatusForbidden, problem.StepUp, "You were not asked again",
			"What you wanted to do needs a fresh sign-in, and " + name + " does not say that this was one." + asBefore, false},
		{errNoFactor, resultDenied, http.StatusForbidden, problem.StepUp, "The second factor was not given",
			"What you wanted to do needs a second factor, such as a code from your phone, and " + name + " does not say that one was given." + asBefore, false},
		{errSomeone, resultDenied, http.StatusConflict, problem.Conflict, "That was another account",
			"You were to confirm who you are, and signed in at " + name + " as somebody else." + asBefore + " To go on as somebody else, use another account.", true},
		{session.ErrEnded, resultDenied, http.StatusConflict, problem.Conflict, notSignedIn,
			"Your session at " + name + " ended while you signed in here.", false},
		{session.ErrTooLarge, resultDenied, http.StatusForbidden, problem.Forbidden, notSignedIn,
			name + " tells more about you than can be kept here: you are in too many groups, or have too many roles.", false},
		{errUsed, resultLost, http.StatusBadRequest, problem.BadRequest, "This sign-in is over",
			"The answer of " + name + " has been used already, or came too late, and a second try went the same way. So you are not sent there again.", false},
		{errElsewhere, resultLost, http.StatusBadRequest, problem.BadRequest, "This sign-in began elsewhere",
			"It began on another address than this one: under another host name or port, or with http:// instead of https://. Sign in again from here.", false},
		{errMixedUp, resultInvalid, http.StatusBadRequest, problem.BadRequest, notSignedIn, unbelieved(name), false},
		{oidc.ErrInvalid, resultInvalid, http.StatusBadRequest, problem.BadRequest, notSignedIn, unbelieved(name), false},
	} {
		if errors.Is(err, r.err) {
			page := problem.Problem{Status: r.status, Kind: r.kind, Title: r.title, Detail: r.detail}
			return refusedLogin{result: r.result, reason: err.Error(), page: page, other: r.other}, true
		}
	}
	return refusedLogin{}, false
}

func unbelieved(name string) string {
	return "What came back from " + name + " does not fit the sign-in that you began, so it was not believed. Try again; if it goes on, tell whoever runs this site."
}

// refuseLoginAt answers a login at a provider that failed: nobody is signed in
// by it, and whoever was is so still.
func (p *Portal) refuseLoginAt(v *visit, at *Provider, b *pending, err error) {
	ctx := v.r.Context()
	why, ok := explain(at, err)
	if !ok || ctx.Err() != nil {
		p.o.OnLogin(methodOIDC, resultError)
		p.fault(v, "ending a login at provider "+at.name(), err)
		return
	}
	p.noteFailedAt(v, at, &why, err)
	back := p.returnTo(b.back)
	links := []link{{p.startURL(at, back, b.Step, ""), "Try again"}}
	if why.other {
		links = append(links, link{p.loginURL(back, stepSwitch), "Use another account"})
	}
	if p.ways() > 1 {
		links = append(links, link{p.chooseURL(back), "Other ways to sign in"})
	}
	p.failWith(v, why.page, links)
}

// noteFailedAt counts a login that failed and records it.
func (p *Portal) noteFailedAt(v *visit, at *Provider, why *refusedLogin, err error) {
	if why == nil {
		why = &refusedLogin{result: resultLost, reason: err.Error()}
	}
	p.o.OnLogin(methodOIDC, why.result)
	p.record(v, audit.Event{Action: audit.LoginFailed, Subject: why.who, Reason: why.reason, Extra: providerAttr(at)})
	if why.result == resultUnavailable {
		p.o.Logger.WarnContext(v.r.Context(), "portal: a provider gave no usable answer", "request_id", v.RequestID, "provider", at.name(), "error", err)
	}
}

func providerAttr(at *Provider) []slog.Attr { return []slog.Attr{slog.String("provider", at.name())} }
