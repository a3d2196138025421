package gateway

import (
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
	"github.com/gatehouse-proxy/gatehouse/internal/returnto"
)

// reauthAge is how recent a proof of identity must be for "reauth".
const reauthAge = 5 * time.Minute

// clockSkew is how far in the future a proof may lie: another machine wrote it.
const clockSkew = time.Minute

// settle answers the request unless it may pass (contract section 7).
func (e *exchange) settle() bool {
	a := &e.answer
	switch {
	case a.Pass():
		return true
	case !a.Allow && !e.identity.Authenticated():
		return e.login()
	case !a.Allow || len(a.Reasons) > 0:
		// Also for a stranger whom the policy would let in but for a reason:
		// signing in is not what is missing.
		return e.refuse()
	}
	step, unmet := e.unmet(a.Require)
	switch {
	case !unmet:
		return true
	case !e.identity.Authenticated():
		return e.login()
	}
	return e.stepUp(step)
}

// unmet returns the required step that is hardest to meet among those the caller
// has not done. A step that is not known is never met.
func (e *exchange) unmet(require []decision.Step) (decision.Step, bool) {
	var found decision.Step
	for _, step := range require {
		if e.met(step) {
			continue
		}
		if step == decision.Reauth || step == decision.Login {
			if found == "" {
				found = step
			}
			continue
		}
		found = step
	}
	return found, found != ""
}

func (e *exchange) met(step decision.Step) bool {
	id := e.identity
	if !id.Authenticated() {
		return false
	}
	switch step {
	case decision.Login:
		return true
	case decision.Reauth:
		age := e.start.Sub(id.AuthTime)
		return age <= reauthAge && age >= -clockSkew
	case decision.MFA:
		return secondFactor(id)
	}
	return false
}

// secondFactor looks for a method of RFC 8176 that is more than a password:
// several factors as such, a one-time password, or proof of a key.
func secondFactor(id *identity.Identity) bool {
	for _, m := range id.AMR {
		switch m {
		case "mfa", "otp", "hwk", "swk", "sc":
			return true
		}
	}
	return false
}

// login asks a stranger to sign in.
func (e *exchange) login() bool {
	e.record(Login)
	if problem.Navigation(e.r) {
		return e.redirect("")
	}
	return e.problem(problem.Problem{
		Status: http.StatusUnauthorized, Kind: problem.NotSignedIn, Title: "Not signed in",
		Detail: "Sign in first, then try again.", Challenge: e.wanted(),
	})
}

// stepUp asks a known caller for more (RFC 9470).
func (e *exchange) stepUp(step decision.Step) bool {
	e.record(StepUp)
	navigation := problem.Navigation(e.r)
	if step == decision.Reauth {
		if navigation && e.identity.Method == identity.Session {
			return e.redirect("reauth")
		}
		return e.problem(problem.Problem{
			Status: http.StatusUnauthorized, Kind: problem.StepUp, Title: "Sign in again",
			Detail:    "This needs a login of the last few minutes.",
			Challenge: `Bearer error="insufficient_user_authentication", max_age="` + strconv.Itoa(int(reauthAge/time.Second)) + `"`,
		})
	}
	p := problem.Problem{
		Status: http.StatusUnauthorized, Kind: problem.StepUp, Title: "A second factor is needed",
		Detail:    "This needs a second factor, which cannot be given here yet.",
		Challenge: `Bearer error="insufficient_user_authentication"`,
	}
	if navigation {
		p.Status, p.Challenge = http.StatusForbidden, ""
	}
	return e.problem(p)
}

// refuse tells a known caller no, with the policy's reasons.
func (e *exchange) refuse() bool {
	e.record(Deny)
	return e.problem(problem.Problem{
		Status: http.StatusForbidden, Kind: problem.Forbidden, Title: "Access denied",
		Detail:  "You may not see this page. If you think that you should, give the decision id to whoever runs this site.",
		Reasons: e.answer.Reasons, DecisionID: e.id,
	})
}

// badCredential refuses a credential that is there and wrong.
func (e *exchange) badCredential(challenge string) bool {
	if challenge == "" {
		challenge = `Bearer error="invalid_token"`
	}
	e.record(BadCredential)
	return e.problem(problem.Problem{
		Status: http.StatusUnauthorized, Kind: problem.BadCredential, Title: "Bad credential",
		Detail: "The credential sent with this request is not valid here.", Challenge: challenge,
	})
}

func (e *exchange) badRequest(detail string) bool {
	e.record(BadRequest)
	return e.problem(problem.Problem{
		Status: http.StatusBadRequest, Kind: problem.BadRequest, Title: "Bad request", Detail: detail,
	})
}

func (e *exchange) throttled(retry time.Duration) bool {
	retry = max((retry + time.Second - 1).Truncate(time.Second), time.Second)
	e.record(Throttled)
	e.w.Header().Set("RateLimit", `"tries";r=0;t=`+strconv.Itoa(int(retry/time.Second)))
	return e.problem(problem.Problem{
		Status: http.StatusTooManyRequests, Kind: problem.TooMany, Title: "Too many tries",
		Detail: "Wait a while, then try again.", RetryAfter: retry,
	})
}

// fault answers for something that broke behind us. The cause goes to the log;
// the client gets the id to ask about it.
func (e *exchange) fault(what string, err error) bool {
	e.stale = false // what we could not find out clears no cookie
	level := slog.LevelError
	if e.r.Context().Err() != nil {
		level = slog.LevelDebug // the client left: nothing is broken
	}
	e.gate.o.Logger.Log(e.r.Context(), level, what, "request_id", e.id, "error", err)
	e.record(Fault)
	return e.problem(problem.Problem{
		Status: http.StatusServiceUnavailable, Kind: problem.Unavailable, Title: "Not available right now",
		Detail: "Something behind this site does not answer. Try again in a moment.", RetryAfter: 5 * time.Second,
	})
}

// problem writes p as a page or a document. It returns false, so that an answer
// ends the request where it is written.
func (e *exchange) problem(p problem.Problem) bool {
	p = p.WithDefaults()
	p.RequestID = e.id
	e.ours()
	p.Headers(e.w.Header())
	if e.gate.o.Pages != nil && problem.Navigation(e.r) {
		e.gate.o.Pages.Problem(e.w, e.r, p)
		return false
	}
	p.Write(e.w)
	return false
}

// redirect sends a person to the login page, which leads back here.
func (e *exchange) redirect(step string) bool {
	to := e.gate.o.LoginPath
	query := make([]string, 0, 2)
	if back, ok := returnto.Clean(e.here()); ok {
		query = append(query, "return_to="+url.QueryEscape(back))
	}
	if step != "" {
		query = append(query, "step="+step)
	}
	if len(query) > 0 {
		to += "?" + strings.Join(query, "&")
	}
	e.ours()
	h := e.w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Location", to)
	e.w.WriteHeader(http.StatusFound)
	return false
}

// here is the address that the browser shows, as far as it is on this site. In
// absolute form (RFC 9112 section 3.2.2) the request line has the whole URL.
func (e *exchange) here() string {
	if strings.HasPrefix(e.r.RequestURI, "/") {
		return e.r.RequestURI
	}
	return e.r.URL.RequestURI()
}

// ours sets what all of our answers carry.
func (e *exchange) ours() {
	e.w.Header().Set("X-Request-Id", e.id)
	if e.stale {
		e.gate.o.Cookies.Clear(e.w, e.gate.o.Cookies.Session())
	}
}

// wanted is the challenge for a stranger. RFC 9110 section 15.5.2 demands one;
// there is no registered scheme for cookies, so without authenticators that name
// their own it is Bearer, which makes no browser open a password box.
func (e *exchange) wanted() string {
	if e.challenge != "" {
		return e.challenge
	}
	return `Bearer realm="` + realm(e.gate.o.Site.Host) + `"`
}

// realm makes s fit into a quoted string (RFC 9110 section 5.6.4).
func realm(s string) string {
	return strings.Map(func(c rune) rune {
		if c < 0x20 || c == '"' || c == '\\' || c >= 0x7f {
			return -1
		}
		return c
	}, s)
}
