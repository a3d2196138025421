// Package decision holds the question that the gateway asks about a request and
// the answer that a policy gives, as plain data between the two. It knows
// neither HTTP nor Rego.
package decision

import (
	"net/netip"
	"net/url"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// Question is what a policy is asked: one request, one reading of its path, one
// identity. It becomes the policy's input (version 1 of the contract); what is
// empty here is absent there. The asker may reuse a Question after the answer.
type Question struct {
	Request  Request
	Identity *identity.Identity // nil: nobody
	Time     time.Time          // already in the site's time zone
	Site     Site
}

// Request is the part of an HTTP request that a policy may see.
type Request struct {
	ID       string
	Method   string
	Scheme   string // "http" or "https"
	Host     string // lower-case, without the port
	Port     int
	Path     string // this reading of the path, decoded
	Segments []string
	RawPath  string // as sent, still escaped
	Query    url.Values
	// Header has canonical names as net/http does; the policy sees them in lower
	// case. The asker has taken Cookie, Authorization and key headers out.
	Header   map[string][]string
	ClientIP netip.Addr
	Protocol string // "HTTP/1.1", "HTTP/2.0"
}

// Site is where the request came in.
type Site struct {
	Host   string
	Policy string // the Rego package that decides
}

// Step is something that a caller must do before it may pass.
type Step string

// The steps a policy may require.
const (
	Login  Step = "login"
	MFA    Step = "mfa"
	Reauth Step = "reauth"
)

// Answer is a policy's decision. Its zero value is no. Answers are shared
// between requests: treat one as read-only.
type Answer struct {
	Allow    bool
	Reasons  []string // from deny, sorted; any entry refuses
	Require  []Step   // sorted
	Headers  map[string]string
	Log      map[string]any
	Revision string // the policy revision that answered
	Cached   bool   // remembered rather than evaluated
}

// Pass reports whether the answer lets the request through as it is.
func (a Answer) Pass() bool {
	return a.Allow && len(a.Reasons) == 0 && len(a.Require) == 0
}
