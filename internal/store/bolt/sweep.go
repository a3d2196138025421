package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"

	bbolt "go.etcd.io/bbolt"
)

const (
	sweepEvery = time.Minute
	sweepBatch = 500 // per transaction, so that other writes wait for it only briefly
)

// sweeper removes what has expired. Nothing depends on it but the size of the
// file: reads look at the time themselves.
func (s *Store) sweeper() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.closing:
			return
		case <-tick.C:
		}
		for more := true; more && !s.isClosed(); {
			n, err := s.sweep(ctx)
			if err != nil && !s.isClosed() {
				s.log.Error("removing expired records", "file", s.path, "error", err)
			}
			more = err == nil && n == sweepBatch
		}
	}
}

// sweep removes up to sweepBatch records and returns how many it looked at.
func (s *Store) sweep(ctx context.Context) (int, error) {
	var due [][]byte
	err := s.view(ctx, func(tx *bbolt.Tx) error {
		end := indexKey(s.now().UnixMilli()+1, 0, nil)
		c := tx.Bucket(expiryBucket).Cursor()
		for k, _ := c.First(); k != nil && bytes.Compare(k, end) < 0 && len(due) < sweepBatch; k, _ = c.Next() {
			due = append(due, bytes.Clone(k))
		}
		return nil
	})
	if err != nil || len(due) == 0 {
		return 0, err
	}
	err = s.write(ctx, "", 0, func(t *txn) (bool, error) {
		for _, i := range due {
			t.expire(i)
		}
		return true, nil
	})
	return len(due), err
}

// expire removes what an entry of the expiry bucket points to, if that is still
// the time at which it ends.
func (t *txn) expire(i []byte) {
	if t.expiry.Get(i) == nil {
		return
	}
	t.del(t.expiry, i)
	ms, space, k := int64(binary.BigEndian.Uint64(i)), i[8], i[indexHead:]
	switch space {
	case dataSpace:
		if at, _, err := decode(dataSpace, k, t.data.Get(k)); err == nil && at == ms && !live(t.now, at) {
			t.del(t.data, k)
		}
	case chargeSpace:
		back, _, err := decode(chargeSpace, k, t.charge.Get(k))
		switch {
		case err != nil:
		case back <= t.now.UnixMicro():
			t.del(t.charge, k)
		default:
			t.indexCharge(k, back)
		}
	}
}
