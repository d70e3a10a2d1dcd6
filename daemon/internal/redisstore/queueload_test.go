package redisstore_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache/cachetest"
	"github.com/isrd/isrd/daemon/internal/queue"
	"github.com/isrd/isrd/daemon/internal/redisstore"
	"github.com/isrd/isrd/daemon/internal/redisstore/redistest"
)

// request is one for the build of these tests.
func request(path string, p queue.Priority) queue.Request {
	return queue.Request{Path: path, Build: "b", Priority: p}
}

func requests(n int, prefix string, p queue.Priority) []queue.Request {
	all := make([]queue.Request, n)
	for i := range all {
		all[i] = request(fmt.Sprint(prefix, i), p)
	}
	return all
}

var anyOne = queue.ClaimOptions{Limit: 1, Free: map[string]int{"b": 1}}

// 20,000 pages of a warm-up hold nobody up: neither Redis nor who wants one page now.
func TestBulkHoldsNobodyUp(t *testing.T) {
	server := redistest.Start(t)
	bulk, other := start(t, redisstore.Config{URL: server.URL()}).Queue(queue.Config{}), start(t, redisstore.Config{URL: server.URL()}).Queue(queue.Config{})
	if _, err := bulk.Enqueue(t.Context(), "shop", requests(1, "/first/", queue.Bulk)); err != nil {
		t.Fatal(err)
	}
	server.CLI("CONFIG", "SET", "slowlog-log-slower-than", "0", "slowlog-max-len", "100000")
	var took time.Duration
	over := make(chan struct{})
	go func() {
		defer close(over)
		begun := time.Now()
		if _, err := bulk.Enqueue(context.WithoutCancel(t.Context()), "shop", requests(20_000, "/p/", queue.Bulk)); err != nil {
			t.Error(err)
		}
		took = time.Since(begun)
	}()
	var waits []time.Duration
	for i := 0; ; i++ {
		begun := time.Now()
		tickets, err := other.Enqueue(t.Context(), "shop", requests(1, fmt.Sprint("/now/", i, "/"), queue.Interactive))
		if err != nil {
			t.Fatal(err)
		}
		for { // one in sixteen is a bulk one's turn
			c, err := other.Claim(t.Context(), "shop", anyOne)
			if err != nil || len(c.Jobs) != 1 {
				t.Fatal(c, err)
			}
			if c.Jobs[0].ID == tickets[0].ID {
				break
			}
		}
		waits = append(waits, time.Since(begun))
		select {
		case <-over:
		default:
			continue
		}
		break
	}
	slices.Sort(waits)
	p90 := waits[len(waits)*9/10]
	slow, bulky := scriptTimes(t, server, "/p/")
	t.Logf("20,000 bulk jobs in %v; meanwhile %d interactive ones from enqueuing to claim: median %v, p90 %v; the fifth slowest script took %v, one of the bulk %v",
		took, len(waits), waits[len(waits)/2], p90, slow, bulky)
	if most := 50 * time.Millisecond; slow > most || bulky > most {
		t.Errorf("scripts kept Redis for %v, those of the bulk for %v", slow, bulky)
	}
	if p90 > time.Second {
		t.Errorf("interactive jobs waited for %v", p90)
	}
}

// scriptTimes reads from the slow log, which has all scripts, what the fifth slowest took, and the median of those with an
// argument that begins with prefix. It has what passed by the clock on the wall: four may have had to wait for the machine.
func scriptTimes(t *testing.T, server *redistest.Server, prefix string) (fifth, median time.Duration) {
	t.Helper()
	server.CLI("CONFIG", "SET", "slowlog-log-slower-than", "-1")
	text := server.CLI("EVAL", `local all, some = {}, {}
		for _, e in ipairs(redis.call('SLOWLOG', 'GET', '-1')) do
			if string.lower(e[4][1]) == 'evalsha' then
				all[#all + 1] = e[3]
				for _, arg in ipairs(e[4]) do
					if string.sub(arg, 1, #ARGV[1]) == ARGV[1] then
						some[#some + 1] = e[3]
						break
					end
				end
			end
		end
		table.sort(all)
		table.sort(some)
		return all[#all - 4] .. ' ' .. some[math.ceil(#some / 2)]`, "0", prefix)
	var of [2]int
	if _, err := fmt.Sscan(strings.Trim(text, `"`), &of[0], &of[1]); err != nil {
		t.Fatalf("slow log: %q", text)
	}
	return time.Duration(of[0]) * time.Microsecond, time.Duration(of[1]) * time.Microsecond
}

// What was acknowledged is there after Redis was killed: jobs, claims, ends.
func TestTheQueueOutlivesRedis(t *testing.T) {
	t.Parallel() // it waits more than it works, for a Redis of its own
	server := redistest.Start(t, redistest.Persistent())
	q := start(t, redisstore.Config{URL: server.URL(), OpTimeout: 500 * time.Millisecond}).Queue(queue.Config{Lease: time.Minute})
	var (
		mu    sync.Mutex
		ids   []string
		ended = map[string]bool{}
		wg    sync.WaitGroup
	)
	stop := make(chan struct{})
	stopped := func() bool {
		select {
		case <-stop:
			return true
		default:
			return false
		}
	}
	for w := range 4 {
		wg.Go(func() {
			for i := 0; !stopped(); i++ {
				tickets, _ := q.Enqueue(t.Context(), "shop", requests(20, fmt.Sprint("/", w, "/", i, "/"), queue.Normal)) // the rest may be there or not
				mu.Lock()
				for _, t := range tickets {
					ids = append(ids, t.ID)
				}
				mu.Unlock()
			}
		})
	}
	wg.Go(func() {
		for !stopped() {
			c, err := q.Claim(t.Context(), "shop", anyOne)
			if err != nil || len(c.Jobs) == 0 {
				continue
			}
			if ok, err := q.Finish(t.Context(), "shop", c.Jobs[0].Claim(), queue.Result{Outcome: queue.Written}); err == nil && ok {
				mu.Lock()
				ended[c.Jobs[0].ID] = true
				mu.Unlock()
			}
		}
	})
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return min(len(ids), 20*len(ended))
	}
	eventually(t, cachetest.Patience, "some jobs", func() bool { return count() > 400 })
	server.Restart()
	before := count()
	eventually(t, cachetest.Patience, "more jobs after the restart", func() bool { return count() > before+400 })
	close(stop)
	wg.Wait()
	found := map[string]queue.State{}
	for some := range slices.Chunk(ids, 500) {
		jobs, err := q.Get(t.Context(), "shop", some)
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range jobs {
			found[j.ID] = j.State
		}
	}
	if len(found) != len(ids) {
		t.Errorf("%d of %d jobs are there that were acknowledged", len(found), len(ids))
	}
	for id := range ended {
		if found[id] != queue.Done {
			t.Errorf("job %s was done, and is %d", id, found[id])
		}
	}
	t.Logf("%d jobs and %d ends were acknowledged around a kill of Redis, and are there", len(ids), len(ended))
}
