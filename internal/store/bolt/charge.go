package bolt

import (
	"context"
	"fmt"
	"time"

	bbolt "go.etcd.io/bbolt"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

// Charge takes from an allowance. One that is refused, or only looks, costs no
// disk sync, so that a flood of guesses does not wear on the disk.
func (s *Store) Charge(ctx context.Context, key string, limit store.Limit, cost int) (store.Allowance, error) {
	if err := store.CheckKey(key); err != nil {
		return store.Allowance{}, err
	}
	rate, ok := store.NewRate(limit, cost)
	if !ok {
		return store.Allowance{}, s.view(ctx, func(*bbolt.Tx) error { return nil })
	}
	var a store.Allowance
	var ahead int64
	err := s.view(ctx, func(tx *bbolt.Tx) error {
		var err error
		_, ahead, err = aheadOf(tx.Bucket(chargeBucket), s.now(), key)
		return err
	})
	if err != nil {
		return store.Allowance{}, err
	}
	after, allowed := rate.Charge(ahead)
	if !allowed || cost == 0 {
		return rate.Allowance(after, allowed), nil
	}
	err = s.write(ctx, "", 0, func(t *txn) (bool, error) {
		known, ahead, err := aheadOf(t.charge, t.now, key)
		if err != nil {
			return false, err
		}
		after, allowed := rate.Charge(ahead)
		if allowed {
			t.setCharge(key, known, after)
		}
		a = rate.Allowance(after, allowed)
		return allowed, nil
	})
	if err != nil {
		return store.Allowance{}, err
	}
	return a, nil
}

// aheadOf returns in how many µs the full burst of key is back.
func aheadOf(charge *bbolt.Bucket, now time.Time, key string) (known bool, ahead int64, err error) {
	k := []byte(key)
	b := charge.Get(k)
	if b == nil {
		return false, 0, nil
	}
	back, _, err := decode(chargeSpace, k, b)
	if err != nil {
		return true, 0, fmt.Errorf("the charges of %q: %w", key, err)
	}
	return true, back - now.UnixMicro(), nil
}

// setCharge writes when the full burst of key is back. Its place among those
// that expire is only noted once, and moved on by the sweeper: it changes with
// every charge.
func (t *txn) setCharge(key string, known bool, after int64) {
	k := []byte(key)
	back := t.now.UnixMicro() + after
	t.put(t.charge, k, encode(chargeSpace, k, back, nil))
	if !known {
		t.indexCharge(k, back)
	}
}

func (t *txn) indexCharge(k []byte, back int64) {
	i := indexKey(back/1000+1, chargeSpace, k)
	t.put(t.expiry, i, indexValue(i))
}
