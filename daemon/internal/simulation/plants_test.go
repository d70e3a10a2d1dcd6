package simulation_test

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
)

// planted says what a bug is, which promises it breaks, and where it is looked for; nil: in every seed.
type planted struct {
	name   string
	breaks []string
	where  func(*plan) bool
}

var plants = map[plant]planted{
	releaseWithoutToken: {name: "a lease is released whoever has it", breaks: []string{oneRegeneration}},
	writeWithoutVersion: {name: "a write replaces a newer version", breaks: []string{oneWrite}},
	gapIgnored:          {name: "events were missed, and the proof says that none were", breaks: []string{noResurrection}},
	nearUnvouched:       {name: "the near cache is used though nobody vouches for it", breaks: []string{noResurrection, cutOff}},
	baseOfHead:          {name: "a base names the log's head, not what the daemon has applied", breaks: []string{noResurrection}},
	setWithNewest:       {name: "a set counts from the newest get of its key", breaks: []string{noResurrection}},
	fillWithoutAsOf:     {name: "the near cache keeps what an event has overtaken", breaks: []string{noResurrection}},
	validityFromReceipt: {name: "validity is counted from when it was heard of", breaks: []string{noResurrection}, where: func(p *plan) bool { return p.lagging > 0 }},
	grantWithoutJudged:  {name: "a lease is granted although a newer entry is there", breaks: []string{oneRegeneration}},
	fetchLoserFresh:     {name: "an old fetch is told fresh where somebody else regenerates it", breaks: []string{noResurrection}},
	nobodyIsAMember:     {name: "a revalidation waits for nobody", breaks: []string{noResurrection}},
	noQuietTime:         {name: "a new epoch begins without a quiet time", breaks: []string{noResurrection}},
	ackBeforeApplied:    {name: "a client acknowledges events before it has applied them", breaks: []string{noResurrection}},
	noDoubt:             {name: "a log that goes on in another server is taken for all that was acknowledged", breaks: []string{noResurrection}, where: func(p *plan) bool { return p.has("fail-over") && p.daemons > 1 }},
}
