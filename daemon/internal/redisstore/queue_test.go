package redisstore_test

import (
	"crypto/rand"
	"testing"

	"github.com/isrd/isrd/daemon/internal/queue"
	"github.com/isrd/isrd/daemon/internal/queue/queuetest"
	"github.com/isrd/isrd/daemon/internal/redisstore"
	"github.com/isrd/isrd/daemon/internal/redisstore/redistest"
)

func TestQueueContract(t *testing.T) { queueContract(t, redistest.Start(t).URL()) }

func TestQueueContractOnCluster(t *testing.T) { queueContract(t, redistest.StartCluster(t).URL()) }

func queueContract(t *testing.T, url string) {
	t.Helper()
	queuetest.Run(t, func(t *testing.T, cfg queue.Config) (a, b queuetest.Backend) {
		store := redisstore.Config{URL: url, Prefix: rand.Text()}
		return start(t, store).Queue(cfg), start(t, store).Queue(cfg)
	})
}
