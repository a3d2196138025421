package redis

import (
	"context"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// inspect looks, after each connect, for settings by which Redis may lose what
// it was given, and warns of them. It never stops anything.
func (s *Store) inspect() {
	ctx, cancel := context.WithTimeout(s.ctx, 2*opTimeout)
	defer cancel()
	look := func(ctx context.Context, node *goredis.Client) error {
		settings, err := readSettings(ctx, node)
		if err != nil {
			s.log.Debug("redis does not tell its settings; eviction and persistence were not checked", "node", node.Options().Addr, "error", err)
			return nil
		}
		s.warn(node.Options().Addr, settings)
		return nil
	}
	switch c := s.client.(type) {
	case *goredis.ClusterClient:
		if err := c.ForEachMaster(ctx, look); err != nil {
			s.log.Debug("the settings of the redis cluster were not checked", "error", err)
		}
	case *goredis.Client:
		_ = look(ctx, c)
	}
}

// settings are the ones that matter; "" is unknown.
type settings struct {
	policy     string // maxmemory-policy
	appendOnly string // "yes" or "no"
	save       string // of RDB; "" is none when saveKnown
	saveKnown  bool
}

func (s *Store) warn(node string, set settings) {
	log := s.log.With("node", node)
	if set.policy != "" && set.policy != "noeviction" {
		log.Warn("redis may drop keys when its memory is full, and with them sessions, revocations and throttles; set maxmemory-policy to noeviction", "maxmemory_policy", set.policy)
	}
	if set.appendOnly == "no" && set.saveKnown && set.save == "" {
		log.Warn("redis keeps nothing on disk: users and sessions are lost when it restarts; set appendonly to yes")
	}
}

// readSettings asks with CONFIG, which is often forbidden, and then with INFO,
// which does not tell about RDB.
func readSettings(ctx context.Context, node *goredis.Client) (settings, error) {
	var set settings
	values := map[string]string{}
	var err error
	for _, name := range []string{"maxmemory-policy", "appendonly", "save"} {
		var got map[string]string
		if got, err = node.ConfigGet(ctx, name).Result(); err != nil {
			break
		}
		for k, v := range got {
			values[k] = v
		}
	}
	if err == nil && len(values) == 3 {
		set.policy, set.appendOnly = values["maxmemory-policy"], values["appendonly"]
		set.save, set.saveKnown = values["save"], true
		return set, nil
	}
	memory, err := node.Info(ctx, "memory").Result()
	if err != nil {
		return set, err
	}
	persistence, err := node.Info(ctx, "persistence").Result()
	if err != nil {
		return set, err
	}
	set.policy = infoField(memory, "maxmemory_policy")
	if infoField(persistence, "aof_enabled") == "1" {
		set.appendOnly = "yes"
	}
	return set, nil
}

func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			return v
		}
	}
	return ""
}
