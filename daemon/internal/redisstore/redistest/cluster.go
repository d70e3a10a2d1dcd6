package redistest

import (
	"strconv"
	"strings"
	"testing"
)

// Cluster is three masters without replicas, which share the slots.
type Cluster struct {
	Nodes []*Server
}

const slots = 16384

// StartCluster runs a cluster until the test ends.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	c := new(Cluster)
	const shards = 3
	for i := range shards {
		s := Start(t, Args("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no"))
		s.CLI("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(slots*i/shards), strconv.Itoa(slots*(i+1)/shards-1))
		c.Nodes = append(c.Nodes, s)
	}
	for _, s := range c.Nodes[1:] {
		s.CLI("CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(c.Nodes[0].port))
	}
	for _, s := range c.Nodes {
		s.await("cluster", func() bool {
			info := s.CLI("CLUSTER", "INFO")
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3") &&
				strings.Contains(info, "cluster_slots_ok:16384")
		})
	}
	return c
}

// Of is the node that a key belongs to.
func (c *Cluster) Of(key string) *Server {
	s := c.Nodes[0]
	s.t.Helper()
	slot, err := strconv.Atoi(s.CLI("CLUSTER", "KEYSLOT", key))
	if err != nil {
		s.t.Fatal(err)
	}
	i := len(c.Nodes) - 1
	for slot < slots*i/len(c.Nodes) {
		i--
	}
	return c.Nodes[i]
}

// URL is where the cluster is.
func (c *Cluster) URL() string {
	hosts := make([]string, len(c.Nodes))
	for i, s := range c.Nodes {
		hosts[i] = s.Addr()
	}
	return "redis+cluster://" + strings.Join(hosts, ",")
}
