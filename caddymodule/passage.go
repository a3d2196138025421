package caddymodule

import (
	"context"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-proxy/gatehouse/internal/gateway"
	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/problem"
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

// passBy serves a request that this site's gates leave out. One that came
// through a gate already keeps what that gate gave it.
func (s *site) passBy(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if admitted(r) != nil {
		return next.ServeHTTP(w, r)
	}
	// Caddy's matcher saw one reading of the path and left the gate out; another
	// one may be the very path that is guarded.
	if readings, err := gateway.Readings(r.URL.EscapedPath()); err != nil || len(readings) != 1 {
		s.refuse(w, r, problem.Problem{
			Status: http.StatusBadRequest, Kind: problem.BadRequest, Title: "Bad request",
			Detail: "The path of this request can be read in more than one way, and a part of this site is guarded.",
		})
		return nil
	}
	if s.outside.KeyInAddress(r) {
		s.refuse(w, r, gateway.KeyInAddress(s.name))
		return nil
	}
	passage := s.outside.Clean(w, r)
	passage.After(outside(r))
	defer passage.Close()
	caddyhttp.SetVar(r.Context(), outsideVar, passage)
	return next.ServeHTTP(passage.Writer, r)
}

// refuse answers a request that no gate was asked about.
func (s *site) refuse(w http.ResponseWriter, r *http.Request, p problem.Problem) {
	p.RequestID = gateway.NewID()
	if problem.Navigation(r) {
		s.portal.Problem(w, r, p)
		return
	}
	p.Write(w)
}

// earlierGate recognises a caller whom a gate before this one has let in: where
// one gate guards a site and another a part of it, both must agree, and only the
// first sees the credential, which it takes off the request. The methods of this
// gate count as well: it may be there to keep keys out.
type earlierGate struct{ accepts func(identity.Method) bool }

// Authenticate returns the identity of the earlier gate's pass.
func (g earlierGate) Authenticate(_ context.Context, r *http.Request, _ gateway.Caller) (gateway.Result, error) {
	pass := admitted(r)
	switch {
	case pass == nil || !pass.Identity.Authenticated():
		return gateway.Result{Outcome: gateway.Absent}, nil
	case !g.accepts(pass.Identity.Method):
		return gateway.Result{Outcome: gateway.Bad, Method: pass.Identity.Method, Refusal: &identity.Refusal{
			Reason: "a gate before this one has taken it, and here its kind does not count",
		}}, nil
	}
	return gateway.Result{Outcome: gateway.Good, Identity: pass.Identity}, nil
}
