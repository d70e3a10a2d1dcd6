package worker

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/isrd/isrd/daemon/internal/queue"
)

// What Next.js says in x-nextjs-cache when it took the request as one on demand.
const revalidated = "REVALIDATED"

// judge says what a report means for a job that was handed over at a position of the log. True: the request was joined to
// a render that had begun before; ask again.
//
// With a write of the page that is later than the position it is done, whatever the status: a 404 or a redirect that is
// cached is one. Without:
//
//	it said that the page is too large to be sent          done: TooLarge
//	it said why it failed, no response, 5xx, 408, 429      tried again
//	404, and only what is cached was to be regenerated     done: NotCached
//	404                                                    done: NotFound
//	3xx                                                    done: Redirected
//	200 without x-nextjs-cache                             done: NoWrite (rendered for every request)
//	REVALIDATED without any write                          tried again: the shell of fallback: true says so
//	x-nextjs-cache of an ordinary request                  tried again: the id was not that of the build
//	any other status                                       tried again
func judge(j queue.Job, r queue.Report, epoch, seq uint64) (result queue.Result, again bool) {
	result = queue.Result{Verdict: queue.Complete, HTTPStatus: r.HTTPStatus}
	end := func(v queue.Verdict, o queue.Outcome, format string, args ...any) (queue.Result, bool) {
		result.Verdict, result.Outcome, result.Reason = v, o, fmt.Sprintf(format, args...)
		return result, false
	}
	joined := false
	refused := false
	for _, w := range writesOf(j, r) {
		switch later := w.Epoch > epoch || w.Epoch == epoch && w.Seq > seq; {
		case !later:
			joined = true
		case w.TooLarge:
			return end(queue.Complete, queue.TooLarge, "the page is larger than --max-entry-bytes")
		case w.Kept:
			return end(queue.Complete, queue.Written, "")
		default:
			refused = true
		}
	}
	status := r.HTTPStatus
	switch {
	case r.TooLarge:
		return end(queue.Complete, queue.TooLarge, "the page is larger than --max-entry-bytes: %s", r.Error)
	case r.Error != "":
		return end(queue.TryAgain, 0, "%s", r.Error)
	case refused:
		return end(queue.TryAgain, 0, "the page was revalidated again while it was rendered, or the store was away")
	case joined:
		return result, true
	case status == 0:
		return end(queue.TryAgain, 0, "no response")
	case status == http.StatusNotFound && j.OnlyIfCached:
		return end(queue.Complete, queue.NotCached, "the page is not cached")
	case status == http.StatusNotFound:
		return end(queue.Complete, queue.NotFound, "there is no such page, and nothing was cached")
	case status >= 300 && status < 400:
		return end(queue.Complete, queue.Redirected, "the path answers with a redirect (%d) that is not cached", status)
	case status != http.StatusOK:
		return end(queue.TryAgain, 0, "status %d", status)
	case r.NextCache == "":
		return end(queue.Complete, queue.NoWrite, "Next.js answered without a write: a page that is rendered for every request")
	case r.NextCache == revalidated:
		return end(queue.TryAgain, 0, "Next.js said %s, and nothing was written", revalidated)
	default:
		return end(queue.TryAgain, 0, "Next.js took it for an ordinary request (%s)", r.NextCache)
	}
}

// writesOf are the writes of the job's page: of the key that the process named, or of those that are named by the path.
func writesOf(j queue.Job, r queue.Report) []queue.Write {
	var exact, localized []queue.Write
	want := normal(j.Path)
	for _, w := range r.Writes {
		switch name := normal(queue.PathOf(w.Name)); {
		case r.Name != "":
			if w.Name == r.Name {
				exact = append(exact, w)
			}
		case name == want:
			exact = append(exact, w)
		case hasLocale(name, want):
			localized = append(localized, w)
		}
	}
	if len(exact) > 0 {
		return exact
	}
	return localized
}

// normal makes paths comparable: segments are decoded in keys. That of the root is empty.
func normal(path string) string {
	if decoded, err := url.PathUnescape(path); err == nil {
		path = decoded
	}
	return strings.TrimSuffix(path, "/")
}

var locale = regexp.MustCompile(`^/[A-Za-z]{2,3}(-[A-Za-z0-9]+)*$`)

// hasLocale reports whether name is the path after a locale.
func hasLocale(name, path string) bool {
	before, ok := strings.CutSuffix(name, path)
	return ok && locale.MatchString(before)
}
