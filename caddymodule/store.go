package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-proxy/gatehouse/config"
	"github.com/gatehouse-proxy/gatehouse/internal/key"
	"github.com/gatehouse-proxy/gatehouse/internal/store"
	"github.com/gatehouse-proxy/gatehouse/internal/store/bolt"
	"github.com/gatehouse-proxy/gatehouse/internal/store/redis"
)

// openTimeout bounds how long a start waits for a store file that another
// process holds.
const openTimeout = 2 * time.Second

// shared keeps over reloads what must outlive a configuration, keyed by what it
// is: each open store ("bolt" and the cleaned path of its file, or "redis" and
// its URL) and each issuer's keys.
var shared = caddy.NewUsagePool()

// sharedStore is one store that several configurations may hold at once, the
// old one and the new one during a reload. It is opened on first use.
type sharedStore struct {
	key  string
	open func(ctx context.Context) (store.Store, error)
	// local is set for a store that belongs to this process alone.
	local  bool
	logger *slog.Logger

	mu      sync.Mutex
	store   store.Store
	limiter *key.Limiter // counts the requests of keys; lives as long as the store
}

// acquireStore finds or prepares the store that c names.
func acquireStore(c config.Store, logger *slog.Logger) (*sharedStore, error) {
	name, open, err := storeOpener(c, logger)
	if err != nil {
		return nil, err
	}
	v, _, err := shared.LoadOrNew(name, func() (caddy.Destructor, error) {
		return &sharedStore{key: name, open: open, local: c.Redis == nil, logger: logger}, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*sharedStore), nil
}

func storeOpener(c config.Store, logger *slog.Logger) (string, func(context.Context) (store.Store, error), error) {
	if c.Redis != nil {
		url := string(c.Redis.URL)
		if _, err := redis.ParseURL(url); err != nil {
			return "", nil, fmt.Errorf("store redis: %w", err)
		}
		return "redis " + url, func(context.Context) (store.Store, error) {
			return redis.Open(url, redis.Options{Logger: logger})
		}, nil
	}
	file := defaultStoreFile()
	if c.Bolt != nil && c.Bolt.File != "" {
		file = c.Bolt.File
	}
	file, err := filepath.Abs(file)
	if err != nil {
		return "", nil, fmt.Errorf("store bolt: %w", err)
	}
	return "bolt " + file, func(ctx context.Context) (store.Store, error) {
		return bolt.Open(ctx, file, bolt.Options{Logger: logger})
	}, nil
}

// get opens the store if nobody has. A failure is not remembered, so that the
// next caller tries again.
func (s *sharedStore) get() (store.Store, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store != nil {
		return s.store, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	opened, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	s.store = opened
	counts := opened
	if s.local {
		counts = nil // nobody else counts, and a disk write for each request would be dear
	}
	s.limiter = key.NewLimiter(key.LimiterOptions{Store: counts, Logger: s.logger})
	return opened, nil
}

// release gives the store back; the last holder closes it.
func (s *sharedStore) release() error {
	_, err := shared.Delete(s.key)
	return err
}

// Destruct closes the store. The usage pool calls it.
func (s *sharedStore) Destruct() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store == nil {
		return nil
	}
	err := s.store.Close()
	if errors.Is(err, store.ErrUnavailable) { // closing what is already gone
		err = nil
	}
	return err
}
