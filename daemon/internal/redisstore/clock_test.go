package redisstore

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// reply is one question for the time, to a Redis whose clock is ahead by offset.
func reply(c *clock, offset, there, back time.Duration) {
	sent := time.Now()
	time.Sleep(there)
	micros := time.Now().Add(offset).UnixMicro()
	time.Sleep(back)
	c.observe(sent, time.Now(), micros)
}

func wrong(c *clock, offset time.Duration) time.Duration {
	return (time.Duration(c.now()-time.Now().Add(offset).UnixMilli()) * time.Millisecond).Abs()
}

func TestClockFollowsRedisWhateverTheWallClockSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, offset := range []time.Duration{0, time.Hour, -time.Hour, 400 * 24 * time.Hour} {
			c := newClock()
			reply(c, offset, time.Millisecond, time.Millisecond)
			time.Sleep(time.Minute)
			if e := wrong(c, offset); e > time.Millisecond {
				t.Errorf("wrong by %v with a Redis that is ahead by %v", e, offset)
			}
		}
	})
}

func TestClockKeepsTheBetterSample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const offset = time.Hour
		c := newClock()
		reply(c, offset, time.Millisecond, time.Millisecond)
		// A slow answer says little: it may have been slow on the way back.
		reply(c, offset, time.Millisecond, 400*time.Millisecond)
		if e := wrong(c, offset); e > 2*time.Millisecond {
			t.Errorf("wrong by %v after a slow answer", e)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		for range 1000 {
			reply(c, offset, time.Duration(rng.IntN(50))*time.Millisecond, time.Duration(rng.IntN(50))*time.Millisecond)
			if e := wrong(c, offset); e > 10*time.Millisecond {
				t.Fatalf("wrong by %v", e)
			}
		}
	})
}

func TestClockFollowsAClockThatWasSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		reply(c, time.Hour, time.Millisecond, time.Millisecond)
		reply(c, -time.Hour, 40*time.Millisecond, 40*time.Millisecond)
		if e := wrong(c, -time.Hour); e > 41*time.Millisecond {
			t.Errorf("wrong by %v after Redis's clock was set back", e)
		}
	})
}
