package key

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

// ask uses a key and says whether it was throttled; other errors end the test.
func ask(t testing.TB, m *Manager, text string) (*identity.Quota, *identity.ThrottledError) {
	t.Helper()
	id, quota, err := m.Identify(context.Background(), text, home)
	var slow *identity.ThrottledError
	if errors.As(err, &slow) && id == nil && quota == nil {
		return nil, slow
	}
	if err != nil || !id.Authenticated() || quota == nil {
		t.Fatalf("%v, %v, %v", id, quota, err)
	}
	return quota, nil
}

// TestRate: the same story with both ways of counting.
func TestRate(t *testing.T) {
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprintf("shared %v", shared), func(t *testing.T) {
			w := newWorld(t, Options{})
			o := LimiterOptions{Clock: w.clock.Now}
			if shared {
				o.Store = w.store
			}
			limiter := NewLimiter(o)
			m := w.another(Options{Limiter: limiter})
			rate := identity.Rate{Requests: 3, Per: time.Minute}
			text, k := w.make(func(n *New) { n.Rate = rate })
			for i := range 3 {
				q, slow := ask(t, m, text)
				if slow != nil || q.Rate != rate || q.Remaining != 2-i || q.Reset != time.Duration(i+1)*20*time.Second {
					t.Fatalf("%d: %+v, %v", i, q, slow)
				}
			}
			for range 3 { // refused, it takes nothing: the wait does not grow
				_, slow := ask(t, m, text)
				if slow == nil || slow.Retry != 20*time.Second || slow.Quota.Remaining != 0 || slow.Quota.Reset != time.Minute ||
					slow.Quota.Rate != rate || slow.Who.Credential != "key:"+k.ID {
					t.Fatalf("%+v", slow)
				}
			}
			t.Run("a new configuration keeps the count", func(t *testing.T) {
				next := w.another(Options{Limiter: limiter})
				m.Close()
				if _, slow := ask(t, next, text); slow == nil {
					t.Error("a reload gives the whole limit again")
				}
				m = next
			})
			w.clock.pass(20*time.Second - time.Microsecond)
			if _, slow := ask(t, m, text); slow == nil || slow.Retry != time.Microsecond {
				t.Errorf("%+v", slow)
			}
			w.clock.pass(time.Microsecond)
			if q, slow := ask(t, m, text); slow != nil || q.Remaining != 0 {
				t.Errorf("%+v, %v", q, slow)
			}
			if _, slow := ask(t, m, text); slow == nil {
				t.Error("two for the time of one")
			}
			w.clock.pass(time.Minute)
			if q, slow := ask(t, m, text); slow != nil || q.Remaining != 2 {
				t.Errorf("%+v, %v", q, slow)
			}
			if n := w.store.charges.Load(); (n > 0) != shared {
				t.Errorf("%d charges of the store", n)
			}
		})
	}
}

func TestWhoseRate(t *testing.T) {
	w := newWorld(t, Options{})
	w.accounts.change(func(a *identity.Account) { a.Rate = identity.Rate{Requests: 2, Per: time.Hour} })
	one, _ := w.make()
	two, _ := w.make()
	own, _ := w.make(func(n *New) { n.Rate = identity.Rate{Requests: 5, Per: time.Hour} })
	t.Run("each key for itself", func(t *testing.T) {
		for _, text := range []string{one, two} {
			for range 2 {
				if _, slow := ask(t, w.Manager, text); slow != nil {
					t.Error(slow)
				}
			}
			if _, slow := ask(t, w.Manager, text); slow == nil || slow.Quota.Rate.Requests != 2 {
				t.Error("not throttled by the owner's rate")
			}
		}
	})
	t.Run("the key's own, if it has one, also when it is the greater", func(t *testing.T) {
		for i := range 6 {
			if _, slow := ask(t, w.Manager, own); (slow != nil) != (i == 5) {
				t.Errorf("%d: %v", i, slow)
			}
		}
	})
	t.Run("another rate of the owner holds from the next request on", func(t *testing.T) {
		w.accounts.change(func(a *identity.Account) { a.Rate = identity.Rate{Requests: 100, Per: time.Second} })
		if q, slow := ask(t, w.Manager, one); slow != nil || q.Rate.Requests != 100 {
			t.Error(q, slow)
		}
	})
	t.Run("only a key that is right in everything else is charged", func(t *testing.T) {
		w := newWorld(t, Options{})
		text, _ := w.make(func(n *New) {
			n.Rate, n.Networks = identity.Rate{Requests: 1, Per: time.Hour}, []string{home.String()}
		})
		for range 5 {
			w.out(forge(text[:40] + "00000000"))
			w.out(text[:53] + "-")
			refused(t, w.Manager, text, home.Next())
			w.accounts.change(func(a *identity.Account) { a.Disabled = true })
			w.out(text)
			w.accounts.change(func(a *identity.Account) { a.Disabled = false })
		}
		if _, slow := ask(t, w.Manager, text); slow != nil {
			t.Error("a stranger used up the limit")
		}
	})
}

func TestLimitOf(t *testing.T) {
	for rate, every := range map[identity.Rate]time.Duration{
		{Requests: 60, Per: time.Minute}:          time.Second,
		{Requests: 7, Per: time.Second}:           142858 * time.Microsecond,
		{Requests: 600_000, Per: time.Second}:     2 * time.Microsecond,
		{Requests: 1_000_000, Per: time.Second}:   time.Microsecond,
		{Requests: 1 << 40, Per: time.Nanosecond}: time.Microsecond,
		{Requests: 3, Per: time.Microsecond}:      time.Microsecond,
		{Requests: 1, Per: 1<<63 - 1}:             100 * 365 * day,
	} {
		l := limitOf(rate)
		if l.Burst != rate.Requests || l.Every != every {
			t.Errorf("%v: %+v, want each %v", rate, l, every)
		}
		if _, ok := store.NewRate(l, 1); !ok {
			t.Errorf("%v: %+v allows nothing", rate, l)
		}
	}
}

// TestStoreAway: the local limit that holds while the store does not count.
func TestStoreAway(t *testing.T) {
	w := newWorld(t, Options{})
	var log bytes.Buffer
	limiter := NewLimiter(LimiterOptions{Store: w.store, Clock: w.clock.Now, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	m := w.another(Options{Limiter: limiter})
	text, _ := w.make(func(n *New) { n.Rate = identity.Rate{Requests: 10, Per: time.Hour} })
	allowed := func() (n int) {
		for range 30 {
			if _, slow := ask(t, m, text); slow == nil {
				n++
			}
		}
		return n
	}
	for range 4 {
		ask(t, m, text)
	}
	w.store.fail(store.ErrUnavailable)
	charges := w.store.charges.Load()
	if n := allowed(); n != 10 {
		t.Errorf("%d are allowed, want the key's rate", n)
	}
	if n := w.store.charges.Load() - charges; n != 1 {
		t.Errorf("the store was asked %d times within a second", n)
	}
	w.clock.pass(time.Second)
	allowed()
	if n := w.store.charges.Load() - charges; n != 2 {
		t.Errorf("the store was asked %d times within two seconds", n)
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=WARN") {
		t.Errorf("log: %s", got)
	}
	w.store.fail(nil)
	w.clock.pass(time.Second)
	if n := allowed(); n != 6 {
		t.Errorf("back: %d are allowed, want what the store had counted to be left", n)
	}
	if got := log.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "again") {
		t.Errorf("log: %s", got)
	}
}

func TestChargeErrors(t *testing.T) {
	w := newWorld(t, Options{})
	m := w.another(Options{Limiter: NewLimiter(LimiterOptions{Store: w.store, Clock: w.clock.Now})})
	text, _ := w.make(func(n *New) { n.Rate = identity.Rate{Requests: 10, Per: time.Hour} })
	ask(t, m, text)
	t.Run("a mistake is no pass", func(t *testing.T) {
		w.store.fail(store.ErrKey)
		id, _, err := m.Identify(t.Context(), text, home)
		if id != nil || !errors.Is(err, store.ErrKey) || errors.Is(err, identity.ErrUnknown) {
			t.Error(id, err)
		}
		w.store.fail(nil)
	})
	t.Run("a caller who hangs up says nothing about the store", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		id, _, err := m.Identify(ctx, text, home)
		if id != nil || !errors.Is(err, context.Canceled) || errors.Is(err, identity.ErrUnknown) {
			t.Error(id, err)
		}
		if m.limiter.away.Load() {
			t.Error("the store is taken for away")
		}
	})
}

// slow is a store that counts nothing until its context ends.
type slow struct {
	store.Store
	asked atomic.Int64
}

func (s *slow) Charge(ctx context.Context, _ string, _ store.Limit, _ int) (store.Allowance, error) {
	s.asked.Add(1)
	<-ctx.Done()
	return store.Allowance{}, errors.Join(store.ErrUnavailable, ctx.Err())
}

// TestStoreHangs: a request waits a second, the next ones not at all.
func TestStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(slow)
		l := NewLimiter(LimiterOptions{Store: s})
		charge := func() (took time.Duration) {
			start := time.Now()
			if a, err := l.charge(t.Context(), "k", identity.Rate{Requests: 1000, Per: time.Hour}); err != nil || !a.Allowed {
				t.Error(a, err)
			}
			return time.Since(start)
		}
		if d := charge(); d != chargeWithin {
			t.Errorf("the first took %v", d)
		}
		for range 100 {
			if d := charge(); d != 0 {
				t.Errorf("one more took %v", d)
			}
		}
		time.Sleep(askAgain)
		var all sync.WaitGroup
		var waited atomic.Int64
		for range 100 {
			all.Go(func() {
				if charge() > 0 {
					waited.Add(1)
				}
			})
		}
		all.Wait()
		if n := waited.Load(); n != 1 || s.asked.Load() != 2 {
			t.Errorf("%d waited, the store was asked %d times", n, s.asked.Load())
		}
	})
}

func TestLocal(t *testing.T) {
	limit := store.Limit{Burst: 2, Every: time.Minute}
	entries := func(l *local) (n int) {
		for i := range l.parts {
			n += len(l.parts[i].back)
		}
		return n
	}
	t.Run("many at once get the limit and no more", func(t *testing.T) {
		l := newLocal()
		var all sync.WaitGroup
		var allowed atomic.Int64
		for range 50 {
			all.Go(func() {
				for range 100 {
					if l.charge("k", store.Limit{Burst: 70, Every: time.Minute}, 0).Allowed {
						allowed.Add(1)
					}
				}
			})
		}
		all.Wait()
		if n := allowed.Load(); n != 70 {
			t.Errorf("%d", n)
		}
	})
	t.Run("idle entries are forgotten", func(t *testing.T) {
		l := newLocal()
		for i := range 200_000 {
			l.charge(fmt.Sprint(i), limit, time.Duration(i)*time.Second) // idle a minute later
		}
		if n := entries(l); n > 2*tidyAt*len(l.parts) {
			t.Errorf("%d entries", n)
		}
	})
	t.Run("those in use stay, whoever else comes", func(t *testing.T) {
		l := newLocal()
		l.charge("mine", limit, 0)
		l.charge("mine", limit, 0)
		for i := range 50_000 {
			l.charge(fmt.Sprint(i), limit, 0)
		}
		if a := l.charge("mine", limit, 0); a.Allowed {
			t.Error("pushed out")
		}
		if n := entries(l); n != 50_001 {
			t.Errorf("%d entries", n)
		}
	})
	t.Run("bounded, also when more keys are in use than there is room: the one that loses least goes", func(t *testing.T) {
		l := newLocal()
		l.most = 100
		for i := range 50_000 {
			l.charge(fmt.Sprint(i), limit, 0)
		}
		if n := entries(l); n > 100*len(l.parts) {
			t.Errorf("%d entries", n)
		}
	})
	t.Run("what is refused takes no room", func(t *testing.T) {
		l := newLocal()
		if a := l.charge("k", store.Limit{}, 0); a != (store.Allowance{}) || entries(l) != 0 {
			t.Error(a)
		}
	})
	t.Run("a clock that was set back throttles for no longer than the limit's time", func(t *testing.T) {
		l := newLocal()
		l.charge("k", limit, 1000*time.Hour)
		if a := l.charge("k", limit, 0); a.Allowed || a.Retry != time.Minute {
			t.Errorf("%+v", a)
		}
		if a := l.charge("k", limit, time.Minute); !a.Allowed {
			t.Errorf("%+v", a)
		}
	})
}
