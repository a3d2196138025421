package redis

import (
	"fmt"
	"hash/fnv"
	"strings"
)

// Keys are spread over a fixed number of buckets, each with a hash tag of its
// own, so that a key, the index that scans read and the list of what expires
// lie in one hash slot and can be changed by one script, while a Cluster still
// spreads the load. The tag comes first: braces in a key mean nothing then.
//
//	gatehouse:{07}:v:<key>    string: the value, with Redis' own expiry
//	gatehouse:{07}:i:<kind>   sorted set, all scores 0: the keys in byte order
//	gatehouse:{07}:x:<kind>   sorted set by Unix ms: the keys that expire
//	gatehouse:{07}:c:<key>    string: Unix µs at which the full burst is back
//
// The number can never change: keys would be looked for in the wrong place.
const buckets = 32

var prefixes = func() (p [buckets]string) {
	for i := range p {
		p[i] = fmt.Sprintf("gatehouse:{%02d}:", i)
	}
	return p
}()

func bucketOf(key string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	return int(h.Sum32() % buckets)
}

func valueKey(key string) string  { return prefixes[bucketOf(key)] + "v:" + key }
func chargeKey(key string) string { return prefixes[bucketOf(key)] + "c:" + key }

func indexKey(bucket int, kind string) string  { return prefixes[bucket] + "i:" + kind }
func expiryKey(bucket int, kind string) string { return prefixes[bucket] + "x:" + kind }

// keysOf are the keys that a change of key touches, in the order that the
// scripts know.
func keysOf(key string) []string {
	b := bucketOf(key)
	kind, _, _ := strings.Cut(key, "/")
	return []string{prefixes[b] + "v:" + key, indexKey(b, kind), expiryKey(b, kind)}
}
