package policy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
)

// Eval answers an input given as JSON by the package in force, within the same
// bounds as Decide, and remembers nothing. It is for people who try things out.
func (e *Engine) Eval(ctx context.Context, pkg string, input []byte) (decision.Answer, error) {
	set := e.current.Load()
	if set == nil {
		return decision.Answer{}, ErrNotLoaded
	}
	p, err := set.prepare(pkg, -1)
	if err != nil {
		return decision.Answer{}, err
	}
	var doc any
	if err := util.UnmarshalJSON(input, &doc); err != nil {
		return decision.Answer{}, fmt.Errorf("the input is not JSON: %w", err)
	}
	if _, ok := doc.(map[string]any); !ok {
		return decision.Answer{}, errors.New("the input must be a JSON object")
	}
	term, err := ast.InterfaceToValue(doc)
	if err != nil {
		return decision.Answer{}, fmt.Errorf("the input is not JSON: %w", err)
	}
	n := &Entry{engine: e, pkg: pkg, lanes: newLanes()}
	values, err := n.evaluate(ctx, p, ast.NewTerm(term), timeOf(term, e.clock()))
	if err != nil {
		return decision.Answer{}, fmt.Errorf("policy %s: %w", pkg, err)
	}
	a, _, err := values.answer(pkg, p.headers)
	if err != nil {
		return decision.Answer{}, err
	}
	a.Revision = p.set.revision
	return a, nil
}

// timeOf returns the input's own time, so that time.now_ns agrees with it.
func timeOf(input ast.Value, otherwise time.Time) time.Time {
	unix, err := input.Find(ast.Ref{keyTime, keyUnix})
	if err != nil {
		return otherwise
	}
	number, _ := unix.(ast.Number)
	seconds, ok := number.Int64()
	if !ok {
		return otherwise
	}
	return time.Unix(seconds, 0).UTC()
}
