//go:build linux

package epoll

import "time"

const (
	// tick is what deadlines are rounded up to.
	tick = 50 * time.Millisecond
	// wheelSlots bound how far ahead a deadline is looked after; one beyond comes up and is put further.
	wheelSlots = 1024
)

// wheel is a timing wheel: sessions by the tick at which their deadlines are to be looked at. A deadline that moves away costs nothing: its session comes up, is asked,
// and put further.
type wheel struct {
	now   uint32 // ticks since the engine began, all of which have come up
	slots [wheelSlots][]*session
	count int
}

// add has a session come up at a tick, or at the last one that the wheel has.
func (w *wheel) add(s *session, at uint32) {
	at = min(max(at, w.now+1), w.now+wheelSlots-1)
	s.wheelAt = at
	w.slots[at%wheelSlots] = append(w.slots[at%wheelSlots], s)
	w.count++
}

// advance brings up everybody whose time has come.
func (w *wheel) advance(now uint32, due func(*session)) {
	for w.now < now {
		w.now++
		slot := w.slots[w.now%wheelSlots]
		if len(slot) == 0 {
			continue
		}
		w.slots[w.now%wheelSlots] = nil
		w.count -= len(slot)
		for i, s := range slot {
			slot[i] = nil
			if s.wheelAt == w.now { // else it has been put elsewhere since
				due(s)
			}
		}
	}
}

// next is how many ticks there are until somebody may come up; false if nobody ever does.
func (w *wheel) next() (ticks uint32, found bool) {
	if w.count == 0 {
		return 0, false
	}
	for ticks = 1; ticks < wheelSlots; ticks++ {
		if len(w.slots[(w.now+ticks)%wheelSlots]) > 0 {
			break
		}
	}
	return ticks, true
}
