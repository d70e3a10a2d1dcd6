package tag_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isrd/isrd/daemon/internal/tag"
)

const (
	start  = int64(1_700_000_000_000)
	never  = tag.Never
	expire = 60_000
)

func hard() tag.Mark         { return tag.Mark{Tag: "t"} }
func soft(at int64) tag.Mark { return tag.Mark{Tag: "t", Soft: true, ExpireAt: at} }

func TestRecordJudge(t *testing.T) {
	type mark struct {
		mark tag.Mark
		seq  uint64
		at   int64
	}
	type want struct {
		seq uint64
		now int64
		is  tag.Freshness
	}
	for _, tc := range []struct {
		name  string
		marks []mark
		want  []want
	}{
		{"no mark", nil, []want{{0, start, tag.Fresh}}},
		{"a hard mark expires what was rendered before it, and nothing else", []mark{{hard(), 5, start}},
			[]want{{4, start, tag.Expired}, {5, start, tag.Fresh}, {6, start, tag.Fresh}}},
		{"a soft mark makes stale, then expires", []mark{{soft(start + expire), 5, start}},
			[]want{{4, start, tag.Stale}, {4, start + expire - 1, tag.Stale}, {4, start + expire, tag.Expired}, {5, start + expire, tag.Fresh}}},
		{"a soft mark without an end only makes stale", []mark{{soft(never), 5, start}},
			[]want{{4, start + 1000*expire, tag.Stale}, {5, start, tag.Fresh}}},
		{"a hard mark ends the waiting of a soft one", []mark{{soft(start + expire), 5, start}, {hard(), 6, start + 1}},
			[]want{{4, start + 1, tag.Expired}, {5, start + 1, tag.Expired}, {6, start + expire, tag.Fresh}}},
		{"a soft mark after a hard one", []mark{{hard(), 5, start}, {soft(start + expire), 6, start}},
			[]want{{4, start, tag.Expired}, {5, start, tag.Stale}, {5, start + expire, tag.Expired}, {6, start + expire, tag.Fresh}}},
		{"what has expired stays so when the next soft mark comes", []mark{{soft(start), 5, start}, {soft(start + expire), 6, start + 1}},
			[]want{{4, start + 1, tag.Expired}, {5, start + 1, tag.Stale}, {5, start + expire, tag.Expired}}},
		{"two pending marks share the earlier time", []mark{{soft(start + expire), 5, start}, {soft(start + 2*expire), 6, start}},
			[]want{{5, start + expire - 1, tag.Stale}, {5, start + expire, tag.Expired}, {6, start + 3*expire, tag.Fresh}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var r tag.Record
			for _, m := range tc.marks {
				r = r.Mark(m.mark, m.seq, m.at)
			}
			for _, w := range tc.want {
				if got := r.Judge(w.seq, w.now); got != w.is {
					t.Errorf("content of seq %d at start%+d: got %v, want %v (record %+v)", w.seq, w.now-start, got, w.is, r)
				}
			}
		})
	}
}

// history is a random sequence of marks of one tag, as a log holds it: seqs and times grow.
type history []tag.Event

func newHistory(rng *rand.Rand) history {
	h := make(history, rng.IntN(8))
	seq, at := uint64(0), start
	for i := range h {
		seq += 1 + rng.Uint64N(2)
		at += rng.Int64N(20)
		m := hard()
		switch rng.IntN(4) {
		case 0:
			m = soft(never)
		case 1, 2:
			m = soft(at + rng.Int64N(40))
		}
		h[i] = tag.Event{Position: tag.Position{Seq: seq}, At: at, Marks: []tag.Mark{m}}
	}
	return h
}

func (h history) record() tag.Record {
	var r tag.Record
	for _, e := range h {
		r = r.Mark(e.Marks[0], e.Position.Seq, e.At)
	}
	return r
}

// judge is what the marks say one by one, each with its own time.
func (h history) judge(seq uint64, now int64) tag.Freshness {
	worst := tag.Fresh
	for _, e := range h {
		if m := e.Marks[0]; seq < e.Position.Seq {
			f := tag.Expired
			if m.Soft && now < m.ExpireAt {
				f = tag.Stale
			}
			worst = max(worst, f)
		}
	}
	return worst
}

// pending reports whether two marks wait for their times at once, at some moment when a mark was made.
func (h history) pending() bool {
	for i, e := range h {
		waiting := 0
		for _, earlier := range h[:i] {
			if m := earlier.Marks[0]; m.Soft && m.ExpireAt != never && m.ExpireAt > e.At {
				waiting++
			}
		}
		if m := e.Marks[0]; waiting > 0 && m.Soft && m.ExpireAt != never {
			return true
		}
	}
	return false
}

func TestRecordIsTheSumOfItsMarks(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	exact := 0
	for range 20_000 {
		h := newHistory(rng)
		r, end := h.record(), start
		if len(h) > 0 {
			end = h[len(h)-1].At
		}
		for seq := range uint64(18) {
			for now := end; now < end+60; now += 1 + rng.Int64N(7) {
				got, want := r.Judge(seq, now), h.judge(seq, now)
				if got < want {
					t.Fatalf("content of seq %d at %+d is %v, its marks say %v: %+v gave %+v", seq, now-start, got, want, h, r)
				}
				if got != want && !h.pending() {
					t.Fatalf("content of seq %d at %+d is %v, sooner than its marks' %v, with one time pending: %+v gave %+v", seq, now-start, got, want, h, r)
				}
				if got == want {
					exact++
				}
			}
		}
		if got := r.Judge(18, end+1000); got != tag.Fresh {
			t.Fatalf("content that is newer than every mark is %v: %+v gave %+v", got, h, r)
		}
	}
	t.Logf("%d judgements, as their marks say", exact)
}

func TestMergeLaws(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		a, b, c := newHistory(rng).record(), newHistory(rng).record(), newHistory(rng).record()
		for _, law := range []struct {
			name string
			x, y tag.Record
		}{
			{"commutative", a.Merge(b), b.Merge(a)},
			{"associative", a.Merge(b).Merge(c), a.Merge(b.Merge(c))},
			{"idempotent", a.Merge(b).Merge(b), a.Merge(b)},
			{"neutral element", a.Merge(tag.Record{}), a},
		} {
			if law.x != law.y {
				t.Fatalf("not %s: %+v and %+v, from %+v, %+v, %+v", law.name, law.x, law.y, a, b, c)
			}
		}
		m := a.Merge(b)
		seq, now := rng.Uint64N(18), start+rng.Int64N(200)
		if got, least := m.Judge(seq, now), max(a.Judge(seq, now), b.Judge(seq, now)); got < least {
			t.Fatalf("merged record says %v where one of the two said %v: %+v of %+v and %+v", got, least, m, a, b)
		}
	}
}

func event(epoch, seq uint64, marks ...tag.Mark) tag.Event {
	return tag.Event{Position: tag.Position{Epoch: epoch, Seq: seq, Nonce: fmt.Sprint("n", seq)}, At: start, Marks: marks}
}

func TestManifestApply(t *testing.T) {
	var m tag.Manifest
	m.Load(tag.Snapshot{Position: tag.Position{Epoch: 7, Seq: 2, Nonce: "n2"}, Records: map[string]tag.Record{"old": {Expired: 2}}})
	for _, tc := range []struct {
		name  string
		event tag.Event
		want  tag.Outcome
		at    uint64
	}{
		{"an event seen before", event(7, 2, tag.Mark{Tag: "again"}), tag.Known, 2},
		{"an event after a gap", event(7, 4, tag.Mark{Tag: "early"}), tag.Gap, 2},
		{"the next event", event(7, 3, tag.Mark{Tag: "a"}, tag.Mark{Tag: "b", Soft: true, ExpireAt: never}), tag.Applied, 3},
		{"another epoch", event(8, 4, tag.Mark{Tag: "other"}), tag.Gap, 3},
	} {
		if got := m.Apply(tc.event); got != tc.want || m.Position().Seq != tc.at {
			t.Errorf("%s: got %d at seq %d, want %d at seq %d", tc.name, got, m.Position().Seq, tc.want, tc.at)
		}
	}
	want := tag.Snapshot{Position: tag.Position{Epoch: 7, Seq: 3, Nonce: "n3"},
		Records: map[string]tag.Record{"old": {Expired: 2}, "a": {Expired: 3, At: start}, "b": {Stale: 3, At: start}}}
	if diff := cmp.Diff(want, m.Snapshot()); diff != "" {
		t.Error(diff)
	}
}

func TestManifestJudge(t *testing.T) {
	var m tag.Manifest
	m.Load(tag.Snapshot{Position: tag.Position{Epoch: 7, Seq: 9}, Floor: 2, Records: map[string]tag.Record{
		"expired": {Expired: 5}, "stale": {Stale: 6},
	}})
	for _, tc := range []struct {
		name       string
		epoch, seq uint64
		tags       [][]string
		want       tag.Freshness
	}{
		{"no tags", 7, 4, nil, tag.Fresh},
		{"unknown tags", 7, 4, [][]string{{"x"}, {"y"}}, tag.Fresh},
		{"own tag", 7, 4, [][]string{{"x", "stale"}}, tag.Stale},
		{"soft tag of the reader", 7, 4, [][]string{{"x"}, {"stale"}}, tag.Stale},
		{"the worst counts", 7, 4, [][]string{{"stale"}, {"expired"}}, tag.Expired},
		{"rendered after the marks", 7, 6, [][]string{{"stale", "expired"}}, tag.Fresh},
		{"between the marks", 7, 5, [][]string{{"stale", "expired"}}, tag.Stale},
		{"older epoch", 6, 9, nil, tag.Expired},
		{"newer epoch", 8, 9, nil, tag.Expired},
		{"below the floor", 7, 1, nil, tag.Expired},
		{"at the floor", 7, 2, nil, tag.Fresh},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := m.Judge(tc.epoch, tc.seq, start, tc.tags...); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestSnapshotIsACopy(t *testing.T) {
	records := map[string]tag.Record{"t": {Expired: 1}}
	var m tag.Manifest
	m.Load(tag.Snapshot{Position: tag.Position{Epoch: 7, Seq: 1}, Records: records})
	records["t"] = tag.Record{}
	s := m.Snapshot()
	m.Apply(event(7, 2, hard()))
	if s.Records["t"] != (tag.Record{Expired: 1}) || m.Len() != 1 || m.Judge(7, 1, start, []string{"t"}) != tag.Expired {
		t.Errorf("snapshot %+v and manifest %+v share memory", s, m.Snapshot())
	}
}

// TestMarkedSince: what was built at a time, and not rendered at a place in the log, is judged by when marks were made.
func TestMarkedSince(t *testing.T) {
	var m tag.Manifest
	m.Load(tag.Snapshot{Position: tag.Position{Epoch: 7, Seq: 2}, Records: map[string]tag.Record{"early": {Expired: 1, At: start}, "late": {Stale: 2, At: start + 10}}})
	m.Apply(tag.Event{Position: tag.Position{Epoch: 7, Seq: 3}, At: start + 20, Marks: []tag.Mark{{Tag: "early"}}})
	for _, tc := range []struct {
		at   int64
		tags []string
		want bool
	}{
		{start + 10, []string{"none"}, false},
		{start + 10, []string{"none", "late"}, true},
		{start + 11, []string{"late"}, false},
		{start + 20, []string{"early"}, true},
		{start + 21, []string{"early", "late"}, false},
	} {
		if got := m.MarkedSince(tc.at, nil, tc.tags); got != tc.want {
			t.Errorf("%v marked since start%+d: %v", tc.tags, tc.at-start, got)
		}
	}
	m.Apply(tag.Event{Position: tag.Position{Epoch: 7, Seq: 4}, At: start + 30, Marks: []tag.Mark{{Tag: tag.Forgotten}}})
	if !m.MarkedSince(start+30, []string{"none"}) || m.MarkedSince(start+31, []string{"none"}) {
		t.Error("what was forgotten may have been any tag")
	}
	m.Load(tag.Snapshot{Position: tag.Position{Epoch: 7, Seq: 3}, Records: map[string]tag.Record{"early": {Expired: 3, At: start + 20}, "late": {Stale: 2, At: start + 10}}})
	m.Prune(1)
	if !m.MarkedSince(start+20, []string{"none"}) || m.MarkedSince(start+21, []string{"none"}) {
		t.Errorf("what was pruned may have been any tag: %+v", m.Snapshot())
	}
}

func TestManifestExplainsEpochsBefore(t *testing.T) {
	var m tag.Manifest
	m.Load(tag.Snapshot{
		Position: tag.Position{Epoch: 30, Seq: 35}, Floor: 12, Past: map[uint64]uint64{10: 15, 20: 25},
		Records: map[string]tag.Record{"early": {Expired: 14}, "late": {Expired: 32}},
	})
	for _, tc := range []struct {
		name       string
		epoch, seq uint64
		tag        string
		explained  bool
		want       tag.Freshness
	}{
		{"before an early mark", 10, 13, "early", true, tag.Expired},
		{"after an early mark", 10, 14, "early", true, tag.Fresh},
		{"before a mark of the present epoch", 10, 15, "late", true, tag.Expired},
		{"the epoch between", 20, 25, "early", true, tag.Fresh},
		{"an event of an epoch before that nobody knows", 10, 16, "none", false, tag.Expired},
		{"an epoch that nobody knows", 11, 13, "none", false, tag.Expired},
		{"below the floor", 10, 11, "none", true, tag.Expired},
		{"the present", 30, 35, "late", true, tag.Fresh},
		{"ahead of what is known", 30, 36, "none", false, tag.Fresh},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := m.Explains(tc.epoch, tc.seq); got != tc.explained {
				t.Errorf("explained: %v, want %v", got, tc.explained)
			}
			if got := m.Judge(tc.epoch, tc.seq, start, []string{tc.tag}); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
	s := m.Snapshot()
	s.Past[10] = 99
	if m.Explains(10, 16) {
		t.Error("snapshot and manifest share memory")
	}
}

func TestPrunedMarksAreUnderTheFloor(t *testing.T) {
	var m tag.Manifest
	records := make(map[string]tag.Record)
	for i := range uint64(100) {
		records[fmt.Sprint("t", i)] = tag.Record{Expired: i + 1}
	}
	m.Load(tag.Snapshot{Position: tag.Position{Epoch: 1, Seq: 100}, Records: records})
	if gone, _ := m.Prune(100); gone != nil || m.Len() != 100 {
		t.Fatalf("pruned %d of what is within the limit", len(gone))
	}
	gone, floor := m.Prune(99)
	if len(gone) != 51 || m.Len() != 49 || floor != 51 {
		t.Fatalf("forgot %d tags up to %d, kept %d", len(gone), floor, m.Len())
	}
	for i := range uint64(100) {
		for seq := range uint64(101) {
			got, was := m.Judge(1, seq, start, []string{fmt.Sprint("t", i)}), records[fmt.Sprint("t", i)].Judge(seq, start)
			if got < was || got != was && seq >= floor {
				t.Fatalf("content of seq %d with t%d is %v, was %v before the marks were pruned", seq, i, got, was)
			}
		}
	}
}

// TestSinceSaysWhatLaterMarksSay compares a record with one in which the marks after a place are said anew, much later.
func TestSinceSaysWhatLaterMarksSay(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 20_000 {
		h := newHistory(rng)
		place := rng.Uint64N(18)
		var before, after tag.Record
		end := start
		for _, e := range h {
			end = e.At
			if e.Position.Seq <= place {
				before = before.Mark(e.Marks[0], e.Position.Seq, e.At)
			}
			after = after.Mark(e.Marks[0], e.Position.Seq, e.At)
		}
		merged := before
		if m, ok := after.Since("t", place); ok {
			merged = merged.Mark(m, 100, end)
		} else if after != before {
			t.Fatalf("marks after %d are not said: %+v", place, h)
		}
		for seq := range place + 1 {
			for now := end; now < end+60; now += 1 + rng.Int64N(9) {
				if got, least := merged.Judge(seq, now), after.Judge(seq, now); got < least {
					t.Fatalf("content of seq %d at %+d is %v, was %v: %+v, marks after %d", seq, now-start, got, least, h, place)
				}
			}
		}
	}
}
