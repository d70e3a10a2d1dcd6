package queue_test

import (
	"testing"

	"github.com/isrd/isrd/daemon/internal/queue"
	"github.com/isrd/isrd/daemon/internal/queue/queuetest"
)

func TestContract(t *testing.T) {
	queuetest.Run(t, func(_ *testing.T, cfg queue.Config) (a, b queuetest.Backend) {
		q := queue.NewMemory(cfg)
		return q, q
	})
}
