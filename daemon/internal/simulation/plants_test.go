package simulation_test

import "time"

// plant is a bug that is planted in a model, to see that it is found. The product has none of them.
type plant uint8

const (
	noPlant plant = iota
	releaseWithoutToken
	writeWithoutVersion
	gapIgnored
	nearUnvouched
	baseOfHead
	setWithNewest
	fillWithoutAsOf
	validityFromReceipt
	grantWithoutJudged
	fetchLoserFresh
	nobodyIsAMember
	noQuietTime
	ackBeforeApplied
	noDoubt
	joinedCallForgotten
)

// planted says what a bug is, which promises it breaks, and where it is looked for; nil: in every seed. Seeds may be tuned
// to what it takes; that they are without fault when nothing is planted is looked at too.
type planted struct {
	name   string
	breaks []string
	where  func(*plan) bool
	tune   func(*plan)
}

// failOvers has a small fleet whose Redis fails over again and again, while daemons crash and much is revalidated.
func failOvers(p *plan) {
	p.daemons, p.clients = max(p.daemons, 2), max(p.clients, 3)
	p.visits, p.revalidations = 80*time.Millisecond, 200*time.Millisecond
	p.soft, p.longRender, p.failing, p.barren = 0, 0, 0, 0
	p.faults = []fault{{name: "fail-over", every: 700 * time.Millisecond}, {name: "daemon crashes", every: 700 * time.Millisecond}}
}

// lagging has many frames that take long, in a small fleet whose daemons are cut off again and again.
func lagging(p *plan) {
	p.daemons, p.clients, p.pages = 3, 4, 1
	p.visits, p.revalidations = 80*time.Millisecond, 300*time.Millisecond
	p.soft, p.longRender, p.failing, p.barren = 0, 0, 0, 0
	p.lagging = 0.5
	p.faults = []fault{{name: "cut", every: 700 * time.Millisecond}, {name: "hang", every: 1200 * time.Millisecond}}
}

// joins has few processes with many long calls, all of which may be joined.
func joins(p *plan) {
	p.daemons, p.clients, p.pages, p.fetches = 2, 2, 2, 2
	p.visits, p.revalidations = 80*time.Millisecond, 200*time.Millisecond
	p.soft, p.longRender, p.failing, p.barren = 0, 0.9, 0, 0
	p.slowRedis, p.faults = 2*time.Millisecond, nil
}

var plants = map[plant]planted{
	releaseWithoutToken: {name: "a lease is released whoever has it", breaks: []string{oneRegeneration}},
	writeWithoutVersion: {name: "a write replaces a newer version", breaks: []string{oneWrite}},
	gapIgnored:          {name: "events were missed, and the proof says that none were", breaks: []string{noResurrection}},
	nearUnvouched:       {name: "the near cache is used though nobody vouches for it", breaks: []string{noResurrection, cutOff}},
	baseOfHead:          {name: "a base names the log's head, not what the daemon has applied", breaks: []string{noResurrection}},
	setWithNewest:       {name: "a set counts from the newest get of its key", breaks: []string{noResurrection}},
	fillWithoutAsOf:     {name: "the near cache keeps what an event has overtaken", breaks: []string{noResurrection}},
	validityFromReceipt: {name: "validity is counted from when it was heard of", breaks: []string{noResurrection}, tune: lagging},
	grantWithoutJudged:  {name: "a lease is granted although a newer entry is there", breaks: []string{oneRegeneration}},
	fetchLoserFresh:     {name: "an old fetch is told fresh where somebody else regenerates it", breaks: []string{noResurrection}},
	nobodyIsAMember:     {name: "a revalidation waits for nobody", breaks: []string{noResurrection}},
	noQuietTime:         {name: "a new epoch begins without a quiet time", breaks: []string{noResurrection}},
	ackBeforeApplied:    {name: "a client acknowledges events before it has applied them", breaks: []string{noResurrection}},
	joinedCallForgotten: {name: "what has joined a call counts from its own get only", breaks: []string{noResurrection}, tune: joins},
	noDoubt:             {name: "a log that goes on in another server is taken for all that was acknowledged", breaks: []string{noResurrection}, tune: failOvers},
}
