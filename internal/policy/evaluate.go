package policy

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// Why there is no answer. Each of them refuses the request as a fault.
var (
	ErrBudget    = errors.New("the evaluation took longer than the budget")
	ErrNotLoaded = errors.New("no policies are loaded")
	ErrClosed    = errors.New("the policy engine is closed")
)

// task is one evaluation.
type task struct {
	program *program
	input   *ast.Term
	now     time.Time // what the policy takes for the time
	brake   brake
	done    chan struct{} // has room for one
	timer   *time.Timer   // of the caller, who alone touches it
	values  values
	err     error
}

// evaluate runs the program within the budget. It comes back when the budget is
// over even when the evaluation does not, which is then cut off, or, inside a
// builtin that looks at no clock, left behind.
func (n *Entry) evaluate(ctx context.Context, p *program, input *ast.Term, at time.Time) (values, error) {
	pool, budget := n.engine.pool, n.engine.budget
	now := time.Now()
	t := pool.task()
	t.program, t.input, t.now = p, input, at
	t.brake.ctx, t.brake.lanes = ctx, n.lanes
	t.brake.deadline, t.brake.last = now.Add(budget), now.Add(budget+budget/2)
	if t.brake.holds = n.lanes.begin(ctx, now, t.brake.deadline); t.brake.holds == nil {
		return values{}, late(ctx)
	}
	if take(ctx, pool.room, time.Until(t.brake.deadline)) == nil {
		t.brake.release()
		return values{}, late(ctx)
	}
	begin := time.Now()
	t.brake.slow = begin.Add(n.lanes.slice(begin, budget))
	if !pool.run(t) {
		t.brake.release()
		return values{}, ErrClosed
	}
	t.timer.Reset(time.Until(t.brake.deadline))
	defer t.timer.Stop()
	select {
	case <-t.done:
		return pool.finish(t)
	case <-ctx.Done():
		t.brake.Cancel()
		return values{}, ctx.Err()
	case <-t.timer.C:
	}
	if t.brake.begun.Load() {
		t.brake.Cancel()
	}
	t.timer.Reset(time.Until(t.brake.last))
	select {
	case <-t.done: // with a result after all, or with its error
		return pool.finish(t)
	case <-t.timer.C:
		t.brake.Cancel()
		n.lanes.stuck.Store(time.Now().UnixNano())
		return values{}, ErrBudget
	}
}

func late(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return ErrBudget
}

// evaluate runs on a worker, and leaves its outcome in values or err.
func (t *task) evaluate() {
	defer t.brake.release()
	defer func() {
		if p := recover(); p != nil { // in OPA, or in a builtin: a fault like any other
			t.values, t.err = values{}, fmt.Errorf("evaluation panicked: %v\n%s", p, debug.Stack())
		}
	}()
	t.values, t.err = t.run()
	if !topdown.IsCancel(t.err) {
		return
	}
	if t.err = t.brake.ctx.Err(); t.err != nil {
		return
	}
	t.err = ErrBudget
	if t.brake.burned() {
		t.brake.lanes.cut.Store(time.Now().UnixNano())
	}
}

// run asks the one query of the program. Errors inside builtins are errors:
// OPA's own way, which is to take them for undefined, would open the gate when
// they happen inside deny or not.
func (t *task) run() (values, error) {
	p := t.program
	q := topdown.NewQuery(p.query).
		WithQueryCompiler(p.qc).
		WithCompiler(p.set.compiler).
		WithStore(p.set.store).
		WithTransaction(p.set.txn).
		WithMetrics(metrics.NoOp()).
		WithInterQueryBuiltinValueCache(p.patterns).
		WithStrictBuiltinErrors(true).
		WithTime(t.now).
		WithCancel(&t.brake).
		WithInput(t.input)
	var out values
	results := 0
	err := q.Iter(context.Background(), func(qr topdown.QueryResult) (err error) {
		if results++; results > 1 {
			return errors.New("the query has more than one result")
		}
		out, err = p.read(qr)
		return err
	})
	if err == nil && results == 0 {
		err = errors.New("the query has no result")
	}
	if err != nil {
		return values{}, err
	}
	return out, nil
}
