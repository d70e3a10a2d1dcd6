package simulation_test

import (
	"time"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
)

// How long a client waits; see jsclient.
const (
	clientTimeout     = 200 * time.Millisecond
	revalidateTimeout = 5 * time.Second
	welcomeTimeout    = time.Second
	pingEvery         = 250 * time.Millisecond
	silenceLimit      = time.Second + clientTimeout
	giveUpSilent      = 3 * time.Second // 10 s in jsclient: longer than a seed
	deliverAgain      = time.Second
)

// client is one Next.js process with the client of isrd in it: a model of jsclient's session, in one thread.
type client struct {
	w    *world
	name string
	home int // the daemon of its node
	dead bool

	stalled bool
	busy    time.Duration // when the thread was last stalled
	backlog []func()      // what the thread will do when it is free

	bound    *stream // was welcomed and has not ended
	link     *stream // the one that requests go through
	opening  *stream // not welcomed yet
	ready    bool
	silent   bool
	lastID   uint64
	pending  map[uint64]*pending
	unwanted map[uint64]pageKey
	heardAt  time.Duration
	ping     struct {
		id     uint64
		sentAt time.Duration
	}
	helloAt   time.Duration
	sessionID string
	leases    []*lease
	claimed   []*lease
	releases  []release

	follow     following
	near       near
	outbox     outbox
	delivering []delivered
	renders    map[string][]*render
	running    map[string]*running
	calls      []endedCall // calls of functions, in the order of their ends
	own        ownMarks
}

// ownMarks are the revalidations that a daemon has taken from this process. They hold at that daemon at once.
type ownMarks struct {
	at    *life
	marks map[string]*marks
}

// pageKey is a key as a frame has it.
type pageKey struct {
	space isrdv1.Space
	name  string
}

func (k pageKey) wire() *isrdv1.Key { return &isrdv1.Key{Space: k.space, Name: k.name} }

// pending is a request that waits for its answer.
type pending struct {
	id     uint64
	sentAt time.Duration
	dueAt  time.Duration
	parked bool
	key    *pageKey // of a get
	then   func(*isrdv1.SessionResponse)
}

// release is a lease to give back.
type release struct {
	key       pageKey
	token     uint64
	completed bool
}

func newClient(w *world, name string, home int) *client {
	return &client{
		w: w, name: name, home: home, pending: make(map[uint64]*pending), unwanted: make(map[uint64]pageKey),
		renders: make(map[string][]*render), running: make(map[string]*running),
		own:  ownMarks{marks: make(map[string]*marks)},
		near: newNear(), outbox: outbox{marks: make(map[string]*mark)},
	}
}

func (c *client) slot() int {
	for i, other := range c.w.clients {
		if other == c {
			return i
		}
	}
	return 0
}

// after has the client's thread do something when a while has passed, or later if it is busy.
func (c *client) after(d time.Duration, do func()) {
	c.w.after(d, func() { c.soon(do) })
}

func (c *client) soon(do func()) {
	switch {
	case c.dead:
	case c.stalled:
		c.backlog = append(c.backlog, do)
	default:
		do()
	}
}

// stall keeps the thread busy: timers fire late, and the socket is read after them.
func (c *client) stall(while time.Duration) {
	if c.dead || c.stalled {
		return
	}
	c.w.note("stall", c.name, while)
	c.stalled, c.busy = true, c.w.now()
	c.w.after(while, func() {
		c.stalled = false
		backlog := c.backlog
		c.backlog = nil
		for _, do := range backlog {
			c.soon(do)
		}
	})
}

// crash ends the process.
func (c *client) crash() {
	if c.dead {
		return
	}
	c.w.note("kill", c.name)
	c.dead = true
	for _, s := range []*stream{c.bound, c.link, c.opening} {
		if s != nil {
			s.change(cut)
		}
	}
}

// request sends a frame and waits for its answer, which may be a refusal: nil if there is none in time.
func (c *client) request(f *isrdv1.SessionRequest, timeout time.Duration, key *pageKey, then func(*isrdv1.SessionResponse)) {
	c.requestOn(c.link, f, timeout, key, then)
}

func (c *client) requestOn(s *stream, f *isrdv1.SessionRequest, timeout time.Duration, key *pageKey, then func(*isrdv1.SessionResponse)) {
	if s == nil || s.ended {
		then(nil)
		return
	}
	c.lastID++
	f.Id = c.lastID
	now := c.w.now()
	p := &pending{id: f.GetId(), sentAt: now, key: key, then: then}
	c.pending[p.id] = p
	s.send(f)
	c.rearm(s, p, timeout)
}

func (c *client) rearm(s *stream, p *pending, timeout time.Duration) {
	p.dueAt = c.w.now() + timeout
	due := p.dueAt
	c.after(timeout, func() {
		if c.pending[p.id] != p || p.dueAt != due {
			return
		}
		c.giveUp(s, p)
		if c.heardAt < p.sentAt {
			c.fallSilent(s)
		}
	})
}

// giveUp lets nobody wait for a request any longer.
func (c *client) giveUp(s *stream, p *pending) {
	delete(c.pending, p.id)
	if p.key != nil {
		c.unwanted[p.id] = *p.key
		s.send(&isrdv1.SessionRequest{Id: p.id, Frame: &isrdv1.SessionRequest_Cancel{Cancel: &isrdv1.Cancel{}}})
	}
	p.then(nil)
}

// receive is a frame that comes on a stream.
func (c *client) receive(s *stream, f *isrdv1.SessionResponse) {
	c.soon(func() { c.read(s, f) })
}

func (c *client) read(s *stream, f *isrdv1.SessionResponse) {
	if s.ended || s != c.bound && s != c.opening {
		return // a link that is drained is of no interest to the model
	}
	c.heardAt = c.w.now()
	if c.silent && s == c.bound {
		c.silent = false
		c.becomeReady(s)
	}
	switch frame := f.GetFrame().(type) {
	case *isrdv1.SessionResponse_Welcome:
		c.welcomed(s, frame.Welcome)
	case *isrdv1.SessionResponse_Events:
		c.events(s, frame.Events.GetEvents())
	case *isrdv1.SessionResponse_Reset_:
		c.follow.reset(c, frame.Reset_.GetPosition())
		c.acknowledge(s)
	case *isrdv1.SessionResponse_Pong:
		if f.GetId() == c.ping.id {
			sentAt := c.ping.sentAt
			c.ping.id = 0
			c.follow.pong(c, frame.Pong, sentAt)
			c.sendReleases(s)
		}
	case *isrdv1.SessionResponse_GoAway:
		c.moveOn(s)
	case *isrdv1.SessionResponse_Waiting:
		if p := c.pending[f.GetId()]; p != nil {
			p.parked = true
			c.rearm(s, p, time.Duration(frame.Waiting.GetLimitMs())*time.Millisecond+clientTimeout)
		}
	default:
		c.answer(s, f)
	}
}

// answer matches an answer with its request.
func (c *client) answer(s *stream, f *isrdv1.SessionResponse) {
	p := c.pending[f.GetId()]
	if p == nil {
		if key, ok := c.unwanted[f.GetId()]; ok {
			delete(c.unwanted, f.GetId())
			if token := f.GetGet().GetLease().GetToken(); token != 0 {
				c.giveBack(s, release{key: key, token: token})
			}
		}
		return
	}
	delete(c.pending, p.id)
	if f.GetRefusal() != nil {
		c.w.note("refused", c.name, f.GetRefusal().GetMessage())
	}
	p.then(f)
}

func (c *client) events(s *stream, events []*isrdv1.Event) {
	if c.w.plan.plant == ackBeforeApplied {
		c.acknowledgeUpTo(s, events[len(events)-1].GetPosition())
		c.after(c.w.between(10*time.Millisecond, 600*time.Millisecond), func() { c.follow.events(c, events) })
		return
	}
	c.follow.events(c, events)
	c.acknowledge(s)
}

func (c *client) acknowledge(s *stream) {
	if c.follow.known {
		c.acknowledgeUpTo(s, c.follow.at.wire())
	}
}

func (c *client) acknowledgeUpTo(s *stream, p *isrdv1.Position) {
	s.send(&isrdv1.SessionRequest{Frame: &isrdv1.SessionRequest_EventsAck{EventsAck: &isrdv1.EventsAck{Position: p}}})
}

// release gives a lease back, when the daemon answers.
func (c *client) release(r release) {
	if c.bound == nil || r.token == 0 {
		return
	}
	c.releases = append(c.releases, r)
	if c.link != nil {
		c.sendReleases(c.link)
	}
}

func (c *client) sendReleases(s *stream) {
	all := c.releases
	c.releases = nil
	for _, r := range all {
		c.giveBack(s, r)
	}
}

func (c *client) giveBack(s *stream, r release) {
	f := &isrdv1.SessionRequest{Frame: &isrdv1.SessionRequest_Release{Release: &isrdv1.ReleaseRequest{
		Key: r.key.wire(), LeaseToken: r.token, Completed: r.completed,
	}}}
	c.requestOn(s, f, clientTimeout, nil, func(answer *isrdv1.SessionResponse) {
		if answer.GetRelease() == nil && s == c.bound {
			c.releases = append(c.releases, r)
		}
	})
}
