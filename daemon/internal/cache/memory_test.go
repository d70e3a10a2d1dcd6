package cache_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/isrd/isrd/daemon/internal/cache"
)

func newMemory(t testing.TB, maxBytes int64) *cache.Memory {
	t.Helper()
	m, err := cache.NewMemory(maxBytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func sized(name string, token uint64, size int) *cache.Entry {
	e := &cache.Entry{Key: cache.Key{App: "a", Space: cache.Fetch, Name: name}, Version: cache.Version{Epoch: 1, Token: token}}
	e.Parts = [][]byte{make([]byte, max(size-e.Size()-24, 0))}
	return e
}

type memoryView struct{ *cache.Memory }

func (f memoryView) has(name string) bool {
	_, ok := f.Get(cache.Key{App: "a", Space: cache.Fetch, Name: name}.ID())
	return ok
}

func TestMemoryKeepsTheNewestVersion(t *testing.T) {
	m := newMemory(t, 1<<20)
	id := sized("k", 0, 0).Key.ID()
	for _, tc := range []struct {
		token uint64
		want  bool
		is    uint64
	}{{5, true, 5}, {5, false, 5}, {4, false, 5}, {6, true, 6}} {
		if got := m.Put(sized("k", tc.token, 1000)); got != tc.want {
			t.Errorf("put of %d: got %v, want %v", tc.token, got, tc.want)
		}
		if e, ok := m.Get(id); !ok || e.Version.Token != tc.is {
			t.Errorf("after the put of %d: got %v", tc.token, e)
		}
	}
	if m.Len() != 1 || m.Bytes() != int64(sized("k", 0, 1000).Size()) {
		t.Errorf("%d entries of %d bytes after replacing one", m.Len(), m.Bytes())
	}
	m.DropOlder(id, cache.Version{Epoch: 1, Token: 6})
	if m.Len() != 1 {
		t.Error("the version itself was dropped as older than itself")
	}
	m.DropOlder(id, cache.Version{Epoch: 1, Token: 7})
	if m.Len() != 0 || m.Bytes() != 0 {
		t.Errorf("%d entries of %d bytes after dropping the only one", m.Len(), m.Bytes())
	}
	if !m.Put(sized("k", 1, 0)) {
		t.Error("a forgotten version still refuses")
	}
	m.Delete(id)
	m.Put(sized("x", 1, 0))
	m.Clear()
	if m.Len() != 0 || m.Bytes() != 0 || m.Evictions() != 0 {
		t.Errorf("%d entries, %d bytes, %d evictions after Delete and Clear", m.Len(), m.Bytes(), m.Evictions())
	}
}

func TestMemoryEvictsWhatWasUsedLongestAgo(t *testing.T) {
	m := memoryView{newMemory(t, 10_000)}
	for i := range 10 {
		m.Put(sized(fmt.Sprint(i), 1, 1000))
	}
	m.has("0")
	m.Put(sized("new", 1, 2000))
	for name, want := range map[string]bool{"0": true, "1": false, "2": false, "3": true, "9": true, "new": true} {
		if got := m.has(name); got != want {
			t.Errorf("%q is there: %v, want %v", name, got, want)
		}
	}
	if m.Evictions() != 2 {
		t.Errorf("%d evictions, want 2", m.Evictions())
	}
	if !m.Put(sized("0", 2, 20_000)) || m.has("0") || m.Len() != 8 || m.Bytes() != 9000 {
		t.Errorf("an entry larger than the memory: %d entries of %d bytes stay, want the 8 others", m.Len(), m.Bytes())
	}
}

func TestMemoryNeverEvictsWhatWasJustWritten(t *testing.T) {
	m := memoryView{newMemory(t, 1<<20)}
	for i := range 100 {
		m.Put(sized(fmt.Sprint("hot", i), 1, 10_000))
		for range 20 {
			m.has(fmt.Sprint("hot", i))
		}
	}
	for i, size := range []int{1_000, 100_000, 500_000, 1_000_000} {
		name := fmt.Sprint("new", i)
		if m.Put(sized(name, 1, size)); !m.has(name) {
			t.Errorf("entry of %d bytes had gone before it was read", size)
		}
	}
}

func TestMemoryConcurrently(t *testing.T) {
	const maxBytes = 100_000
	m := newMemory(t, maxBytes)
	var wg sync.WaitGroup
	for worker := range uint64(8) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(worker, 1))
			for range 2_000 {
				e := sized(fmt.Sprint(rng.IntN(50)), rng.Uint64N(1000), rng.IntN(10_000))
				switch rng.IntN(10) {
				case 0:
					m.Delete(e.Key.ID())
				case 1:
					m.DropOlder(e.Key.ID(), e.Version)
				case 2, 3:
					m.Get(e.Key.ID())
				default:
					m.Put(e)
				}
				if b := m.Bytes(); b > maxBytes || b < 0 {
					t.Errorf("%d bytes, the bound is %d", b, maxBytes)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestNewMemoryRefusesNoRoom(t *testing.T) {
	if _, err := cache.NewMemory(0); err == nil {
		t.Error("a memory of 0 bytes was made")
	}
}
