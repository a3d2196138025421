package gateway

import (
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
)

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
		return age <= identity.ReauthAge && age >= -clockSkew
	case decision.MFA:
		return id.SecondFactor()
	}
	return false
}

// login asks a stranger to sign in.
func (e *exchange) login() bool {
	e.record(Login)
	if problem.Navigation(e.r) && !e.gate.o.NoLogin {
		return e.redirect("")
	}
	p := problem.Problem{
		Status: http.StatusUnauthorized, Kind: problem.NotSignedIn, Title: "Not signed in",
		Detail: "Sign in first, then try again.", Challenge: e.wanted(),
	}
	if e.gate.o.NoLogin {
		p.Kind, p.Title = problem.NoCredential, "A credential is needed"
		p.Detail = "This is for programs: send a key or token, or show a client certificate. Signing in does not help here."
	}
	return e.problem(p)
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
			Challenge: `Bearer error="insufficient_user_authentication", max_age="` + strconv.Itoa(int(identity.ReauthAge/time.Second)) + `"`,
		})
	}
	can := e.gate.o.CanGiveMFA != nil && e.identity.Method == identity.Session && e.gate.o.CanGiveMFA(e.identity)
	if can && navigation {
		return e.redirect("mfa")
	}
	p := problem.Problem{
		Status: http.StatusUnauthorized, Kind: problem.StepUp, Title: "A second factor is needed",
		Detail:    "This needs a second factor, which cannot be given here.",
		Challenge: `Bearer error="insufficient_user_authentication"`,
	}
	if can {
		p.Detail = "Sign in once more in a browser, with a second factor."
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
		challenge = `Bearer realm="` + realm(e.gate.o.Site.Host) + `", error="invalid_token"`
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

// throttled answers somebody who is known, and over the limit of a key.
func (e *exchange) throttled(over *identity.ThrottledError) bool {
	retry := max((over.Retry + time.Second - 1).Truncate(time.Second), time.Second)
	e.identity = over.Who
	e.record(Throttled)
	e.tell(&over.Quota)
	return e.problem(problem.Problem{
		Status: http.StatusTooManyRequests, Kind: problem.TooMany, Title: "Too many requests",
		Detail: "The rate limit of this key is used up. Wait a while, then try again.", RetryAfter: retry,
	})
}

// tell says what is left of a rate limit (draft-ietf-httpapi-ratelimit-headers).
func (e *exchange) tell(q *identity.Quota) {
	if q == nil || !q.Rate.Limited() {
		return
	}
	h := e.w.Header()
	h["Ratelimit-Policy"] = []string{`"key";q=` + strconv.Itoa(q.Rate.Requests) + ";w=" + seconds(q.Rate.Per)}
	h["Ratelimit"] = []string{`"key";r=` + strconv.Itoa(max(q.Remaining, 0)) + ";t=" + seconds(q.Reset)}
}

// seconds rounds up: who waits that long does not come too early.
func seconds(d time.Duration) string {
	return strconv.Itoa(int((max(d, 0) + time.Second - 1) / time.Second))
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
