package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	bbolt "go.etcd.io/bbolt"
)

// The file has four buckets. meta says what it is. data and charge hold a
// record for each key: 8 bytes of time, a 4-byte checksum over space, key and
// all else, then the value. The time of data is when it expires (Unix ms, 0:
// never), that of charge is when the full burst is back (Unix µs). expiry lets
// the sweeper find what is past: 8 bytes of Unix ms, the space, the key; a
// checksum as its value.
var (
	metaBucket   = []byte("meta")
	dataBucket   = []byte("data")
	chargeBucket = []byte("charge")
	expiryBucket = []byte("expiry")
	formatKey    = []byte("format")
)

const (
	format       = 1
	formatPrefix = "gatehouse "

	dataSpace   byte = 'd'
	chargeSpace byte = 'c'

	headSize  = 12 // of a record
	indexHead = 9  // of an expiry key
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errRecord  = errors.New("a record does not match its checksum")
)

// layout makes the buckets of an empty file.
func layout(tx *bbolt.Tx) error {
	for _, name := range [][]byte{dataBucket, chargeBucket, expiryBucket} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	meta, err := tx.CreateBucket(metaBucket)
	if err != nil {
		return err
	}
	return meta.Put(formatKey, fmt.Appendf(nil, "%s%d", formatPrefix, format))
}

func sum(space byte, key, head, value []byte) uint32 {
	c := crc32.Update(0, castagnoli, []byte{space})
	c = crc32.Update(c, castagnoli, key)
	c = crc32.Update(c, castagnoli, head)
	return crc32.Update(c, castagnoli, value)
}

func encode(space byte, key []byte, when int64, value []byte) []byte {
	b := make([]byte, headSize, headSize+len(value))
	binary.BigEndian.PutUint64(b, uint64(when))
	binary.BigEndian.PutUint32(b[8:], sum(space, key, b[:8], value))
	return append(b, value...)
}

// decode returns the parts of a record. value is part of b.
func decode(space byte, key, b []byte) (when int64, value []byte, err error) {
	if len(b) < headSize || binary.BigEndian.Uint32(b[8:]) != sum(space, key, b[:8], b[headSize:]) {
		return 0, nil, errRecord
	}
	return int64(binary.BigEndian.Uint64(b)), b[headSize:], nil
}

func indexKey(ms int64, space byte, key []byte) []byte {
	b := make([]byte, indexHead, indexHead+len(key))
	binary.BigEndian.PutUint64(b, uint64(ms))
	b[8] = space
	return append(b, key...)
}

func indexValue(k []byte) []byte {
	return binary.BigEndian.AppendUint32(nil, crc32.Checksum(k, castagnoli))
}

// checkRecord is what the check of a whole file asks of each leaf.
func checkRecord(bucket string, key, value []byte) error {
	var err error
	switch bucket {
	case "data":
		_, _, err = decode(dataSpace, key, value)
	case "charge":
		_, _, err = decode(chargeSpace, key, value)
	case "expiry":
		if len(key) <= indexHead || string(value) != string(indexValue(key)) {
			err = errRecord
		}
	}
	return err
}

// expires is the Unix ms at which a ttl from now ends, rounded up; 0 is never.
func expires(now time.Time, ttl time.Duration) int64 {
	if ttl == 0 {
		return 0
	}
	t := now.Add(ttl)
	ms := t.UnixMilli()
	if t.After(time.UnixMilli(ms)) {
		ms++
	}
	return ms
}

func live(now time.Time, ms int64) bool { return ms == 0 || now.Before(time.UnixMilli(ms)) }
