package key_test

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/key"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/store/bolt"
	"github.com/gatehouse-proxy/gatehouse/internal/store/redis"
	"github.com/gatehouse-proxy/gatehouse/internal/store/storetest"
)

var home = netip.MustParseAddr("192.0.2.7")

// instance is what one process has: its own view of the store and the keys.
type instance struct {
	store    store.Store
	accounts *owners
	limiter  *key.Limiter
	keys     *key.Manager
	log      *bytes.Buffer
}

// owners has one, alice, who always is the same.
type owners struct{ alice identity.Account }

func (o *owners) Account(_ context.Context, name string) (*identity.Account, bool, error) {
	return &o.alice, name == "alice", nil
}

func newInstance(t testing.TB, s store.Store, shared store.Store) *instance {
	t.Helper()
	i := &instance{store: s, accounts: &owners{identity.Account{ID: "usr_1", Username: "alice", Scopes: []string{"reports:read"}}}, log: new(bytes.Buffer)}
	i.limiter = key.NewLimiter(key.LimiterOptions{Store: shared, Logger: slog.New(slog.NewTextHandler(i.log, nil))})
	i.keys = i.manager(t)
	t.Cleanup(func() { _ = s.Close() })
	return i
}

// manager is one more of the same process, as after a reload.
func (i *instance) manager(t testing.TB) *key.Manager {
	m := key.NewManager(i.store, key.Options{Accounts: i.accounts, Limiter: i.limiter})
	t.Cleanup(m.Close)
	return m
}

func onBolt(t testing.TB) *instance {
	t.Helper()
	s, err := bolt.Open(context.Background(), filepath.Join(t.TempDir(), "test.db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return newInstance(t, s, nil)
}

func onRedis(t testing.TB, url string) *instance {
	t.Helper()
	s, err := redis.Open(url, redis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return newInstance(t, s, s)
}

func (i *instance) make(t testing.TB, n key.New) (text string, k *key.Key) {
	t.Helper()
	n.Owner, n.Scopes = "alice", []string{"reports:read"}
	text, k, err := i.keys.Create(context.Background(), n)
	if err != nil {
		t.Fatal(err)
	}
	return text, k
}

func (i *instance) rotate(t testing.TB, id string, grace time.Duration) (text string, k *key.Key) {
	t.Helper()
	text, k, err := i.keys.Rotate(context.Background(), id, grace)
	if err != nil {
		t.Fatal(err)
	}
	return text, k
}

func (i *instance) in(t testing.TB, text string) {
	t.Helper()
	if id, _, err := i.keys.Identify(context.Background(), text, home); err != nil || id.Username != "alice" {
		t.Fatal(id, err)
	}
}

// refused says that a text is unknown now; other errors fail the test.
func (i *instance) refused(t testing.TB, text string) bool {
	t.Helper()
	_, _, err := i.keys.Identify(context.Background(), text, home)
	if err != nil && !errors.Is(err, identity.ErrUnknown) {
		t.Fatal(err)
	}
	return err != nil
}

// guess is a well-formed key of an id, whose secret is wrong.
func guess(id string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	text := "gh_" + id + "_" + strings.Repeat("A", 32)
	n, sum := crc32.ChecksumIEEE([]byte(text)), ""
	for range 6 {
		sum = string(digits[n%62]) + sum
		n /= 62
	}
	return text + sum
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

// TestTwoInstances: two processes on one Redis.
func TestTwoInstances(t *testing.T) {
	ctx := context.Background()
	server := storetest.Redis(t)
	here, there := onRedis(t, server.URL()), onRedis(t, server.URL())
	t.Run("a key that was made here is good there at once", func(t *testing.T) {
		text, k := here.make(t, key.New{})
		there.in(t, text)
		if got, err := there.keys.Get(ctx, k.ID); err != nil || got.OwnerID != "usr_1" {
			t.Error(got, err)
		}
	})
	t.Run("a new secret is good there at once", func(t *testing.T) {
		for range 20 {
			text, k := here.make(t, key.New{})
			there.in(t, text)
			text, _ = here.rotate(t, k.ID, 0)
			there.in(t, text)
		}
	})
	t.Run("a revoked key is refused within a second, and its connections end", func(t *testing.T) {
		text, k := here.make(t, key.New{})
		id, _, err := there.keys.Identify(ctx, text, home)
		if err != nil {
			t.Fatal(err)
		}
		if err := here.keys.Revoke(ctx, k.ID); err != nil {
			t.Fatal(err)
		}
		if !here.refused(t, text) {
			t.Error("still in where it was revoked")
		}
		within(t, time.Second, "the revocation", func() bool { return there.refused(t, text) })
		if alive, err := there.keys.Alive(ctx, id); alive || err != nil {
			t.Error(alive, err)
		}
	})
	t.Run("a secret that was rotated away is refused within a second", func(t *testing.T) {
		text, k := here.make(t, key.New{})
		there.in(t, text)
		here.rotate(t, k.ID, 0)
		within(t, time.Second, "the rotation", func() bool { return there.refused(t, text) })
	})
	t.Run("uses add up", func(t *testing.T) {
		text, k := here.make(t, key.New{})
		one, two := &instance{keys: here.manager(t)}, &instance{keys: there.manager(t)}
		var all sync.WaitGroup
		for n, i := range map[int]*instance{30: one, 70: two} {
			all.Go(func() {
				for range n {
					i.in(t, text)
				}
				i.keys.Close()
			})
		}
		all.Wait()
		if got, err := here.keys.Get(ctx, k.ID); err != nil || got.Uses != 100 || got.LastUsed.IsZero() {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("all keys of an owner", func(t *testing.T) {
		list, err := there.keys.List(ctx, "alice", "", 1000)
		if err != nil || len(list) < 20 {
			t.Fatal(len(list), err)
		}
		if n, err := here.keys.RevokeOwner(ctx, "alice"); err != nil || n != len(list) {
			t.Error(n, err)
		}
		if list, err := there.keys.List(ctx, "", "", 1000); err != nil || len(list) != 0 {
			t.Error(len(list), err)
		}
	})
}

// TestOneLimitOverTwoInstances: 200 requests at a time on two instances get the
// limit, and not one more.
func TestOneLimitOverTwoInstances(t *testing.T) {
	server := storetest.Redis(t)
	here, there := onRedis(t, server.URL()), onRedis(t, server.URL())
	const limit = 100
	text, _ := here.make(t, key.New{Rate: identity.Rate{Requests: limit, Per: 24 * time.Hour}})
	flood := func(managers ...*key.Manager) (allowed, throttled int64) {
		var a, s atomic.Int64
		var all sync.WaitGroup
		start := make(chan struct{})
		for n := range 200 {
			all.Go(func() {
				<-start
				_, _, err := managers[n%len(managers)].Identify(context.Background(), text, home)
				var slow *identity.ThrottledError
				switch {
				case err == nil:
					a.Add(1)
				case errors.As(err, &slow):
					s.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		close(start)
		all.Wait()
		return a.Load(), s.Load()
	}
	if allowed, throttled := flood(here.keys, there.keys); allowed != limit || throttled != limit {
		t.Errorf("%d allowed, %d throttled; want %d of each", allowed, throttled, limit)
	}
	t.Run("also after a reload of both", func(t *testing.T) {
		one, two := here.manager(t), there.manager(t)
		here.keys.Close()
		there.keys.Close()
		if allowed, throttled := flood(one, two); allowed != 0 || throttled != 200 {
			t.Errorf("%d allowed, %d throttled", allowed, throttled)
		}
	})
	if here.log.Len()+there.log.Len() > 0 {
		t.Error(here.log, there.log)
	}
}

// TestRedisRefusesToCount: keys are read, but no request is counted: Redis is
// full. Then each instance holds a key to its rate.
func TestRedisRefusesToCount(t *testing.T) {
	server := storetest.Redis(t)
	i := onRedis(t, server.URL())
	text, _ := i.make(t, key.New{Rate: identity.Rate{Requests: 10, Per: 24 * time.Hour}})
	i.in(t, text)
	server.Command(t, "CONFIG", "SET", "maxmemory", "1")
	allowed := 0
	for range 50 {
		_, _, err := i.keys.Identify(context.Background(), text, home)
		var slow *identity.ThrottledError
		if err == nil {
			allowed++
		} else if !errors.As(err, &slow) {
			t.Fatal(err)
		}
	}
	if allowed != 10 {
		t.Errorf("%d are allowed", allowed)
	}
	if log := i.log.String(); strings.Count(log, "\n") != 1 {
		t.Errorf("log: %s", log)
	}
	server.Command(t, "CONFIG", "SET", "maxmemory", "0")
	within(t, 10*time.Second, "counting in Redis again", func() bool {
		_, _, _ = i.keys.Identify(context.Background(), text, home)
		return strings.Contains(i.log.String(), "again")
	})
}

// TestRedisAway: then nobody is unknown, and back they are in again.
func TestRedisAway(t *testing.T) {
	ctx := context.Background()
	server := storetest.Redis(t, "--appendonly", "yes", "--appendfsync", "always")
	i := onRedis(t, server.URL())
	text, k := i.make(t, key.New{Rate: identity.Rate{Requests: 1_000_000, Per: time.Minute}})
	i.in(t, text)
	server.Stop()
	within(t, 10*time.Second, "the loss", func() bool {
		_, _, err := i.keys.Identify(ctx, text, home)
		if err != nil && (!errors.Is(err, store.ErrUnavailable) || errors.Is(err, identity.ErrUnknown)) {
			t.Fatal(err)
		}
		return err != nil
	})
	if err := i.keys.Revoke(ctx, k.ID); !errors.Is(err, store.ErrUnavailable) {
		t.Error(err)
	}
	server.Restart(t)
	within(t, 10*time.Second, "the recovery", func() bool {
		_, _, err := i.keys.Identify(ctx, text, home)
		if errors.Is(err, identity.ErrUnknown) {
			t.Fatal("a fault of the store was taken for a revocation")
		}
		return err == nil
	})
}
