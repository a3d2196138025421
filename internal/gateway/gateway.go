package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/cookie"
	"github.com/gatehouse-proxy/gatehouse/internal/decision"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// Options is all that a Gate needs. Authenticators, Decider, Alive and Site.Host
// must be given.
type Options struct {
	// Site is what the policy is told about the place; its Host is also the
	// realm of challenges.
	Site decision.Site
	// Authenticators are asked in this order: those that read Authorization
	// first, then key headers, the session cookie, client certificates.
	Authenticators []Authenticator
	// Decider answers for each reading of the path.
	Decider Decider
	// Alive tells whether the login behind an identity still stands. It is asked
	// about open WebSockets and event streams and must not count as activity.
	Alive func(ctx context.Context, id *identity.Identity) (bool, error)

	// Pages shows our answers to people. nil: problem documents for everybody.
	Pages Pages
	// Recorder hears of each request exactly once. nil: nobody does.
	Recorder Recorder
	// Cookies names our cookies. The zero Jar makes host-only cookies.
	Cookies cookie.Jar
	// LoginPath is where people sign in, on this site. "": /_gatehouse/login.
	LoginPath string
	// Headers replaces the default table of identity headers when not empty.
	Headers []HeaderRule
	// NoHeaders tells the app nothing about who asks; Headers is not used then.
	NoHeaders bool
	// PolicyHeaders returns the names of all headers that the policy in force can
	// set; they are stripped from what clients send. The slice is never changed
	// after it was returned: the same slice means the same names. nil: none.
	PolicyHeaders func() []string
	// OtherHeaders and OtherPolicies name the headers that other gates set, by
	// their headers blocks and by their policies: a client may not send them
	// through this one either, since both may lead to one app. The function is as
	// PolicyHeaders; nil: none.
	OtherHeaders  []string
	OtherPolicies func() []string
	// KeyHeader is the header in which keys come besides Authorization, in its
	// canonical form. Neither the policy nor the app sees it, in whatever spelling.
	// "": there is none.
	KeyHeader string
	// IsKey reports whether a text has the form of one of our keys. A request that
	// has one in its query is refused: addresses end up in logs and histories. So is
	// one that has it in an Authorization which nobody claims. nil: nobody looks.
	IsKey func(text string) bool
	// NoLogin says that signing in would not help here: people get a 401 page
	// instead of the way to the login page.
	NoLogin bool
	// Tokens are request headers, besides Headers, that hand a caller's token of
	// somebody else to the app.
	Tokens []TokenHeader
	// CanGiveMFA reports whether a caller could give a second factor by signing in
	// once more. nil: nobody can.
	CanGiveMFA func(id *identity.Identity) bool
	// PassAuthorization leaves an Authorization header that no authenticator
	// claims for the app. Off, such a request is refused with 401.
	PassAuthorization bool
	// Location is the site's time zone for the policy. nil: UTC.
	Location *time.Location

	// LiveEvery is how often Alive is asked about one open connection. 0: 500 ms.
	LiveEvery time.Duration
	// LiveGrace is how long an open connection outlives a fault of Alive before
	// it is cut. 0: 30 s.
	LiveGrace time.Duration

	// Span starts a span for tracing and returns what ends it. nil: no tracing.
	Span func(ctx context.Context, name string) (context.Context, func())
	// Clock and Rand are the sources of time and of request ids. nil: the real
	// ones. Clock and Logger serve all requests at once.
	Clock  func() time.Time
	Rand   io.Reader
	Logger *slog.Logger
}

// Caller is what the web server knows about the other end. It comes from the
// connection and the server's own list of trusted proxies, never from a header
// that a stranger can send.
type Caller struct {
	ClientIP netip.Addr
	Scheme   string // "http" or "https"
	Port     int
	// Behind is set when another gate has let the request in already: the headers
	// of other gates are then that gate's, and stay.
	Behind bool
}

// Gate guards one site. It is safe for any number of requests at once.
type Gate struct {
	o             Options
	ids           idSource
	own           []string // names of headers that are ours, whatever the policy says
	ownNames      nameSet  // of own
	identityNames nameSet  // those of own that a policy may not set
	stripped      atomic.Pointer[stripSet]
	others        others
	headers       headerTable
}

// New returns a Gate, or an error that says which option is missing or wrong.
func New(o Options) (*Gate, error) {
	switch {
	case o.Site.Host == "":
		return nil, errors.New("gateway: the site has no host")
	case len(o.Authenticators) == 0:
		return nil, errors.New("gateway: no authenticator is given, so nobody could ever sign in")
	case o.Decider == nil:
		return nil, errors.New("gateway: no decider is given")
	case o.Alive == nil:
		return nil, errors.New("gateway: Alive is not given, so open connections would outlive their session")
	}
	for _, rule := range o.Headers {
		if !validName(rule.Name) || never.has(rule.Name) {
			return nil, fmt.Errorf("gateway: %q cannot be an identity header", rule.Name)
		}
		if rule.Value == nil {
			return nil, fmt.Errorf("gateway: the header %s has no value", rule.Name)
		}
	}
	for _, token := range o.Tokens {
		if !validName(token.Name) || never.has(token.Name) || token.Value == nil {
			return nil, fmt.Errorf("gateway: %q cannot be the header of a token", token.Name)
		}
	}
	if o.LoginPath == "" {
		o.LoginPath = "/_gatehouse/login"
	}
	if o.Location == nil {
		o.Location = time.UTC
	}
	if o.LiveEvery <= 0 {
		o.LiveEvery = 500 * time.Millisecond
	}
	if o.LiveGrace <= 0 {
		o.LiveGrace = 30 * time.Second
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	g := &Gate{o: o, headers: newHeaderTable(o.Headers)}
	g.headers.none = o.NoHeaders
	g.others.fixed, g.others.policies = o.OtherHeaders, o.OtherPolicies
	g.ids.rand = o.Rand
	g.own = append(g.own, defaultNames...)
	g.own = append(g.own, pathOverrides...)
	for _, rule := range o.Headers {
		g.own = append(g.own, rule.Name)
	}
	for i, token := range o.Tokens {
		g.own = append(g.own, token.Name)
		o.Tokens[i].Name = http.CanonicalHeaderKey(token.Name)
	}
	g.identityNames = newNameSet(g.own)
	if o.KeyHeader != "" {
		g.own = append(g.own, o.KeyHeader)
	}
	g.ownNames = newNameSet(g.own)
	return g, nil
}

// Admit takes one request through the gate. When ok is true the app is to be
// called with p.Writer and p.Request, and p.Close afterwards. When it is false,
// the request was answered already. The headers of r are changed in place.
func (g *Gate) Admit(w http.ResponseWriter, r *http.Request, c Caller) (p *Pass, ok bool) {
	e := exchange{gate: g, w: w, r: r, caller: c, start: g.o.Clock()}
	if !e.identify() {
		return nil, false
	}
	e.set = g.stripSet()
	e.override = strip(r, e.set)
	var foreign *stripSet
	if !c.Behind {
		foreign = g.others.strip(r, &g.ownNames, e.set.policy)
	}
	s := scratchPool.Get().(*scratch)
	defer s.free()
	if !e.read(s) || !e.authenticate() || !e.decide(s) || !e.settle() {
		return nil, false
	}
	if p, ok = e.pass(); ok && p.live == nil && e.identity.Authenticated() {
		p.gate, p.response.pass = g, p
	}
	if ok && !c.Behind {
		// The policies may have been swapped since; this leaves alone what we set.
		if now := g.others.names(&g.ownNames, g.policyHeaders()); now != nil && now != foreign {
			strip(r, now)
		}
	}
	return p, ok
}

// Identify finds out who asks, for a page of ours that tells them, without asking
// the policy. identity is nil for nobody. When ok is false, the request was
// answered already: its credential is bad, or it could not be checked.
func (g *Gate) Identify(w http.ResponseWriter, r *http.Request, c Caller) (who *identity.Identity, ok bool) {
	e := exchange{gate: g, w: w, r: r, caller: c, start: g.o.Clock()}
	if !e.identify() || !e.authenticate() {
		return nil, false
	}
	return e.identity, true
}

// Pass is a request on its way to the app.
type Pass struct {
	Writer   http.ResponseWriter
	Request  *http.Request
	Identity *identity.Identity // nil: nobody
	ID       string             // request id and decision id, a ULID

	response response
	live     *live
	gate     *Gate // of one that may still turn out to be long-lived; else nil
}

// Close ends the pass: it must be called once the app has answered, before the
// server finishes the response. It stops the watch over an open connection and
// cleans what the app put into the header map last (trailers).
func (p *Pass) Close() {
	if p.live != nil {
		p.live.stop()
		p.response.leave()
	}
	p.response.finish()
}
