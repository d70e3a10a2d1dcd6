package cache

import "github.com/isrd/isrd/daemon/internal/tag"

// verdict is a judgement with its reason and the position it was made at.
type verdict struct {
	freshness tag.Freshness
	reason    Reason
	asOf      tag.Position
}

// judge says what e is to a reader with the given soft tags. It also judges absence: a nil entry is expired.
func (a *app) judge(e *Entry, id ID, soft []string) verdict {
	a.mu.RLock()
	defer a.mu.RUnlock()
	v := verdict{freshness: tag.Expired, reason: Absent, asOf: a.manifest.Position()}
	if e == nil {
		return v
	}
	now := a.cache.store.Now()
	if e.Version.Epoch != v.asOf.Epoch && !a.manifest.Explains(e.Version.Epoch, e.Version.Seq) {
		v.reason = Epoch
		return v
	}
	own := [1]string{id.Tag()}
	byTag := a.manifest.Judge(e.Version.Epoch, e.Version.Seq, now, e.Tags, soft, own[:])
	if !a.owed.empty() {
		byTag = max(byTag, a.owed.judge(e.Version.Token, now, e.Tags, soft, own[:]))
	}
	byAge := e.Lifetime.Judge(e.Age(now))
	v.freshness = max(byTag, byAge)
	v.reason = reasonOf(byTag, byAge)
	return v
}

func reasonOf(byTag, byAge tag.Freshness) Reason {
	switch {
	case byTag == tag.Expired:
		return TagExpired
	case byAge == tag.Expired:
		return Expired
	case byTag == tag.Stale:
		return TagStale
	case byAge == tag.Stale:
		return Revalidate
	default:
		return NoReason
	}
}
