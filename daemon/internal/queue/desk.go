package queue

import (
	"container/list"
	"maps"
	"slices"
)

// status is a job's place in more detail than State: what is Queued may be ready, later or behind another.
type status uint8

const (
	ready   status = iota // in the list of its priority and build
	later                 // due by its timer
	behind                // the next of a claimed one
	claimed               //
	done                  //
	dead                  //
	gone                  // forgotten
)

// job is a Job on the desk.
type job struct {
	Job
	is     status
	entry  *list.Element // where it is ready
	after  *job          // the next one of its path, while this one has not ended
	before *job          // whose next one it is, while it is behind
	asked  int64         // when it was asked for last, by whoever needs a render that begins later
	due    int64         // of its timer
	index  int           // of its timer; -1: there is none
}

func (j *job) shown() Job {
	out := j.Job
	out.Token = 0
	switch j.is {
	case claimed:
		out.State = Taken
	case done:
		out.State = Done
	case dead:
		out.State = Dead
	default:
		out.State = Queued
		if j.is == later && j.Attempt > 0 {
			out.State, out.RetryAt = Failed, j.due
		}
	}
	return out
}

// path is what makes jobs identical.
type path struct{ build, path string }

// line is where jobs wait for their turn.
type line struct {
	priority Priority
	build    string
}

// desk is the queue of one app. Its owner sees to it that one at a time uses it, and sets now.
type desk struct {
	config Config
	now    int64
	told   [2]bool // by Kind: there is something to tell

	jobs   map[string]*job
	paths  map[path]*job // the newest that is known
	lines  map[line]*list.List
	timers timers
	dead   []*job // the oldest first
	open   int
	turn   uint64
	token  uint64
	builds map[string]int64 // by when they were seen last

	leader    string
	term      uint64
	termUntil int64
}

func newDesk(cfg Config) *desk {
	return &desk{
		config: cfg, jobs: make(map[string]*job), paths: make(map[path]*job), lines: make(map[line]*list.List),
		builds: make(map[string]int64),
	}
}

func (d *desk) line(p Priority, build string) *list.List {
	l := d.lines[line{p, build}]
	if l == nil {
		l = list.New()
		d.lines[line{p, build}] = l
	}
	return l
}

func (j *job) where() path { return path{j.Build, j.Path} }

// add enqueues, or finds the job that does the same. False: there is no room.
func (d *desk) add(r Request, id string) (Ticket, bool) {
	there := d.paths[path{r.Build, r.Path}]
	if there != nil && there.is <= behind {
		d.join(there, r)
		return Ticket{ID: there.ID, Collapsed: true}, true
	}
	if d.open >= d.config.Limit(r.Priority) {
		return Ticket{}, false
	}
	j := &job{Job: Job{Request: r, ID: id, Enqueued: d.now}, asked: d.now, index: -1}
	d.jobs[id], d.paths[j.where()] = j, j
	d.open++
	switch {
	case there == nil:
		d.push(j)
	case there.is == claimed:
		d.follow(j, there)
	default:
		d.put(j, there.Claimed+d.config.Settle.Milliseconds())
	}
	d.told[Ready] = true
	return Ticket{ID: id}, true
}

// follow makes a job the next one of one that is claimed.
func (d *desk) follow(j, before *job) {
	j.is, j.before, before.after = behind, before, j
	d.timers.clear(j)
}

// join makes a job do what is asked for too.
func (d *desk) join(j *job, r Request) {
	j.asked = d.now
	j.OnlyIfCached = j.OnlyIfCached && r.OnlyIfCached
	if r.Priority >= j.Priority {
		return
	}
	if j.is == ready {
		d.pull(j)
		j.Priority = r.Priority
		d.push(j)
	}
	j.Priority = r.Priority
}

// push makes a job ready.
func (d *desk) push(j *job) {
	j.is = ready
	j.entry = d.line(j.Priority, j.Build).PushBack(j)
	d.timers.set(j, d.now+d.config.Patience.Milliseconds())
	d.told[Ready] = true
}

// pull takes a job out of its line.
func (d *desk) pull(j *job) {
	if j.entry != nil {
		d.line(j.Priority, j.Build).Remove(j.entry)
		j.entry = nil
	}
}

// put makes a job ready when it is due.
func (d *desk) put(j *job, due int64) {
	d.told[Ready] = true
	if due <= d.now {
		d.push(j)
		return
	}
	j.is = later
	d.timers.set(j, due)
}

func (d *desk) forget(j *job) {
	j.is = gone
	d.timers.clear(j)
	delete(d.jobs, j.ID)
	if d.paths[j.where()] == j {
		delete(d.paths, j.where())
	}
}

// ended lets the next job of the path go on.
func (d *desk) ended(j *job) {
	if after := j.after; after != nil && after.is == behind {
		after.before = nil
		d.put(after, j.Claimed+d.config.Settle.Milliseconds())
	}
	j.after = nil
	d.open--
	d.told[Ended] = true
}

// complete ends a job well. If this attempt was claimed after the next job of the path was asked for the last time, as it
// may be when others failed before, then it did what that is to do.
func (d *desk) complete(j *job) {
	j.is = done
	d.timers.set(j, d.now+d.config.Keep.Milliseconds())
	after := j.after
	if after == nil || after.is != behind || after.asked >= j.Claimed || j.OnlyIfCached && !after.OnlyIfCached {
		d.ended(j)
		return
	}
	j.after, after.before = nil, nil
	d.ended(j)
	after.By, after.Claimed = j.By, j.Claimed
	after.Outcome, after.HTTPStatus, after.Reason = j.Outcome, j.HTTPStatus, j.Reason
	d.complete(after)
}

// die gives a job up; the oldest dead one makes room.
func (d *desk) die(j *job, reason string) {
	j.is, j.Reason = dead, reason
	d.timers.set(j, d.now+d.config.KeepDead.Milliseconds())
	d.dead = append(d.dead, j)
	d.ended(j)
	if len(d.dead) > d.config.MaxDead {
		d.forget(d.dead[0])
		d.dead = d.dead[1:]
	}
}

func (d *desk) bury(j *job) {
	if i := slices.Index(d.dead, j); i >= 0 {
		d.dead = slices.Delete(d.dead, i, i+1)
	}
}

// fail tries a job again when it is due, or gives it up.
func (d *desk) fail(j *job, reason string, due int64) {
	if j.Attempt >= d.config.Attempts {
		d.die(j, reason)
		return
	}
	j.Reason = reason
	d.put(j, due)
}

// tick does what has become due.
func (d *desk) tick() {
	for due := d.timers.first(); due > 0 && due <= d.now; due = d.timers.first() {
		switch j := d.timers[0]; j.is {
		case ready:
			d.pull(j)
			d.die(j, "nobody took it: no process of its build has offered itself, or all are busy")
		case later:
			d.push(j)
		case claimed:
			d.fail(j, "its worker went away", d.now)
		default:
			d.bury(j)
			d.forget(j)
		}
	}
}

// find takes the job whose turn it is out of its line; nil: there is none that there is a place for.
func (d *desk) find(free map[string]int) *job {
	builds := slices.Sorted(maps.Keys(free))
	first := First(d.turn, len(builds))
	for _, p := range Order(d.turn) {
		for i := range builds {
			build := builds[(first+i)%len(builds)]
			next := d.line(p, build).Front()
			if next == nil || free[build] <= 0 {
				continue
			}
			free[build]--
			j := next.Value.(*job) //nolint:errcheck,forcetypeassert // nothing else is put there
			d.pull(j)
			return j
		}
	}
	return nil
}

// claim hands a job out.
func (d *desk) claim(j *job, by string) Job {
	d.turn++
	d.token++
	j.is, j.Token, j.By, j.Claimed = claimed, d.token, by, d.now
	j.Attempt++
	d.timers.set(j, d.now+d.config.Lease.Milliseconds())
	out := j.Job
	out.State = Taken
	return out
}

// claimed returns the job of a claim that lives.
func (d *desk) claimed(c Claim) *job {
	if j := d.jobs[c.ID]; j != nil && j.is == claimed && j.Token == c.Token {
		return j
	}
	return nil
}

// retry makes a job due that has failed, or is dead: that not beside another of its path.
func (d *desk) retry(j *job) bool {
	switch {
	case j.is == later && j.Attempt > 0:
		d.push(j)
		return true
	case j.is != dead:
		return false
	}
	d.bury(j)
	there := d.paths[j.where()]
	if there != nil && there.is <= behind {
		d.join(there, j.Request)
		d.forget(j) // that one does what it was to do
		return true
	}
	j.Attempt, j.asked = 0, d.now
	d.open++
	d.paths[j.where()] = j
	if there != nil && there.is == claimed {
		d.follow(j, there)
	} else {
		d.push(j)
	}
	return true
}

// drop removes a job that is not claimed.
func (d *desk) drop(j *job) bool {
	if j.is == claimed {
		return false
	}
	d.pull(j)
	d.bury(j)
	before := j.before
	if j.is < done {
		d.ended(j)
	}
	d.forget(j)
	if before != nil { // who asks now is to find that one
		before.after, d.paths[j.where()] = nil, before
	}
	d.told[Ended] = true
	return true
}
