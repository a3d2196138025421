package gateway

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
)

// decide asks the policy about every reading of the request and joins the answers.
// The policy does not see credentials: they leave the header map for this time.
func (e *exchange) decide(s *scratch) bool {
	var also []string // methods that an app may read besides the plainest
	if e.override || !plainMethod(e.r.Method) {
		all, err := methods(e.r)
		if err != nil {
			return e.badRequest("The method of this request cannot be read in one safe way.")
		}
		also = all[1:]
	}
	ctx, end := e.span("gatehouse.decide")
	defer end()
	h := e.r.Header
	cookies, authorization, proxy := h["Cookie"], h["Authorization"], h["Proxy-Authorization"]
	delete(h, "Cookie")
	delete(h, "Authorization")
	delete(h, "Proxy-Authorization")
	if e.gate.o.KeyHeader != "" {
		delete(h, e.gate.o.KeyHeader) // for good: it is ours, whatever it holds
	}
	e.ask(&s.question)
	err := e.askAll(ctx, s, also)
	if cookies != nil {
		h["Cookie"] = cookies
	}
	if authorization != nil {
		h["Authorization"] = authorization
	}
	if proxy != nil {
		h["Proxy-Authorization"] = proxy
	}
	if err != nil {
		return e.fault("the policy could not answer", err)
	}
	return true
}

// errRevisions says that the policy changed between two readings of one request.
var errRevisions = errors.New("the policy changed while a request with several readings was decided")

// askAll asks about each reading and method. All of them must have been answered by one
// revision: half of an old policy and half of a new one is neither.
func (e *exchange) askAll(ctx context.Context, s *scratch, also []string) error {
	for range 3 {
		err := e.askOnce(ctx, s, also)
		if !errors.Is(err, errRevisions) {
			return err
		}
	}
	return errRevisions
}

func (e *exchange) askOnce(ctx context.Context, s *scratch, also []string) error {
	q, plainest := &s.question.Request, method(e.r)
	for m := range 1 + len(also) {
		q.Method = plainest
		if m > 0 {
			q.Method = also[m-1]
		}
		for i, reading := range s.readings {
			q.Path, q.Segments = reading.Path, reading.Segments
			answer, err := e.gate.o.Decider.Decide(ctx, &s.question)
			if err != nil {
				// The log shall say which policy failed; nothing else of the
				// answer counts.
				e.answer = decision.Answer{Revision: answer.Revision}
				return err
			}
			if m == 0 && i == 0 {
				e.answer = answer
				continue
			}
			if err := e.join(answer); err != nil {
				return err
			}
		}
	}
	return nil
}

// join makes one answer of two: allowed only when both are, refused for the
// reasons of both. Answers are shared, so lists are copied before they grow.
func (e *exchange) join(b decision.Answer) error {
	a := &e.answer
	if a.Revision != b.Revision {
		return errRevisions
	}
	if a.Allow && b.Allow && !maps.Equal(a.Headers, b.Headers) {
		return errors.New("the policy sets different headers for two readings of one path")
	}
	a.Allow = a.Allow && b.Allow
	a.Cached = a.Cached && b.Cached
	a.Reasons = union(a.Reasons, b.Reasons)
	a.Require = union(a.Require, b.Require)
	if len(b.Log) > 0 {
		log := maps.Clone(b.Log)
		maps.Copy(log, a.Log) // the plain reading's word counts
		a.Log = log
	}
	return nil
}

func union[T ~string](a, b []T) []T {
	if len(b) == 0 {
		return a
	}
	if len(a) == 0 {
		return b
	}
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
