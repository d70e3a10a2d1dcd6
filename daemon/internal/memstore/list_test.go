package memstore

import (
	"testing"

	"github.com/isrd/isrd/daemon/internal/cache/cachetest"
)

func TestList(t *testing.T) { cachetest.Lister(t, open(t, Config{})) }
