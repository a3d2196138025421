package redis

import (
	"context"
	"fmt"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

// readAtOnce is how many values one round trip of a scan asks for.
const readAtOnce = 64

// Scan merges the buckets, each of which is in order.
func (s *Store) Scan(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	if err := store.CheckKey(prefix); err != nil {
		return nil, err
	}
	m := merge{store: s, prefix: prefix, after: after, limit: limit}
	m.kind, _, _ = strings.Cut(prefix, "/")
	var list []store.Entry
	for {
		want := min(limit-len(list), readAtOnce)
		keys, err := m.next(ctx, want)
		if err != nil {
			return nil, err
		}
		entries, err := s.read(ctx, m.kind, keys)
		if err != nil {
			return nil, err
		}
		list = append(list, entries...)
		if len(keys) < want || len(list) >= limit {
			return list, nil
		}
	}
}

// merge gives out the keys of all buckets in order.
type merge struct {
	store               *Store
	kind, prefix, after string
	limit               int
	part                [buckets]struct {
		keys []string
		last string // of those that were read
		end  bool
	}
}

// next returns up to n more keys; fewer mean the end.
func (m *merge) next(ctx context.Context, n int) ([]string, error) {
	var keys []string
	for len(keys) < n {
		if err := m.fill(ctx); err != nil {
			return nil, err
		}
		first := -1
		for b := range m.part {
			if p := &m.part[b]; len(p.keys) > 0 && (first < 0 || p.keys[0] < m.part[first].keys[0]) {
				first = b
			}
		}
		if first < 0 {
			break
		}
		keys = append(keys, m.part[first].keys[0])
		m.part[first].keys = m.part[first].keys[1:]
	}
	return keys, nil
}

// fill reads on in the buckets of which nothing is at hand: the next key of any
// of them could be the first of all.
func (m *merge) fill(ctx context.Context) error {
	const most = 128
	cmds := map[int]*goredis.StringSliceCmd{}
	pipe := m.store.client.Pipeline()
	batch := max(4, min(most, 2*m.limit/buckets))
	for b := range m.part {
		p := &m.part[b]
		if len(p.keys) > 0 || p.end {
			continue
		}
		from := "[" + m.prefix
		if last := max(m.after, p.last); last >= m.prefix {
			from = "(" + last
		}
		cmds[b] = pipe.ZRangeByLex(ctx, indexKey(b, m.kind), &goredis.ZRangeBy{Min: from, Max: "(" + past(m.prefix), Count: int64(batch)})
	}
	if len(cmds) == 0 {
		return nil
	}
	if err := m.store.exec(ctx, pipe); err != nil {
		return err
	}
	for b, cmd := range cmds {
		p := &m.part[b]
		p.keys = cmd.Val()
		p.end = len(p.keys) < batch
		if len(p.keys) > 0 {
			p.last = p.keys[len(p.keys)-1]
		}
	}
	return nil
}

// past is the first key after all that start with prefix, which holds a "/" and
// therefore a byte that can be raised.
func past(prefix string) string {
	last := len(prefix) - 1
	for prefix[last] == 0xff {
		last--
	}
	return prefix[:last] + string([]byte{prefix[last] + 1})
}

// read returns the entries of keys, in their order, without those that are gone.
func (s *Store) read(ctx context.Context, kind string, keys []string) ([]store.Entry, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	parts := map[int][]string{}
	for _, k := range keys {
		b := bucketOf(k)
		parts[b] = append(parts[b], k)
	}
	pipe := s.client.Pipeline()
	cmds := map[int]*goredis.Cmd{}
	for b, part := range parts {
		names := []string{indexKey(b, kind), expiryKey(b, kind)}
		var members []any
		for _, k := range part {
			names = append(names, valueKey(k))
			members = append(members, k)
		}
		cmds[b] = pipe.Eval(ctx, readScript, names, members...)
	}
	if err := s.exec(ctx, pipe); err != nil {
		return nil, err
	}
	now := time.Now()
	found := map[string]store.Entry{}
	for b, part := range parts {
		reply, ok := cmds[b].Val().([]any)
		if !ok || len(reply) != 2*len(part) {
			return nil, s.unavailable(ctx, fmt.Errorf("an unexpected answer to a scan: %T", cmds[b].Val()))
		}
		for i, k := range part {
			value, ok := reply[2*i].(string)
			if !ok {
				continue // expired or removed since the index was read
			}
			e := store.Entry{Key: k, Value: []byte(value)}
			if left, ok := reply[2*i+1].(int64); ok && left >= 0 {
				e.Expires = now.Add(time.Duration(left) * time.Millisecond)
			}
			found[k] = e
		}
	}
	list := make([]store.Entry, 0, len(found))
	for _, k := range keys {
		if e, ok := found[k]; ok {
			list = append(list, e)
		}
	}
	return list, nil
}

// Count adds up the buckets.
func (s *Store) Count(ctx context.Context, kind string) (int, error) {
	if err := store.CheckKey(kind + "/"); err != nil {
		return 0, err
	}
	pipe := s.client.Pipeline()
	var cmds [buckets]*goredis.Cmd
	for b := range cmds {
		cmds[b] = pipe.Eval(ctx, countScript, []string{indexKey(b, kind), expiryKey(b, kind)})
	}
	if err := s.exec(ctx, pipe); err != nil {
		return 0, err
	}
	sum := 0
	for _, cmd := range cmds {
		n, err := cmd.Int()
		if err != nil {
			return 0, s.unavailable(ctx, err)
		}
		sum += n
	}
	return sum, nil
}

// exec sends a pipeline, all of which may be sent again.
func (s *Store) exec(ctx context.Context, pipe goredis.Pipeliner) error {
	inner, done, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	if _, err := pipe.Exec(inner); err != nil {
		return s.unavailable(ctx, err)
	}
	s.link.answered()
	return nil
}
