package gateway

import (
	"context"
	"errors"
	"net/http"

	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// authenticate finds out who asks. One credential counts: the first that an
// authenticator claims. A bad one is the end, whatever else the request carries.
func (e *exchange) authenticate() bool {
	ctx, end := e.span("gatehouse.authenticate")
	defer end()
	sent := e.r.Header["Authorization"]
	if len(sent) > 1 {
		e.refusal = &identity.Refusal{Reason: "Authorization was sent more than once"}
		return e.badCredential("") // which of them would the app believe?
	}
	if keyInQuery(e.r.URL.RawQuery, e.gate.o.IsKey) {
		return e.keyInQuery()
	}
	// A key of ours is never left for the app: it may be good at another site.
	unclaimed := len(sent) == 1 && (!e.gate.o.PassAuthorization || holdsKey(sent[0], e.gate.o.IsKey))
	for _, a := range e.gate.o.Authenticators {
		res, err := a.Authenticate(ctx, e.r, e.caller)
		if err != nil {
			var over *identity.ThrottledError
			if errors.As(err, &over) {
				return e.throttled(over)
			}
			return e.fault("the caller could not be authenticated", err)
		}
		switch res.Outcome {
		case Absent:
			e.offer(res.Challenge)
		case Stale:
			e.stale = true
			e.offer(res.Challenge)
		case Good:
			if unclaimed && res.Header != "Authorization" {
				break
			}
			if !res.Identity.Authenticated() {
				return e.badCredential("")
			}
			e.identity, e.consumed = res.Identity, res.Header
			e.tell(res.Quota)
			return true
		default:
			e.tried, e.refusal = res.Method, res.Refusal
			return e.badCredential(res.Challenge)
		}
	}
	if unclaimed {
		e.refusal = &identity.Refusal{Reason: "Authorization holds a scheme or credential that no method of this site takes"}
		return e.badCredential("")
	}
	return true
}

// offer collects what would be accepted (RFC 9110 section 11.6.1: a list).
func (e *exchange) offer(challenge string) {
	switch {
	case challenge == "":
	case e.challenge == "":
		e.challenge = challenge
	default:
		e.challenge += ", " + challenge
	}
}

// Sessions looks up browser sessions. Identify returns an error that is
// identity.ErrUnknown for a token that stands for nobody now, and any other
// error when that could not be found out.
type Sessions interface {
	Identify(ctx context.Context, token string) (*identity.Identity, error)
}

// SessionAuthenticator returns the authenticator of the session cookie. A cookie
// that is malformed, sent twice with different values, expired, revoked or of
// another site is Stale.
func SessionAuthenticator(s Sessions, j cookie.Jar) Authenticator {
	return &sessions{store: s, name: j.Session()}
}

type sessions struct {
	store Sessions
	name  string
}

func (a *sessions) Authenticate(ctx context.Context, r *http.Request, _ Caller) (Result, error) {
	token, sent := cookie.Read(r.Header, a.name)
	if !sent {
		return Result{Outcome: Absent}, nil
	}
	if token == "" {
		return Result{Outcome: Stale}, nil
	}
	id, err := a.store.Identify(ctx, token)
	switch {
	case errors.Is(err, identity.ErrUnknown):
		return Result{Outcome: Stale}, nil
	case err != nil:
		return Result{}, err
	case id != nil && id.Site != "" && !id.For(identity.Origin(r.TLS != nil, r.Host)):
		return Result{Outcome: Stale}, nil
	}
	return Result{Outcome: Good, Identity: id}, nil
}
