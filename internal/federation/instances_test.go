package federation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/oidc"
	"github.com/gatehouse-proxy/gatehouse/internal/session"
	"github.com/gatehouse-proxy/gatehouse/internal/store/redis"
	"github.com/gatehouse-proxy/gatehouse/internal/store/storetest"
)

// together has a cookie used n times at once on each instance, and says as whom.
func together(t testing.TB, token string, n int, instances ...*instance) map[string]int {
	t.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]int{}
	for _, i := range instances {
		for range n {
			all.Go(func() {
				id, err := i.Identify(context.Background(), token)
				who := fmt.Sprint(err)
				if err == nil {
					who = strings.Join(id.Roles, " ")
				}
				mu.Lock()
				defer mu.Unlock()
				seen[who]++
			})
		}
	}
	all.Wait()
	return seen
}

// TestManyAskAsOne: parallel requests on several instances make one call, and all
// use its result.
func TestManyAskAsOne(t *testing.T) {
	bubble(t, "who loses uses the winner's result", func(t *testing.T, w *world) {
		w.provider.slowly(time.Second)
		token, _ := w.signIn()
		other := w.another()
		time.Sleep(recheck)
		if seen := together(t, token, 25, w.instance, other); seen["role-2"] != 50 {
			t.Error(seen)
		}
		w.provider.called(t, 1)
		if got := w.leases(); len(got) != 0 {
			t.Errorf("%+v", got)
		}
	})
	bubble(t, "a no is everybody's", func(t *testing.T, w *world) {
		token, _ := w.signIn()
		other := w.another()
		time.Sleep(recheck)
		w.provider.do(func(context.Context, int, *oidc.Login) (*oidc.Login, error) {
			time.Sleep(time.Second)
			return nil, oidc.ErrRevoked
		})
		if seen := together(t, token, 25, w.instance, other); seen[identity.ErrUnknown.Error()] != 50 {
			t.Error(seen)
		}
		w.provider.called(t, 1)
		if n := len(w.ended.list()) + len(other.ended.list()); n != 1 {
			t.Errorf("%d were told of", n)
		}
	})
	bubble(t, "no answer is everybody's, and nobody else tries for as long", func(t *testing.T, w *world) {
		token, _ := w.signIn()
		one, two := w.another(), w.another()
		time.Sleep(recheck)
		w.provider.do(func(context.Context, int, *oidc.Login) (*oidc.Login, error) {
			time.Sleep(time.Second)
			return nil, oidc.ErrUnavailable
		})
		if seen := together(t, token, 10, w.instance, one); seen["role-1"] != 20 {
			t.Error(seen)
		}
		time.Sleep(firstPause - 5*time.Second)
		took(t, 0, func() { two.in(token) }) // one that was not there learns of it
		w.provider.called(t, 1)
		time.Sleep(10 * time.Second)
		if seen := together(t, token, 10, w.instance, one, two); seen["role-1"] != 30 {
			t.Error(seen)
		}
		settle()
		w.provider.called(t, 2)
	})
	bubble(t, "who holds the lease and dies frees it, and nobody waits that long", func(t *testing.T, w *world) {
		token, s := w.signIn()
		time.Sleep(recheck)
		dead, err := json.Marshal(leaseRecord{Owner: "dead"})
		if err != nil {
			t.Fatal(err)
		}
		if created, err := w.store.Create(t.Context(), leasePrefix+s.ID, dead, leaseFor); !created || err != nil {
			t.Fatal(created, err)
		}
		took(t, 5*time.Second, func() { w.in(token) })
		took(t, 0, func() { w.in(token) })
		w.provider.called(t, 0)
		time.Sleep(leaseFor - 4*time.Second)
		if got := w.roles(token); got != "role-2" {
			t.Error(got)
		}
		w.provider.called(t, 1)
	})
	bubble(t, "a call that takes longer than a lease keeps it", func(t *testing.T, w *world) {
		w.provider.slowly(25 * time.Second)
		token, _ := w.signIn()
		other := w.another()
		time.Sleep(recheck)
		for range 24 {
			together(t, token, 3, w.instance, other)
			time.Sleep(time.Second)
		}
		time.Sleep(5 * time.Second)
		w.provider.called(t, 1)
		for _, i := range []*instance{w.instance, other} {
			if got := i.roles(token); got != "role-2" {
				t.Error(got)
			}
		}
	})
	bubble(t, "whoever lost the lease does not believe a no, which may be an answer to asking twice", func(t *testing.T, w *world) {
		token, s := w.signIn()
		other := w.another()
		time.Sleep(recheck)
		w.provider.do(func(ctx context.Context, calls int, l *oidc.Login) (*oidc.Login, error) {
			if calls > 1 {
				return w.provider.rotate(l.Issuer, l.Subject, l.Tokens)
			}
			// The store loses the lease, and another instance asks with the same token.
			if _, err := w.store.Store.Delete(ctx, leasePrefix+s.ID); err != nil {
				t.Error(err)
			}
			if got := other.roles(token); got != "role-2" {
				t.Error(got)
			}
			return w.provider.rotate(l.Issuer, l.Subject, l.Tokens) // used twice: refused
		})
		w.in(token)
		settle()
		if got := w.roles(token); got != "role-2" {
			t.Error(got)
		}
		w.provider.called(t, 2)
		if n := len(w.ended.list()) + len(other.ended.list()); n != 0 {
			t.Errorf("%d ended", n)
		}
	})
	bubble(t, "nor does it while the other has not stored its answer yet", func(t *testing.T, w *world) {
		token, s := w.signIn()
		time.Sleep(recheck)
		w.provider.do(func(ctx context.Context, _ int, _ *oidc.Login) (*oidc.Login, error) {
			raw, _ := json.Marshal(leaseRecord{Owner: "another"})
			if err := w.store.Put(ctx, leasePrefix+s.ID, raw, leaseFor); err != nil {
				t.Error(err)
			}
			return nil, oidc.ErrRevoked
		})
		w.in(token)
		settle()
		w.in(token)
		if got := w.leases(); len(got) != 1 || got[0].Owner != "another" { // and leaves the other's lease alone
			t.Errorf("%+v", got)
		}
	})
	for name, change := range map[string]func(w *world, token string) func(*session.Session) error{
		"nor of a login that was checked meanwhile": func(*world, string) func(*session.Session) error {
			return func(s *session.Session) error { s.Checked = time.Now(); return nil }
		},
		"nor of tokens that were replaced meanwhile": func(w *world, token string) func(*session.Session) error {
			return func(s *session.Session) error {
				k, _ := session.SealKey(token)
				return w.sessions.Reseal(k, s, []byte(`{"a":"new","t":"Bearer"}`))
			}
		},
	} {
		bubble(t, name, func(t *testing.T, w *world) {
			token, s := w.signIn()
			time.Sleep(recheck)
			w.provider.do(func(ctx context.Context, _ int, _ *oidc.Login) (*oidc.Login, error) {
				time.Sleep(time.Second)
				if _, err := w.sessions.Update(ctx, s.ID, change(w, token)); err != nil {
					t.Error(err)
				}
				return nil, oidc.ErrRevoked
			})
			w.in(token)
			if got := w.ended.list(); len(got) != 0 {
				t.Errorf("%+v", got)
			}
		})
	}
	bubble(t, "who comes after it is done asks no more", func(t *testing.T, w *world) {
		token, s := w.signIn()
		other := w.another()
		time.Sleep(recheck)
		old, err := other.sessions.Recall(t.Context(), s.ID)
		if err != nil {
			t.Fatal(err)
		}
		w.in(token)
		k := other.entries["id"]
		other.in(token)
		watch, _ := other.watches.Get(s.ID)
		f, _ := other.start(k, old, watch) // as an instance whose copy is old
		if outcome, err := f.wait(t.Context()); outcome != answered || err != nil {
			t.Error(outcome, err)
		}
		w.provider.called(t, 1)
	})
}

func onRedis(t testing.TB, url string, p *provider, change ...func(*Entry)) *instance {
	t.Helper()
	s, err := redis.Open(url, redis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return newInstance(t, s, p, change...)
}

func within(t testing.TB, limit time.Duration, what string, done func() bool) {
	t.Helper()
	start := time.Now()
	for !done() {
		if time.Since(start) > limit {
			t.Fatalf("%s: not within %v", what, limit)
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Logf("%s: after %v", what, time.Since(start).Round(time.Millisecond))
}

// refused says that a cookie is unknown now; other errors fail the test.
func (i *instance) refused(token string) bool {
	i.t.Helper()
	_, err := i.Identify(context.Background(), token)
	if err != nil && !errors.Is(err, identity.ErrUnknown) {
		i.t.Fatal(err)
	}
	return err != nil
}

// TestTwoInstances: two processes on one Redis. Their clocks are ahead, so that
// every login is overdue.
func TestTwoInstances(t *testing.T) {
	ctx := context.Background()
	url := storetest.Redis(t).URL()
	p := newProvider()
	here, there := onRedis(t, url, p), onRedis(t, url, p)
	w := &world{instance: here, provider: p}
	var passed time.Duration
	var mu sync.Mutex
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Add(passed)
	}
	pass := func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		passed += d
	}
	here.clock, there.clock = clock, clock
	t.Run("fifty requests at once make one call", func(t *testing.T) {
		token, _ := w.signIn()
		here.in(token)
		there.in(token)
		for round := range 5 {
			before := p.count()
			pass(recheck)
			seen := together(t, token, 25, here, there)
			if len(seen) != 1 || p.count() != before+1 {
				t.Errorf("round %d: %v, and %d calls", round, seen, p.count()-before)
			}
		}
	})
	t.Run("a no is heard on both within a second", func(t *testing.T) {
		token, _ := w.signIn()
		id := here.in(token)
		there.in(token)
		pass(recheck)
		p.fails(oidc.ErrRevoked)
		here.out(token)
		p.do(nil)
		within(t, time.Second, "the end", func() bool { return there.refused(token) })
		there.alive(id, false)
	})
	t.Run("a back-channel logout, too, and live connections end", func(t *testing.T) {
		for name, l := range map[string]oidc.Logout{
			"a session": {Issuer: issuer, SID: "sid of a session", ID: "jti-1"},
			"a person":  {Issuer: issuer, Subject: "1001", ID: "jti-2"},
		} {
			token, _ := w.signIn(func(l *oidc.Login) { l.SID = "sid of " + name })
			id := there.in(token)
			if n, err := here.Logout(ctx, here.entry(), &l); n < 1 || err != nil {
				t.Error(name, n, err)
			}
			here.out(token)
			within(t, time.Second, name, func() bool { return there.refused(token) })
			there.alive(id, false)
			if _, err := there.Logout(ctx, there.entry(), &l); !errors.Is(err, ErrReplayed) {
				t.Error(name, err)
			}
		}
	})
}
