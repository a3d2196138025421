package policy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/gatehouse-proxy/gatehouse/internal/decision"
)

// How much the property test tries. Together more than 100,000 questions.
const (
	randomPolicies  = 680
	randomQuestions = 200
)

// TestRememberedIsRight is the proof by trying of the claim that a remembered
// answer is never a wrong one: for random policies and random questions, all
// questions with one key get one answer, evaluated each time on the full input.
func TestRememberedIsRight(t *testing.T) {
	var total, hits, forgotten int
	for seed := range uint64(randomPolicies) {
		s := newStudy(t, seed)
		if s == nil || s.program.memory.reach.never {
			forgotten++
			continue
		}
		asked, hit, wrong := s.run(s.program.memory.reach, randomQuestions)
		if wrong != "" {
			t.Fatalf("seed %d: %s\n%s", seed, wrong, s.text())
		}
		total, hits = total+asked, hits+hit
	}
	t.Logf("%d questions, %d answered from memory, %d policies not remembered at all", total, hits, forgotten)
	if total < 100_000 || hits < total/3 {
		t.Errorf("the test has become too weak: %d questions, %d of them remembered", total, hits)
	}
}

// TestForgottenPartIsNoticed shows that the property can fail: an analysis that
// misses any one part is caught for most policies that have one.
func TestForgottenPartIsNoticed(t *testing.T) {
	var broken, caught int
	for seed := range uint64(80) {
		s := newStudy(t, seed)
		if s == nil || s.program.memory.reach.never || len(s.program.memory.reach.parts) == 0 {
			continue
		}
		whole := s.program.memory.reach
		drop := int(seed) % len(whole.parts)
		less := &reach{}
		for i, p := range whole.parts {
			if i != drop {
				less.parts = append(less.parts, p)
			}
		}
		broken++
		if _, _, wrong := s.run(less, 2*randomQuestions); wrong != "" {
			caught++
		}
	}
	t.Logf("%d of %d caught", caught, broken)
	if broken < 20 || caught < broken/3 {
		t.Errorf("%d of %d broken analyses were caught", caught, broken)
	}
}

// study is one random policy, compiled.
type study struct {
	author  *author
	files   map[string]string
	program *program
}

// newStudy returns nil for a policy that OPA refuses: the author does not know
// all its rules, such as those about types.
func newStudy(t *testing.T, seed uint64) *study {
	t.Helper()
	a := &author{Rand: rand.New(rand.NewPCG(seed, 1))}
	for range 20 {
		s := &study{author: a, files: a.policy()}
		a.helpers = 0
		e := NewEngine(Options{Dirs: []string{folder(t, s.files)}, Budget: patient})
		err := e.Load(context.Background())
		if err == nil {
			_, err = e.Entry("app")
		}
		e.Close()
		if err == nil {
			s.program = e.current.Load().programs["app"]
			return s
		}
		if !strings.Contains(err.Error(), "rego_type_error") && !strings.Contains(err.Error(), "rego_unsafe_var_error") &&
			!strings.Contains(err.Error(), "rego_compile_error") {
			t.Fatalf("seed %d: %v\n%s", seed, err, s.text())
		}
	}
	return nil
}

func (s *study) text() string {
	return s.files["app.rego"] + "\n" + s.files["lib.rego"] + "\n" + s.files["names.rego"]
}

// run asks n questions, in pairs that differ in all that the policy is said not
// to reach, and tells what went wrong first, if anything did.
func (s *study) run(r *reach, n int) (asked, hits int, wrong string) {
	who := s.author.identities(8)
	seen := map[string]string{}
	for asked < n && wrong == "" {
		q := s.author.question(who)
		for _, q := range []*decision.Question{q, s.author.blend(r, q, s.author.question(who))} {
			asked++
			var hit bool
			if hit, wrong = s.ask(r, q, seen, asked%8 == 0); wrong != "" {
				break
			}
			if hit {
				hits++
			}
		}
	}
	return asked, hits, wrong
}

// ask compares one fresh answer with the remembered one, and now and then with
// what comes of the part of the input that the engine would build.
func (s *study) ask(r *reach, q *decision.Question, seen map[string]string, part bool) (hit bool, wrong string) {
	fresh, err := s.evaluate(q, everything)
	if err != nil {
		return false, err.Error()
	}
	key, ok := r.key(nil, q)
	if !ok {
		return false, ""
	}
	before, hit := seen[string(key)]
	if hit && before != fresh {
		return true, fmt.Sprintf("remembered %s\nbut now %s\nfor %+v by %+v, reach %v", before, fresh, q, q.Identity, r.parts)
	}
	seen[string(key)] = fresh
	if part {
		if short, err := s.evaluate(q, s.program.needs); err != nil || short != fresh {
			return hit, fmt.Sprintf("with all of the input %s, with the needed part %s (%v)", fresh, short, err)
		}
	}
	return hit, ""
}

// evaluate asks OPA without any memory. A fault is an outcome, too.
func (s *study) evaluate(q *decision.Question, n inputNeeds) (string, error) {
	input, err := newIdentityTerms(0).input(q, n)
	if err != nil {
		return "", err
	}
	p := s.program
	query := topdown.NewQuery(p.query).WithQueryCompiler(p.qc).WithCompiler(p.set.compiler).WithStore(p.set.store).
		WithTransaction(p.set.txn).WithStrictBuiltinErrors(true).WithTime(q.Time).WithInput(input)
	out := "no result"
	err = query.Iter(context.Background(), func(qr topdown.QueryResult) error {
		v, err := p.read(qr)
		if err != nil {
			return err
		}
		a, _, err := v.answer("app", p.headers)
		out = fmt.Sprintf("%+v", a)
		if err != nil {
			out = "fault: " + err.Error()
		}
		return nil
	})
	if fault := (*topdown.Error)(nil); errors.As(err, &fault) {
		return "fault: " + fault.Code, nil
	}
	return out, err
}
