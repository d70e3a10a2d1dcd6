package redistest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Sentinel is a master with a replica, and one sentinel that watches them. It fails over when FailOver says so: to a machine
// that is busy it must not seem that the master is gone.
type Sentinel struct {
	Master, Replica, Watcher *Server
}

// masterName is what the sentinel calls the master.
const masterName = "mymaster"

// StartSentinel runs a replicated pair until the test ends.
func StartSentinel(t testing.TB) *Sentinel {
	t.Helper()
	s := &Sentinel{Master: Start(t, Args("--repl-diskless-sync-delay", "0"))} // there are no more replicas to wait for
	s.Replica = Start(t, Args("--replicaof", fmt.Sprintf("127.0.0.1 %d", s.Master.port)))
	s.Replica.await("replication", func() bool { return s.Replica.Info("replication", "master_link_status") == "up" })

	// A sentinel keeps its state in its configuration, so it must have a file, which it may write.
	dir, err := os.MkdirTemp("", "isrd-sentinel-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	file := filepath.Join(dir, "sentinel.conf")
	config := fmt.Sprintf("sentinel monitor %[1]s 127.0.0.1 %[2]d 1\nsentinel down-after-milliseconds %[1]s 60000\nsentinel failover-timeout %[1]s 2000\n",
		masterName, s.Master.port)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Watcher = Start(t, func(w *Server) { w.file = file })
	s.Watcher.await("replica in sight", func() bool {
		return s.Watcher.CLI("SENTINEL", "REPLICAS", masterName) != ""
	})
	return s
}

// URL is where the sentinel is, and the name of the master.
func (s *Sentinel) URL() string { return "redis+sentinel://" + s.Watcher.Addr() + "/" + masterName }

// promotionPatience bounds the wait for a promotion. A sentinel that found its own clock to jump, as it seems to on a machine
// that was busy for two seconds, does nothing for the next 30 s.
const promotionPatience = 45 * time.Second

// FailOver kills the master and waits until the replica is the master. It closes all connections when it becomes that, so no
// answer means only that it is to be asked again.
func (s *Sentinel) FailOver() {
	s.Replica.t.Helper()
	s.Master.Kill()
	s.Watcher.CLI("SENTINEL", "SET", masterName, "down-after-milliseconds", "400")
	s.Replica.awaitFor(promotionPatience, "promotion", func() bool {
		info, err := s.Replica.tryCLI("INFO", "replication")
		role, _ := fieldOf(info, "role")
		return err == nil && role == "master"
	})
}
