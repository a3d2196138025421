package gateway

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
)

// Outcome is what an authenticator found.
type Outcome uint8

// The outcomes. The zero value refuses.
const (
	Bad    Outcome = iota // a credential is there and wrong: 401, nothing else is tried
	Absent                // no credential that this authenticator claims
	Stale                 // a session cookie that stands for nobody now: as Absent, and cleared
	Good                  // Identity says who it is
)

// Result is an authenticator's answer. Its zero value is a bad credential.
type Result struct {
	Outcome  Outcome
	Identity *identity.Identity // for Good; anything but an authenticated one is taken for Bad
	// Header is the canonical name of the header that carried the credential, for
	// Good and Bad; it is removed before the app sees the request. "" for the
	// session cookie and for certificates.
	Header string
	// Challenge is sent as WWW-Authenticate. With Bad it replaces the default;
	// with Absent it is what this authenticator would accept.
	Challenge string
	// Quota is what is left of the rate limit of the credential, told to the
	// client. nil: it has none.
	Quota *identity.Quota
	// Method and Refusal tell the operator about a Bad credential: what kind it
	// was meant to be, and what is wrong with it.
	Method  identity.Method
	Refusal *identity.Refusal
}

// Authenticator looks for one kind of credential. An error means that it could
// not be found out who asks (the store is down): the request is answered with
// 503, no cookie is cleared and nothing else is tried. An
// *identity.ThrottledError is answered with 429. It must not change the request.
type Authenticator interface {
	Authenticate(ctx context.Context, r *http.Request, c Caller) (Result, error)
}

// Decider answers a question. An error means that there is no answer, which is
// never a pass: the request gets a 503. The question may not be kept after the
// call; its header map holds no credentials.
type Decider interface {
	Decide(ctx context.Context, q *decision.Question) (decision.Answer, error)
}

// Pages shows a problem to a person. It writes status, headers and body.
type Pages interface {
	Problem(w http.ResponseWriter, r *http.Request, p problem.Problem)
}

// Recorder hears what became of each request, exactly once, before the app or
// our answer is written. It must be quick and may be called from any number of
// goroutines.
type Recorder interface {
	Decided(ctx context.Context, r Record)
}

// Verdict is what became of a request at the gate.
type Verdict string

// The verdicts; a closed set, fit for a metric label.
const (
	Allow         Verdict = "allow"
	Deny          Verdict = "deny"           // refused by policy, or an identity that cannot be put into headers
	Login         Verdict = "login"          // nobody is signed in
	StepUp        Verdict = "step_up"        // a required step is not met
	BadCredential Verdict = "bad_credential" // 401
	BadRequest    Verdict = "bad_request"    // 400
	Fault         Verdict = "fault"          // 503
	Throttled     Verdict = "throttled"      // 429
)

// Record is one request as the decision log tells it.
type Record struct {
	ID       string
	Site     string
	Method   string // as sent
	Path     string // decoded once, as the server read it
	ClientIP netip.Addr
	Identity *identity.Identity // nil: nobody
	Verdict  Verdict
	Reasons  []string
	Revision string        // "" when the policy was not asked
	Duration time.Duration // from arrival to verdict
	Cached   bool
	Log      map[string]any
	// Tried and Refusal say more about BadCredential: what kind of credential it
	// was meant to be, and what is wrong with it. They are not for the client.
	Tried   identity.Method
	Refusal *identity.Refusal
}

// HeaderRule is one line of a site's own headers block.
type HeaderRule struct {
	Name string
	// Value returns what the app is told about an authenticated identity; ""
	// leaves the header out, an error refuses the request.
	Value func(id *identity.Identity) (string, error)
}

// TokenHeader is a header by which the app gets a token of its caller's.
type TokenHeader struct {
	Name string
	// Value returns the token as it is now; "" leaves the header out, an error
	// answers with 503.
	Value func(ctx context.Context, id *identity.Identity) (string, error)
}
