package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gatehouse-proxy/gatehouse/internal/store"
)

// Get is one plain GET.
func (s *Store) Get(ctx context.Context, key string) (value []byte, found bool, err error) {
	if err := store.CheckKey(key); err != nil {
		return nil, false, err
	}
	inner, done, err := s.begin(ctx)
	if err != nil {
		return nil, false, err
	}
	defer done()
	value, err = s.client.Get(inner, valueKey(key)).Bytes()
	if errors.Is(err, goredis.Nil) {
		s.link.answered()
		return nil, false, nil
	}
	if err != nil {
		return nil, false, s.unavailable(ctx, err)
	}
	s.link.answered()
	return value, true, nil
}

// Put sets key.
func (s *Store) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := store.CheckPut(key, value, ttl); err != nil {
		return err
	}
	_, err := s.change(ctx, putScript, key, value, millis(ttl))
	return err
}

// Create sets key if there is none.
func (s *Store) Create(ctx context.Context, key string, value []byte, ttl time.Duration) (created bool, err error) {
	if err := store.CheckPut(key, value, ttl); err != nil {
		return false, err
	}
	reply, err := s.change(ctx, createScript, key, value, millis(ttl))
	return reply == int64(1), err
}

// Swap sets key if it holds exactly old.
func (s *Store) Swap(ctx context.Context, key string, old, value []byte, ttl time.Duration) (swapped bool, err error) {
	if err := store.CheckPut(key, value, ttl); err != nil {
		return false, err
	}
	reply, err := s.change(ctx, swapScript, key, value, millis(ttl), old)
	return reply == int64(1), err
}

// Take removes key and returns what it held.
func (s *Store) Take(ctx context.Context, key string) (value []byte, found bool, err error) {
	if err := store.CheckKey(key); err != nil {
		return nil, false, err
	}
	reply, err := s.change(ctx, takeScript, key)
	text, found := reply.(string)
	if err != nil || !found {
		return nil, false, err
	}
	return []byte(text), true, nil
}

// Delete removes key.
func (s *Store) Delete(ctx context.Context, key string) (found bool, err error) {
	if err := store.CheckKey(key); err != nil {
		return false, err
	}
	reply, err := s.change(ctx, deleteScript, key)
	return reply == int64(1), err
}

// change runs a script that changes key, and tells the watchers here unless it
// is certain that nothing was changed. They hear of it once more from Redis: that
// echo cannot be left out, since of a change whose answer was lost only the echo
// tells when it happened.
func (s *Store) change(ctx context.Context, sc script, key string, args ...any) (reply any, err error) {
	inner, done, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	reply, err = s.run(inner, sc, keysOf(key), append([]any{s.channel, key}, args...)...)
	switch {
	case errors.Is(err, goredis.Nil):
		s.link.answered()
		return nil, nil
	case err != nil:
		s.watchers.Tell(key)
		return nil, s.unavailable(ctx, err)
	case reply != int64(0):
		s.watchers.Tell(key)
	}
	s.link.answered()
	return reply, nil
}

// Charge takes from an allowance, by the clock of Redis.
func (s *Store) Charge(ctx context.Context, key string, limit store.Limit, cost int) (store.Allowance, error) {
	if err := store.CheckKey(key); err != nil {
		return store.Allowance{}, err
	}
	inner, done, err := s.begin(ctx)
	if err != nil {
		return store.Allowance{}, err
	}
	defer done()
	rate, ok := store.NewRate(limit, cost)
	if !ok {
		return store.Allowance{}, nil
	}
	reply, err := s.run(inner, chargeScript, []string{chargeKey(key)}, rate.Every, rate.Window, rate.Cost)
	if err != nil {
		return store.Allowance{}, s.unavailable(ctx, err)
	}
	s.link.answered()
	if list, ok := reply.([]any); ok && len(list) == 2 {
		allowed, okAllowed := list[0].(int64)
		text, _ := list[1].(string)
		if after, err := strconv.ParseInt(text, 10, 64); err == nil && okAllowed {
			return rate.Allowance(after, allowed == 1), nil
		}
	}
	return store.Allowance{}, s.unavailable(ctx, fmt.Errorf("an unexpected answer to a charge: %T", reply))
}

// Watch has fn told of changes made here and of those that Redis tells of.
func (s *Store) Watch(fn func(key string)) (stop func()) { return s.watchers.Add(fn) }

// millis is a ttl as the scripts take it: whole ms, rounded up; 0 is for ever.
func millis(ttl time.Duration) string {
	ms := ttl / time.Millisecond
	if ttl%time.Millisecond != 0 {
		ms++
	}
	return strconv.FormatInt(int64(ms), 10)
}
