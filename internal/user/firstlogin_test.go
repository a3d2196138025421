package user

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/store/bolt"
	"github.com/gatehouse-proxy/gatehouse/internal/store/redis"
	"github.com/gatehouse-proxy/gatehouse/internal/store/storetest"
)

// hooked is a store whose process dies after a number of writes, and that tells
// of writes before they are made.
type hooked struct {
	store.Store
	mu       sync.Mutex
	writes   int
	dieAfter int // 0: never
	onSwap   func(key string)
	onCreate func(key string)
}

func (h *hooked) write() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dieAfter > 0 && h.writes >= h.dieAfter {
		return store.ErrUnavailable
	}
	h.writes++
	return nil
}

func (h *hooked) Create(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if h.onCreate != nil {
		h.onCreate(key)
	}
	if err := h.write(); err != nil {
		return false, err
	}
	return h.Store.Create(ctx, key, value, ttl)
}

func (h *hooked) Swap(ctx context.Context, key string, old, value []byte, ttl time.Duration) (bool, error) {
	if h.onSwap != nil {
		h.onSwap(key)
	}
	if err := h.write(); err != nil {
		return false, err
	}
	return h.Store.Swap(ctx, key, old, value, ttl)
}

func (h *hooked) Take(ctx context.Context, key string) ([]byte, bool, error) {
	if err := h.write(); err != nil {
		return nil, false, err
	}
	return h.Store.Take(ctx, key)
}

func (h *hooked) Delete(ctx context.Context, key string) (bool, error) {
	if err := h.write(); err != nil {
		return false, err
	}
	return h.Store.Delete(ctx, key)
}

// TestDeathBetweenWrites: a process that dies after any of its writes leaves a
// state in which the next try ends as the first would have.
func TestDeathBetweenWrites(t *testing.T) {
	for name, c := range map[string]struct {
		before func(t *testing.T, d *Directory)
		do     func(d *Directory) error
		want   []string // all users afterwards
		leads  string
	}{
		"a first login": {
			do: func(d *Directory) error {
				_, err := d.AddFederated(context.Background(), New{}, aliceAtGoogle, []string{"bob", "alice"})
				return err
			},
			want: []string{"alice", "bob"}, leads: "alice",
		},
		"a first login whose entry leads to a deleted user": {
			before: func(t *testing.T, d *Directory) {
				first(t, d, aliceAtGoogle, "old")
				if _, err := d.store.Delete(t.Context(), "user/old"); err != nil {
					t.Fatal(err)
				}
			},
			do: func(d *Directory) error {
				_, err := d.AddFederated(context.Background(), New{}, aliceAtGoogle, []string{"alice"})
				return err
			},
			want: []string{"alice", "bob"}, leads: "alice",
		},
		"a link": {
			do: func(d *Directory) error {
				_, err := d.LinkFederated(context.Background(), "bob", aliceAtGoogle)
				return err
			},
			want: []string{"bob"}, leads: "bob",
		},
		"a link by address": {
			do: func(d *Directory) error {
				_, err := d.LinkByEmail(context.Background(), "bob@example.com", aliceAtGoogle)
				return err
			},
			want: []string{"bob"}, leads: "bob",
		},
		"an unlinking": {
			before: func(t *testing.T, d *Directory) {
				if _, err := d.LinkFederated(t.Context(), "bob", aliceAtGoogle); err != nil {
					t.Fatal(err)
				}
			},
			do: func(d *Directory) error {
				_, err := d.UnlinkFederated(context.Background(), "bob", google, "1001")
				if errors.Is(err, ErrNotFound) {
					err = nil // it was done before the process died
				}
				return err
			},
			want: []string{"bob"}, leads: "",
		},
		"a deletion": {
			before: func(t *testing.T, d *Directory) { first(t, d, aliceAtGoogle, "alice") },
			do: func(d *Directory) error {
				err := d.Delete(context.Background(), "alice")
				if errors.Is(err, ErrNotFound) {
					err = nil
				}
				return err
			},
			want: []string{"bob"}, leads: "",
		},
	} {
		for after := 1; ; after++ {
			whole := false
			t.Run(fmt.Sprintf("%s, after %d writes", name, after), func(t *testing.T) {
				s := open(t)
				d := directory(t, s)
				add(t, d, New{Username: "bob", Email: "bob@example.com", EmailVerified: true})
				if c.before != nil {
					c.before(t, d)
				}
				dying := &hooked{Store: s, dieAfter: after}
				broken := directory(t, dying)
				_ = c.do(broken)
				dying.mu.Lock()
				whole = dying.writes < after
				dying.mu.Unlock()
				if u, err := d.FindFederated(t.Context(), google, "1001"); err == nil && u.Username != c.leads && name != "an unlinking" && name != "a deletion" {
					t.Errorf("signed in as %s", u.Username)
				}
				if err := c.do(d); err != nil {
					t.Fatal("tried again:", err)
				}
				leadsTo(t, d, aliceAtGoogle, c.leads)
				if got := everybody(t, d); !slices.Equal(got, c.want) {
					t.Errorf("%q, want %q", got, c.want)
				}
			})
			if whole || after > 20 {
				break
			}
		}
	}
}

func TestFirstLoginsAtOnce(t *testing.T) {
	t.Run("of one person, in one process", func(t *testing.T) {
		s := open(t)
		atOnce(t, directory(t, s), directory(t, s))
	})
	t.Run("of one person, in two processes", func(t *testing.T) {
		url := storetest.Redis(t).URL()
		var dirs []*Directory
		for range 2 {
			s, err := redis.Open(url, redis.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			dirs = append(dirs, directory(t, s))
		}
		atOnce(t, dirs...)
	})
	t.Run("with other candidates: the later one finds the earlier one's user", func(t *testing.T) {
		s := open(t)
		d := directory(t, s)
		h := &hooked{Store: s}
		slow := directory(t, h)
		h.onCreate = func(key string) {
			if key == federatedKey(google, "1001") { // its record is written, its entry is not
				h.onCreate = nil
				first(t, d, aliceAtGoogle, "alice")
			}
		}
		u, err := slow.AddFederated(t.Context(), New{}, aliceAtGoogle, []string{"other"})
		if err != nil || u.Username != "alice" {
			t.Fatal(u, err)
		}
		if got := everybody(t, d); !slices.Equal(got, []string{"alice"}) {
			t.Errorf("left behind: %q", got)
		}
	})
	t.Run("what somebody has changed meanwhile is not thrown away", func(t *testing.T) {
		s := open(t)
		d := directory(t, s)
		h := &hooked{Store: s}
		slow := directory(t, h)
		h.onCreate = func(key string) {
			if key == federatedKey(google, "1001") {
				h.onCreate = nil
				first(t, d, aliceAtGoogle, "alice")
				if _, err := d.Update(t.Context(), "other", func(u *User) error { u.Roles = []string{"kept"}; return nil }); err != nil {
					t.Error(err)
				}
			}
		}
		if u, err := slow.AddFederated(t.Context(), New{}, aliceAtGoogle, []string{"other"}); err != nil || u.Username != "alice" {
			t.Fatal(u, err)
		}
		if u, err := d.Get(t.Context(), "other"); err != nil || u.Disabled {
			t.Error(u, err)
		}
	})
}

// atOnce has many people come for the first time, each several times at once, all
// wanting the same name.
func atOnce(t *testing.T, dirs ...*Directory) {
	t.Helper()
	const people, tries = 5, 6
	var all sync.WaitGroup
	ids := make([][]string, people)
	var mu sync.Mutex
	for i := range people {
		for try := range tries {
			all.Go(func() {
				candidates := []string{"sam"}
				if try%3 == 2 {
					candidates = []string{fmt.Sprint("sam", try), "sam"} // renamed at the provider
				}
				u, err := dirs[try%len(dirs)].AddFederated(context.Background(), New{}, atGoogle(fmt.Sprint(i)), candidates)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				ids[i] = append(ids[i], u.ID)
			})
		}
	}
	all.Wait()
	seen := map[string]int{}
	for i, of := range ids {
		slices.Sort(of)
		if of = slices.Compact(of); len(of) != 1 {
			t.Fatalf("person %d is %d users", i, len(of))
		}
		if other, twice := seen[of[0]]; twice {
			t.Errorf("persons %d and %d are one user", i, other)
		}
		seen[of[0]] = i
		if u, err := dirs[0].FindFederated(t.Context(), google, fmt.Sprint(i)); err != nil || u.ID != of[0] {
			t.Error(u, err)
		}
	}
	if got := everybody(t, dirs[0]); len(got) != people {
		t.Errorf("%d users: %q", len(got), got)
	}
}

// TestFederatedSurvivesARestart: what was linked is in the file.
func TestFederatedSurvivesARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "test.db")
	for range 2 {
		s, err := bolt.Open(t.Context(), file, bolt.Options{})
		if err != nil {
			t.Fatal(err)
		}
		d := NewDirectory(s, Options{})
		if u, err := d.AddFederated(t.Context(), New{}, aliceAtGoogle, []string{"alice"}); err != nil || u.Username != "alice" {
			t.Error(u, err)
		}
		d.Close()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
