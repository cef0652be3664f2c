package shard

import (
	"container/heap"
	"sync"
	"time"
)

// expiry ends sessions whose tokens are not good any more: those who have one in a heap, the first to end on top, and one timer for that one.
type expiry struct {
	mu    sync.Mutex
	by    byEnd
	timer *time.Timer
	// set is the end that the timer is set to; 0: none.
	set time.Duration
}

// byEnd is a heap of sessions. Their fields due and place are under the expiry's mu.
type byEnd []*session

func (h byEnd) Len() int           { return len(h) }
func (h byEnd) Less(i, j int) bool { return h[i].due < h[j].due }
func (h byEnd) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = int32(i)+1, int32(j)+1
}

// Push implements heap.Interface.
func (h *byEnd) Push(s any) {
	*h = append(*h, s.(*session))
	s.(*session).place = int32(len(*h))
}

// Pop implements heap.Interface.
func (h *byEnd) Pop() any {
	last := len(*h) - 1
	s := (*h)[last]
	(*h)[last] = nil
	*h, s.place = (*h)[:last], 0
	return s
}

// endsIn has a session end after a time from now, whatever was said of it before. From here on that is time that passes: a clock that is set
// neither ends all sessions of a shard nor makes them longer than their devices were told.
func (sh *Shard) endsIn(s *session, left time.Duration) {
	e := &sh.expiry
	e.mu.Lock()
	defer e.mu.Unlock()
	s.due = sh.cfg.Now().Sub(sh.began) + left
	if s.place == 0 {
		heap.Push(&e.by, s)
	} else {
		heap.Fix(&e.by, int(s.place)-1)
	}
	sh.setExpiryLocked()
}

// endsNoMore takes a session out.
func (sh *Shard) endsNoMore(s *session) {
	e := &sh.expiry
	e.mu.Lock()
	defer e.mu.Unlock()
	if s.place != 0 {
		heap.Remove(&e.by, int(s.place)-1)
		sh.setExpiryLocked()
	}
}

// isToEnd says whether a session is in it, which one that has come to its end is not, unless it was renewed just now.
func (sh *Shard) isToEnd(s *session) bool {
	sh.expiry.mu.Lock()
	defer sh.expiry.mu.Unlock()
	return s.place != 0
}

// setExpiryLocked sets the timer to the first end, if there is any. Of many that sign in, few are to end before all others.
func (sh *Shard) setExpiryLocked() {
	e := &sh.expiry
	first := time.Duration(0)
	if len(e.by) > 0 {
		first = e.by[0].due
	}
	if first == e.set {
		return
	}
	e.set = first
	switch {
	case first == 0:
		e.timer.Stop()
	case e.timer == nil:
		e.timer = time.AfterFunc(sh.untilLocked(e.by[0]), sh.expire)
	default:
		e.timer.Reset(sh.untilLocked(e.by[0]))
	}
}

func (sh *Shard) untilLocked(s *session) time.Duration { return s.due - sh.cfg.Now().Sub(sh.began) }

// expire ends all sessions whose time has come.
func (sh *Shard) expire() {
	e := &sh.expiry
	e.mu.Lock()
	defer e.mu.Unlock()
	e.set = 0 // it is set to nothing now
	for len(e.by) > 0 && sh.untilLocked(e.by[0]) <= 0 {
		s := heap.Pop(&e.by).(*session)
		sh.tasks.spawn(s.expire)
	}
	sh.setExpiryLocked()
}
