package simulation_test

import "time"

// pipe is one direction of a connection: what is put in comes out in the same order, or not at all.
type pipe struct {
	s     *schedule
	hung  func() bool
	delay func() time.Duration
	lag   time.Duration // what the next one takes longer
	queue []func()
	held  int // how many would have come out, were it not hung
	last  time.Duration
	over  bool
}

func (p *pipe) put(do func()) {
	if p.over {
		return
	}
	p.queue = append(p.queue, do)
	p.later()
}

func (p *pipe) later() { p.last = p.s.at(max(p.last, p.s.now()+p.lag+p.delay()), p.out) }

func (p *pipe) out() {
	switch {
	case p.over:
	case p.hung():
		p.held++
	default:
		do := p.queue[0]
		p.queue = p.queue[1:]
		do()
	}
}

// flush lets out what was held.
func (p *pipe) flush() {
	n := p.held
	p.held = 0
	for range n {
		p.later()
	}
}

// end loses what is in it.
func (p *pipe) end() { p.over, p.queue = true, nil }
