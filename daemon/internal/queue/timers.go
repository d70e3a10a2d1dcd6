package queue

import (
	"cmp"
	"container/heap"
)

// timers are jobs by what is due first.
type timers []*job

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, k int) bool { return cmp.Less(t[i].due, t[k].due) }
func (t timers) Swap(i, k int) {
	t[i], t[k] = t[k], t[i]
	t[i].index, t[k].index = i, k
}

// Push implements heap.Interface.
func (t *timers) Push(x any) {
	j := x.(*job) //nolint:errcheck,forcetypeassert // nothing else is pushed
	j.index = len(*t)
	*t = append(*t, j)
}

// Pop implements heap.Interface.
func (t *timers) Pop() any {
	last := len(*t) - 1
	j := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	j.index = -1
	return j
}

func (t *timers) set(j *job, due int64) {
	j.due = due
	if j.index >= 0 {
		heap.Fix(t, j.index)
		return
	}
	heap.Push(t, j)
}

func (t *timers) clear(j *job) {
	if j.index >= 0 {
		heap.Remove(t, j.index)
	}
}

// first is when something becomes due; 0: nothing does.
func (t timers) first() int64 {
	if len(t) == 0 {
		return 0
	}
	return t[0].due
}
