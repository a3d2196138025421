package portal

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/audit"
	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/password"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
	"github.com/gatehouse-proxy/gatehouse/internal/user"
)

// prove checks a name and a password, and records a failure. Its errors are
// those of password.Verifier.Verify.
//
// The record is read before the check: when the password is changed in between,
// the session that follows carries the old epoch and is dead from the start.
// That a name is unknown is not acted upon here, since it would show in the time.
func (p *Portal) prove(v *visit, name, secret string) (*user.User, error) {
	u, err := p.o.Users.Get(v.r.Context(), name)
	if err != nil && !errors.Is(err, user.ErrNotFound) {
		return nil, err
	}
	device, _ := cookie.Read(v.r.Header, p.o.Cookies.Device())
	_, err = p.o.Verifier.Verify(v.r.Context(), password.Attempt{Username: name, Password: secret, Addr: v.ClientIP, Device: device})
	if err == nil && (u == nil || u.Disabled) {
		err = password.ErrWrong // added or enabled a moment ago: the next try will do
	}
	if err == nil {
		return u, nil
	}
	p.noteFailure(v, name, u, err)
	return nil, err
}

// noteFailure records a try that failed. What was typed as a name may be a
// password in the wrong box: unless a user has it, it is not written down.
func (p *Portal) noteFailure(v *visit, typed string, u *user.User, err error) {
	known := ""
	if u != nil {
		known = u.Username
	}
	throttled := (*password.ThrottledError)(nil)
	switch {
	case errors.Is(err, password.ErrWrong):
		p.o.OnLogin("password", "wrong")
		p.record(v, audit.Event{Action: audit.LoginFailed, Subject: p.o.Audit.Attempted(typed, known), Reason: "wrong user name or password"})
	case errors.As(err, &throttled):
		p.o.OnLogin("password", "throttled")
		p.record(v, audit.Event{
			Action: audit.LoginThrottled, Subject: p.o.Audit.Attempted(typed, known), Reason: "too many tries by " + string(throttled.Bucket),
		})
	case errors.Is(err, password.ErrBusy):
		p.o.OnLogin("password", "busy")
	default:
		p.o.OnLogin("password", "error")
	}
}

// failedProof answers every error of prove but password.ErrWrong.
func (p *Portal) failedProof(v *visit, err error) {
	throttled := (*password.ThrottledError)(nil)
	switch {
	case errors.As(err, &throttled):
		p.throttled(v, throttled.Retry)
	case errors.Is(err, password.ErrBusy):
		p.fail(v, problem.Problem{Detail: "Too many people are signing in right now. Try again in a moment."})
	default:
		p.fault(v, "checking a password", err)
	}
}

// throttled answers 429, and says when the next try will be taken. A page shows
// that by itself; a program finds it in the headers, and its user in detail.
func (p *Portal) throttled(v *visit, retry time.Duration) {
	retry = max((retry + time.Second - 1).Truncate(time.Second), time.Second)
	// draft-ietf-httpapi-ratelimit-headers; the gate's answers say it alike.
	v.w.Header().Set("RateLimit", `"tries";r=0;t=`+strconv.Itoa(int(retry/time.Second)))
	pr := problem.Problem{Status: http.StatusTooManyRequests, Kind: problem.TooMany, RetryAfter: retry}
	if v.json {
		pr.Detail = "To keep guessers out, there is a pause before the next try. Try again in " + inWords(retry) + "."
	}
	p.fail(v, pr)
}

// signIn gives the browser a new session for u, whose password was proved a
// moment ago, in place of the one it holds: nobody keeps a session value from
// before (session fixation). It answers faults itself, with ok false.
func (p *Portal) signIn(v *visit, u *user.User, remember bool) (ok bool) {
	old, _ := cookie.Read(v.r.Header, p.o.Cookies.Session())
	token, s, err := p.o.Sessions.Create(v.r.Context(), session.Login{
		Username: u.Username, UserID: u.ID, Epoch: u.Epoch, AMR: []string{"pwd"}, Provider: identity.Local,
		ClientIP: v.ClientIP.String(), UserAgent: v.r.UserAgent(), Remember: remember, Replaces: old,
	})
	if err != nil {
		p.fault(v, "making a session", err)
		return false
	}
	p.giveSession(v, token, s)
	p.o.OnLogin("password", "success")
	p.record(v, audit.Event{Action: audit.Login, Actor: u.Username, Subject: u.Username, Session: s.ID})
	p.afterLogin(v, u)
	return true
}

// afterLogin does what a login is better with and does not fail without.
func (p *Portal) afterLogin(v *visit, u *user.User) {
	ctx := v.r.Context()
	presented, _ := cookie.Read(v.r.Header, p.o.Cookies.Device())
	device, err := p.o.Verifier.RememberDevice(ctx, u.Username, presented)
	if err != nil {
		p.o.Logger.WarnContext(ctx, "portal: remembering the device", "request_id", v.RequestID, "error", err)
	} else {
		p.o.Cookies.Set(v.w, p.o.Cookies.Device(), device, password.DeviceLifetime)
	}
	if err := p.o.Users.SeenLogin(ctx, u.Username, p.o.Clock()); err != nil {
		p.o.Logger.WarnContext(ctx, "portal: noting the last login", "request_id", v.RequestID, "error", err)
	}
}
