package redis

import (
	"crypto/tls"
	"runtime"

	goredis "github.com/redis/go-redis/v9"
)

// poolSize bounds the connections to one node.
func (t *Target) poolSize() int { return max(16, 10*runtime.GOMAXPROCS(0)) }

// client makes a client, which connects when it is used. Reads are tried twice;
// what changes something is sent once (see once).
func (t *Target) client() goredis.UniversalClient {
	o := &goredis.UniversalOptions{
		Addrs: t.Addrs, DB: t.DB, MasterName: t.Master,
		Username: t.username, Password: t.password,
		SentinelUsername: t.sentinelUsername, SentinelPassword: t.sentinelPassword,
		ClientName: "gatehouse", Protocol: 2, // nothing here needs RESP3
		DialTimeout: dialTimeout, ReadTimeout: readTimeout, WriteTimeout: readTimeout, PoolTimeout: readTimeout,
		DialerRetries: 1, MaxRetries: 1, MaxRedirects: 3,
		ContextTimeoutEnabled: true, DisableIdentity: true,
		PoolSize: t.poolSize(), PipelinePoolSize: -1,
	}
	if t.TLS {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	switch t.Kind {
	case "sentinel":
		return goredis.NewFailoverClient(o.Failover())
	case "cluster":
		c := o.Cluster()
		c.MaxRetries = -1 // its redirects are its retries
		// The policies are for commands over several slots, which are not used
		// here, and cost a question to the server that it may not answer.
		c.DisableRoutingPolicies = true
		return goredis.NewClusterClient(c)
	}
	return goredis.NewClient(o.Simple())
}
