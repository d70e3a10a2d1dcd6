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

// plantNames say what each of them is.
var plantNames = map[plant]string{
	releaseWithoutToken: "a lease is released whoever has it",
	writeWithoutVersion: "a write replaces a newer version",
	gapIgnored:          "events were missed, and the proof says that none were",
	nearUnvouched:       "the near cache is used though nobody vouches for it",
	baseOfHead:          "a base names the log's head, not what the daemon has applied",
	setWithNewest:       "a set counts from the newest get of its key",
	fillWithoutAsOf:     "the near cache keeps what an event has overtaken",
	validityFromReceipt: "validity is counted from when it was heard of",
	grantWithoutJudged:  "a lease is granted although a newer entry is there",
	fetchLoserFresh:     "an old fetch is told fresh where somebody else regenerates it",
	nobodyIsAMember:     "a revalidation waits for nobody",
	noQuietTime:         "a new epoch begins without a quiet time",
	ackBeforeApplied:    "a client acknowledges events before it has applied them",
	noDoubt:             "a log that goes on in another server is taken for all that was acknowledged",
}
