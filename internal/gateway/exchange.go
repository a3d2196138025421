package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
)

// exchange is one request while it is inside the gate.
type exchange struct {
	gate   *Gate
	w      http.ResponseWriter
	r      *http.Request
	caller Caller
	start  time.Time
	id     string
	set    *stripSet

	override bool // a header names another method

	identity  *identity.Identity
	consumed  string // header whose credential was used
	stale     bool   // the session cookie stands for nobody now
	challenge string // what the authenticators would accept
	tried     identity.Method
	refusal   *identity.Refusal

	answer   decision.Answer
	recorded bool
}

// identify gives the request its id.
func (e *exchange) identify() bool {
	id, err := e.gate.ids.next(e.start)
	if err != nil {
		return e.fault("no randomness for a request id", err)
	}
	e.id = id
	return true
}

// record tells the Recorder, once.
func (e *exchange) record(v Verdict) {
	if e.recorded || e.gate.o.Recorder == nil {
		return
	}
	e.recorded = true
	e.gate.o.Recorder.Decided(e.r.Context(), Record{
		ID: e.id, Site: e.gate.o.Site.Host, Method: e.r.Method, Path: e.r.URL.Path, ClientIP: e.caller.ClientIP,
		Identity: e.identity, Verdict: v, Reasons: e.answer.Reasons, Revision: e.answer.Revision,
		Duration: e.gate.o.Clock().Sub(e.start), Cached: e.answer.Cached, Log: e.answer.Log,
		Tried: e.tried, Refusal: e.refusal,
	})
}

// span starts a span when the site is traced.
func (e *exchange) span(name string) (context.Context, func()) {
	if e.gate.o.Span == nil {
		return e.r.Context(), func() {}
	}
	return e.gate.o.Span(e.r.Context(), name)
}
