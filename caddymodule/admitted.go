package caddymodule

import (
	"context"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-proxy/gatehouse/internal/gateway"
)

// admittedVar is the request variable under which a gate leaves its pass for
// handlers behind it. Variables live in the server; no client can set one.
const admittedVar = "gatehouse.pass"

// outsideVar is where a request that passes by a gate leaves its passage, for a
// gate that it may still meet.
const outsideVar = "gatehouse.passage"

// admitted returns the pass of the gate that the request came through, or nil.
func admitted(r *http.Request) *gateway.Pass {
	pass, _ := caddyhttp.GetVar(r.Context(), admittedVar).(*gateway.Pass)
	return pass
}

// outside returns the passage of a request that has passed by a gate, or nil.
func outside(r *http.Request) *gateway.Passage {
	passage, _ := caddyhttp.GetVar(r.Context(), outsideVar).(*gateway.Passage)
	return passage
}

// earlierGate recognises a caller whom a gate before this one has let in: where
// one gate guards a site and another a part of it, both must agree, and only the
// first sees the credential, which it takes off the request.
type earlierGate struct{}

// Authenticate returns the identity of the earlier gate's pass.
func (earlierGate) Authenticate(_ context.Context, r *http.Request) (gateway.Result, error) {
	pass := admitted(r)
	if pass == nil || !pass.Identity.Authenticated() {
		return gateway.Result{Outcome: gateway.Absent}, nil
	}
	return gateway.Result{Outcome: gateway.Good, Identity: pass.Identity}, nil
}
