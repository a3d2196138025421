package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// RedisCluster starts a Redis Cluster of three masters without replicas and
// returns them when every node says that the cluster is ready.
func RedisCluster(t testing.TB) []*RedisServer {
	t.Helper()
	nodes := make([]*RedisServer, 3)
	for i := range nodes {
		nodes[i] = Redis(t, "--cluster-enabled", "yes", "--cluster-port", FreePort(t),
			"--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "yes")
	}
	const slots = 16384
	for i, n := range nodes {
		n.Command(t, "CLUSTER", "ADDSLOTSRANGE", fmt.Sprint(i*slots/3), fmt.Sprint((i+1)*slots/3-1))
		n.Command(t, "CLUSTER", "SET-CONFIG-EPOCH", fmt.Sprint(i+1))
	}
	for _, n := range nodes[1:] {
		bus := n.args[3]
		nodes[0].Command(t, "CLUSTER", "MEET", "127.0.0.1", n.port, bus)
	}
	for _, n := range nodes {
		waitFor(t, "the cluster to be ready", func() bool {
			info, err := command(n.Addr, "CLUSTER", "INFO")
			return err == nil && strings.Contains(info, "cluster_state:ok") &&
				strings.Contains(info, "cluster_known_nodes:3") && strings.Contains(info, "cluster_size:3")
		})
	}
	return nodes
}

// RedisSentinel starts a master, a replica and one Sentinel that watches them
// under the name "gatehouse" and promotes the replica about a second after the
// master is gone.
func RedisSentinel(t testing.TB) (master, replica, sentinel *RedisServer) {
	t.Helper()
	master = Redis(t)
	replica = Redis(t, "--replicaof", "127.0.0.1 "+master.port, "--repl-diskless-sync-delay", "0")
	waitFor(t, "the replica to follow", func() bool {
		info, err := command(replica.Addr, "INFO", "replication")
		return err == nil && strings.Contains(info, "master_link_status:up")
	})
	sentinel = Redis(t, "--sentinel",
		"sentinel monitor gatehouse 127.0.0.1 "+master.port+" 1",
		"sentinel down-after-milliseconds gatehouse 500",
		"sentinel failover-timeout gatehouse 3000")
	waitFor(t, "Sentinel to see the replica", func() bool {
		info, err := command(sentinel.Addr, "INFO", "sentinel")
		return err == nil && strings.Contains(info, "status=ok") && strings.Contains(info, "slaves=1")
	})
	return master, replica, sentinel
}

func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waited 30 s for %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
