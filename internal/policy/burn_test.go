package policy

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// burners are policies that never end within a budget, each in its own way.
var burners = map[string]string{
	"nested loops": `package bad
allow if {
	n := numbers.range(1, 100000)
	some a in n
	some b in n
	a * b == -1
}`,
	"nested comprehensions": `package bad
allow if count([1 | some a in numbers.range(1, 3000); some b in [x | some x in numbers.range(1, 3000)]; a == b]) == 0`,
	"a huge range":     `package bad` + "\nallow if count(numbers.range(1, 1000000000)) == 0",
	"a huge network":   `package bad` + "\nallow if count(net.cidr_expand(\"::/32\")) == 0",
	"a walk of a walk": `package bad` + "\nallow if { walk(data.big, [_, a]); walk(data.big, [_, b]); a == b; false }",
	"a slow pattern": `package bad
allow if {
	s := concat("", [x | some _ in numbers.range(1, 3000); x := "aaaaaaaaaa"])
	some i in numbers.range(1, 100000)
	regex.match(sprintf("(a*)*(a*)*b{%d}$", [i % 9]), s)
}`,
}

const good = "package good\nallow if input.identity.username == \"alice\"\ndeny contains input.request.path if input.request.path == \"/no\"\n"

func bigData() string {
	s := "["
	for i := range 2000 {
		s += fmt.Sprintf(`{"id":%d,"tags":["a","b"]},`, i)
	}
	return `{"big":` + s + `{}]}`
}

// inTime measures until a measurement is good, and fails when none of several is:
// a busy machine spoils some of them, a regression all.
func inTime(t *testing.T, measure func() (good bool, what string)) {
	t.Helper()
	var all []string
	for range 5 {
		good, what := measure()
		if good {
			t.Log(what)
			return
		}
		all = append(all, what)
		time.Sleep(time.Second)
	}
	t.Errorf("never in time:\n%s", strings.Join(all, "\n"))
}

// lateness is how late this machine wakes a goroutine up, as it is now.
func lateness() time.Duration {
	var late []time.Duration
	for range 15 {
		start := time.Now()
		time.Sleep(time.Millisecond)
		late = append(late, time.Since(start)-time.Millisecond)
	}
	return median(late)
}

func median(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)/2]
}

func TestBurningPolicyIsCutWithinTwiceTheBudget(t *testing.T) {
	for name, text := range burners {
		t.Run(name, func(t *testing.T) {
			e := load(t, Options{Remember: -1, Budget: DefaultBudget}, files{"bad.rego": text, "good.rego": good, "data.json": bigData()})
			bad := entry(t, e, "bad")
			inTime(t, func() (bool, string) {
				var took []time.Duration
				for range 5 {
					start := time.Now()
					a, err := bad.Decide(context.Background(), question("/"))
					took = append(took, time.Since(start))
					if !errors.Is(err, ErrBudget) || a.Pass() {
						t.Fatalf("answer %+v, error %v; want ErrBudget", a, err)
					}
				}
				late := lateness()
				return median(took) <= 2*DefaultBudget+4*late, fmt.Sprintf("cut after %v, with a budget of %v; the machine is late by %v", took, DefaultBudget, late)
			})
		})
	}
}

func TestBurningPolicyLeavesOthersTheirSpeed(t *testing.T) {
	e := load(t, Options{Remember: -1, Budget: DefaultBudget}, files{"bad.rego": burners["nested loops"], "good.rego": good})
	bad, fine := entry(t, e, "bad"), entry(t, e, "good")
	// The mean, not the median: without lanes it is a part of the questions that waits,
	// and long. A busy machine may cost a few their budget.
	mean := func() time.Duration {
		var took time.Duration
		for range 60 {
			start := time.Now()
			if a, err := fine.Decide(context.Background(), question("/")); err == nil && !a.Pass() {
				t.Error("a quick decision is wrong")
			}
			took += time.Since(start)
			time.Sleep(time.Millisecond)
		}
		return took / 60
	}
	inTime(t, func() (bool, string) {
		alone := mean()
		ctx, cancel := context.WithCancel(context.Background())
		var burning sync.WaitGroup
		for range 40 {
			burning.Go(func() {
				for ctx.Err() == nil {
					if a, err := bad.Decide(context.Background(), question("/")); err == nil || a.Pass() {
						t.Error("a burning policy answered")
					}
				}
			})
		}
		time.Sleep(50 * time.Millisecond)
		beside := mean()
		cancel()
		burning.Wait()
		return beside <= max(DefaultBudget/5, 4*alone), fmt.Sprintf("a quick decision takes %v alone, %v beside 40 burning ones", alone, beside)
	})
}

// A stranger's question that burns must not keep the entry from answering others.
func TestBurningQuestionLeavesOtherQuestionsOfTheSameEntry(t *testing.T) {
	e := load(t, Options{Remember: -1, Budget: DefaultBudget}, files{"app.rego": `package app
allow if input.request.path == "/quick"
allow if {
	input.request.path == "/burn"
	n := numbers.range(1, 100)
	some a in n
	some b in n
	some c in n
	some d in n
	a * b * c * d == -1
}`})
	n := entry(t, e, "app")
	inTime(t, func() (bool, string) {
		ctx, cancel := context.WithCancel(context.Background())
		var burning sync.WaitGroup
		for range 20 {
			burning.Go(func() {
				for ctx.Err() == nil {
					_, _ = n.Decide(context.Background(), question("/burn"))
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		failed := 0
		var took time.Duration
		for range 100 {
			start := time.Now()
			if a, err := n.Decide(context.Background(), question("/quick")); err != nil || !a.Pass() {
				failed++
			}
			took += time.Since(start)
			time.Sleep(time.Millisecond)
		}
		cancel()
		burning.Wait()
		// When nothing holds the burning ones back, quick ones wait for 160 ms.
		return failed <= 20 && took/100 <= 2*DefaultBudget/5, fmt.Sprintf("%d of 100 quick questions failed; they took %v", failed, took/100)
	})
}

func TestEvaluationLeavesNoGoroutineBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	e := NewEngine(Options{Remember: -1, Dirs: []string{folder(t, files{"bad.rego": burners["nested loops"], "good.rego": good})}})
	if err := e.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	bad, fine := entry(t, e, "bad"), entry(t, e, "good")
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i%30)*time.Millisecond)
			defer cancel()
			_, _ = bad.Decide(ctx, question("/"))
			_, _ = fine.Decide(ctx, question("/"))
		})
	}
	all.Wait()
	e.Close()
	for range 1000 {
		if runtime.NumGoroutine() <= before {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if now := runtime.NumGoroutine(); now > before {
		t.Errorf("%d goroutines before, %d after", before, now)
	}
	if len(bad.lanes.quick)+len(bad.lanes.wide)+len(bad.lanes.narrow)+len(bad.lanes.single)+len(e.pool.room) != 0 || bad.lanes.parked.Load() != 0 {
		t.Errorf("a lane or worker was not given back: %+v", bad.lanes)
	}
	if _, err := fine.Decide(context.Background(), question("/")); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestClientThatGoesAwayEndsItsEvaluation(t *testing.T) {
	e := load(t, Options{Remember: -1, Budget: time.Minute}, files{"bad.rego": burners["nested loops"]})
	n := entry(t, e, "bad")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	start := time.Now()
	if a, err := n.Decide(ctx, question("/")); !errors.Is(err, context.DeadlineExceeded) || a.Pass() {
		t.Errorf("%+v, %v", a, err)
	}
	for len(e.pool.room) > 0 && time.Since(start) < 30*time.Second {
		time.Sleep(time.Millisecond)
	}
	if len(e.pool.room) > 0 {
		t.Error("the evaluation goes on after its client has gone")
	}
}

// A builtin that never asks whether to go on keeps its worker, and no more: the
// caller leaves in time, and the entry begins one question at a time from then on.
func TestStuckBuiltinIsLeftBehind(t *testing.T) {
	const stuck = `package stuck
allow if {
	input.request.path == "/stuck"
	text := concat("", [x | some _ in numbers.range(1, 1000); x := "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"])
	not regex.match("(a?){400}(a?){400}(a?){150}b", text)
}
allow if input.request.path == "/quick"
`
	e := load(t, Options{Remember: -1, Budget: DefaultBudget}, files{"stuck.rego": stuck, "good.rego": good})
	bad, fine := entry(t, e, "stuck"), entry(t, e, "good")
	var all sync.WaitGroup
	var took []time.Duration
	var mu sync.Mutex
	for range 20 {
		all.Go(func() {
			start := time.Now()
			if a, err := bad.Decide(context.Background(), question("/stuck")); !errors.Is(err, ErrBudget) || a.Pass() {
				t.Errorf("%+v, %v", a, err)
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(start))
		})
	}
	all.Wait()
	// Without an end to the wait it is the seconds that the builtin takes.
	if typical := median(took); typical > 4*DefaultBudget+4*lateness() {
		t.Errorf("callers waited %v", took)
	}
	if bad.lanes.stuck.Load() == 0 {
		t.Fatal("nothing was stuck: the test asks too little of the builtin")
	}
	// At most those in the quick and in the wide lanes when the first was seen to
	// be stuck, and one in each narrow lane afterwards.
	if n := len(e.pool.room); n > 2*runtime.GOMAXPROCS(0)+2 {
		t.Errorf("%d workers are stuck", n)
	}
	answered := 0
	for try := 0; try < 200 && answered < 10; try++ {
		if a, err := fine.Decide(context.Background(), question("/")); err == nil && a.Pass() {
			answered++
		}
	}
	if answered < 10 {
		t.Errorf("another entry answers %d of 200 questions", answered)
	}
	for end := time.Now().Add(3 * time.Minute); len(e.pool.room) > 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if n := len(e.pool.room); n > 0 {
		t.Errorf("%d workers never come back", n)
	}
	inTime(t, func() (bool, string) {
		a, err := bad.Decide(context.Background(), question("/quick"))
		return err == nil && a.Pass(), fmt.Sprintf("the entry recovers: %+v, %v", a, err)
	})
}
