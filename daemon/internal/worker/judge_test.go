package worker

import (
	"testing"

	"github.com/isrd/isrd/daemon/internal/queue"
)

func TestJudge(t *testing.T) {
	const epoch, seq = 7, 70
	later := func(name string) queue.Write { return queue.Write{Name: name, Epoch: epoch, Seq: seq + 1, Kept: true} }
	earlier := queue.Write{Name: "/p", Epoch: epoch, Seq: seq, Kept: true}
	said := func(status int, next string, writes ...queue.Write) queue.Report {
		return queue.Report{HTTPStatus: status, NextCache: next, Writes: writes}
	}
	ok := queue.Result{Verdict: queue.Complete, Outcome: queue.Written}
	again := queue.Result{Verdict: queue.TryAgain}
	done := func(o queue.Outcome) queue.Result { return queue.Result{Verdict: queue.Complete, Outcome: o} }
	page := queue.Job{Request: queue.Request{Path: "/p"}}
	cached := queue.Job{Request: queue.Request{Path: "/p", OnlyIfCached: true}}
	large, refused, anew := later("/p"), later("/p"), later("/p")
	large.Kept, large.TooLarge = false, true
	refused.Kept = false
	anew.Epoch, anew.Seq = epoch+1, 3
	named := said(200, revalidated, later("/whatever"))
	named.Name = "/whatever"
	otherwise := said(200, revalidated, later("/p"))
	otherwise.Name = "/en/p"
	unsent := said(200, revalidated)
	unsent.Error, unsent.TooLarge = "it has 9 bytes, and the daemon takes 8", true
	broken := said(200, revalidated)
	broken.Error = "connection refused"

	for name, tc := range map[string]struct {
		job    queue.Job
		report queue.Report
		want   queue.Result
		joined bool
	}{
		"written":                               {page, said(200, revalidated, later("/p")), ok, false},
		"written in a later epoch":              {page, said(200, revalidated, anew), ok, false},
		"a cached 404":                          {page, said(404, revalidated, later("/p")), ok, false},
		"a cached redirect":                     {page, said(307, revalidated, later("/p")), ok, false},
		"a PPR page that was written":           {page, said(200, "", later("/p")), ok, false},
		"a scoped key":                          {page, said(200, revalidated, later("/route-cache/APP_PAGE/0123ab/$/p")), ok, false},
		"a locale":                              {page, said(200, revalidated, later("/en-GB/p")), ok, false},
		"the root":                              {queue.Job{Request: queue.Request{Path: "/"}}, said(200, revalidated, later("/index")), ok, false},
		"a decoded key":                         {queue.Job{Request: queue.Request{Path: "/a%20b/%E6%97%A5/"}}, said(200, revalidated, later("/a b/日")), ok, false},
		"a key that the process named":          {page, named, ok, false},
		"joined and then rendered":              {page, said(200, revalidated, earlier, later("/p")), ok, false},
		"joined to a render before":             {page, said(200, revalidated, earlier), queue.Result{}, true},
		"another page, user traffic":            {page, said(200, revalidated, later("/a/p"), later("/q")), again, false},
		"another page than was named":           {page, otherwise, again, false},
		"the shell of fallback: true":           {page, said(200, revalidated), again, false},
		"too large":                             {page, said(200, revalidated, large), done(queue.TooLarge), false},
		"too large to be sent":                  {page, unsent, done(queue.TooLarge), false},
		"revalidated while it was rendered":     {page, said(200, revalidated, refused), again, false},
		"it could not be asked":                 {page, broken, again, false},
		"no response":                           {page, said(0, ""), again, false},
		"an error":                              {page, said(500, ""), again, false},
		"only if cached, and is not":            {cached, said(404, revalidated), done(queue.NotCached), false},
		"only if cached, Next.js 14":            {cached, said(404, ""), done(queue.NotCached), false},
		"no such page (fallback: false)":        {page, said(404, ""), done(queue.NotFound), false},
		"a redirect by the server":              {page, said(308, ""), done(queue.Redirected), false},
		"rendered for every request":            {page, said(200, ""), done(queue.NoWrite), false},
		"the id was wrong":                      {page, said(200, "HIT"), again, false},
		"forbidden":                             {page, said(403, ""), again, false},
		"too many requests at the app's server": {page, said(429, ""), again, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, joined := judge(tc.job, tc.report, epoch, seq)
			if joined != tc.joined {
				t.Fatalf("ask again: %v, want %v (%+v)", joined, tc.joined, got)
			}
			if !joined && (got.Verdict != tc.want.Verdict || got.Outcome != tc.want.Outcome || got.HTTPStatus != tc.report.HTTPStatus) {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
			if !joined && got.Outcome != queue.Written && got.Reason == "" {
				t.Error("without a reason")
			}
		})
	}
}
