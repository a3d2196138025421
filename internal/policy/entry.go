package policy

import (
	"context"
	"fmt"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
)

// Entry is one package that decides. It stays good over reloads.
type Entry struct {
	engine *Engine
	pkg    string
	lanes  *lanes
}

// Package is the Rego package, without "data.".
func (n *Entry) Package() string { return n.pkg }

// Decide answers q by the policies of one revision. An error is a fault (the
// budget is over, a builtin failed, the result has a wrong type, nothing is
// loaded, ctx is done), and the request must be refused: the Answer is no then,
// and says nothing but the revision at fault, which is empty when nothing is
// loaded. Decide keeps nothing of q.
func (n *Entry) Decide(ctx context.Context, q *decision.Question) (decision.Answer, error) {
	set := n.engine.current.Load()
	if set == nil {
		return decision.Answer{}, ErrNotLoaded
	}
	p := set.programs[n.pkg]
	if p == nil {
		return decision.Answer{Revision: set.revision}, fmt.Errorf("policy %s: %w", n.pkg, ErrNotLoaded)
	}
	var room [256]byte
	key, remember := p.memory.key(room[:0], q)
	if remember {
		if a, ok := p.memory.memory.get(key); ok {
			return a, nil
		}
	}
	a, err := n.ask(ctx, p, q)
	if err != nil {
		return decision.Answer{Revision: p.set.revision}, fmt.Errorf("policy %s at revision %s: %w", n.pkg, p.set.revision, err)
	}
	if remember {
		p.memory.memory.put(key, a)
	}
	return a, nil
}

// ask evaluates.
func (n *Entry) ask(ctx context.Context, p *program, q *decision.Question) (decision.Answer, error) {
	input, err := n.engine.identities.input(q, p.needs)
	if err != nil {
		return decision.Answer{}, err
	}
	values, err := n.evaluate(ctx, p, input, q.Time)
	if err != nil {
		return decision.Answer{}, err
	}
	a, odd, err := values.answer(n.pkg, p.headers)
	if odd && p.warned.CompareAndSwap(false, true) {
		n.engine.log.Warn("allow is not a boolean, which counts as no", "package", n.pkg, "revision", p.set.revision)
	}
	if err != nil {
		return decision.Answer{}, err
	}
	a.Revision = p.set.revision
	return a, nil
}

// StaticHeaders returns the canonical names of all headers that the package can
// set, sorted. It is empty before the first load.
func (n *Entry) StaticHeaders() []string {
	set := n.engine.current.Load()
	if set == nil || set.programs[n.pkg] == nil {
		return nil
	}
	return set.programs[n.pkg].headers
}
