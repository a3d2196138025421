package session

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-proxy/gatehouse/internal/identity"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

// brief is a store whose copies are good for a moment, as Redis's are, and that
// answers for a session only once its owner is being asked for.
type brief struct {
	store.Store
	asked chan struct{}
	late  bool
}

func (b *brief) Trust() time.Duration { return time.Millisecond }

func (b *brief) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if b.asked != nil && strings.HasPrefix(key, keyPrefix) {
		select {
		case <-b.asked:
		case <-time.After(5 * time.Second):
			b.late = true
		}
	}
	return b.Store.Get(ctx, key)
}

// asking tells when an account is asked for.
type asking struct {
	Accounts
	asked chan struct{}
}

func (a *asking) Account(ctx context.Context, name string) (*identity.Account, bool, error) {
	select {
	case a.asked <- struct{}{}:
	default:
	}
	return a.Accounts.Account(ctx, name)
}

func TestSessionAndOwnerCostOneRoundTrip(t *testing.T) {
	w := newWorld(t, Options{})
	b := &brief{Store: w.store}
	a := &asking{Accounts: w.accounts, asked: make(chan struct{}, 1)}
	m := NewManager(b, Options{Accounts: a, Clock: w.clock.Now})
	t.Cleanup(m.Close)
	token, _ := w.login()
	if _, err := m.Identify(context.Background(), token); err != nil {
		t.Fatal(err)
	}
	<-a.asked
	time.Sleep(5 * time.Millisecond) // the copies are no longer good
	b.asked = a.asked
	if _, err := m.Identify(context.Background(), token); err != nil {
		t.Fatal(err)
	}
	if b.late {
		t.Error("the owner was asked for only after the session had been read")
	}
}
