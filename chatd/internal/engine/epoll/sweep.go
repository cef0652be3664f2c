//go:build linux

package epoll

import (
	"slices"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

// sweep brings a stride of members what they lack; true when it has come to its end.
func (l *loop) sweep(p *part) (over bool) {
	w := &l.wave
	for {
		if p.f.closed.Load() || !p.next() {
			w.forget()
			return true
		}
		if g := &p.segments[p.swept]; !w.brings(p, g) {
			w.gather(p, *g)
		}
		if l.leaves.Load() == 0 {
			break
		}
		l.doOps() // somebody may have left before the newest of these came
	}
	if p.f.closed.Load() { // and what it lacked was dropped
		w.forget()
		return true
	}
	// Who is served goes over to the segment before, which has what the wave brings.
	if p.swept == 0 || !p.segments[p.swept-1].is(&w.to) {
		to := w.to
		to.end = p.begins(p.swept)
		p.segments = slices.Insert(p.segments, p.swept, to)
		p.swept++
	}
	for range strideSessions {
		// Others may come and go meanwhile, on this side and on that, or all of them.
		if p.swept == 0 || p.swept >= len(p.segments) || p.segments[p.swept-1].end >= p.segments[p.swept].end {
			break
		}
		i := p.segments[p.swept-1].end
		p.segments[p.swept-1].end++
		l.bring(p, i)
	}
	return false
}

// bring serves one member in a sweep.
func (l *loop) bring(p *part, i int) {
	w := &l.wave
	s := l.sessions[p.members[i]&^hasCursor]
	if s.phase != open {
		return // it is sent no more events, and stays until it is detached
	}
	if p.members[i]&hasCursor != 0 {
		l.bringOwn(p, s)
		return
	}
	if s.blocked || s.ready || s.withheld() {
		// It has something else to be sent first, or may not be sent this now.
		s.follow(cursor{p, w.from.ring, w.from.at + 1})
		p.members[i] |= hasCursor
		return
	}
	n, blocked, err := l.send(s, w.data(s.enc))
	if err != nil {
		l.fail(s, err)
		return
	}
	if !blocked {
		l.delivered(w.frames, w.tooLong, w.watched)
		return
	}
	l.cutShort(p, i, s, n)
}

// delivered counts frames that one session has.
func (l *loop) delivered(frames []*engine.Frame, tooLong, watched bool) {
	if tooLong {
		l.count.tooLong.Add(1)
		return
	}
	l.count.deliveries.Add(uint64(len(frames)))
	if !watched {
		return
	}
	for _, frame := range frames {
		if watch := frame.Watched(); watch != nil {
			watch.Written()
		}
	}
}

// cutShort notes where a member is whose socket has taken only n bytes of what a wave brings.
func (l *loop) cutShort(p *part, i int, s *session, n int) {
	w := &l.wave
	whole, begins := 0, 0 // frames that it has, and where the next begins
	for _, frame := range w.frames {
		size := len(frame.Bytes(s.enc))
		if n < begins+size {
			break
		}
		whole, begins = whole+1, begins+size
	}
	if n > begins { // the frame that is begun is its own from now on
		s.more().rest = w.frames[whole].Bytes(s.enc)[n-begins:]
		whole++
	}
	l.delivered(w.frames[:whole], w.tooLong && whole > 0, w.watched)
	c := cursor{p, w.from.ring, w.from.at + 1 + uint64(whole)}
	if w.tooLong && whole > 0 {
		c.ring, c.next = w.to.ring, w.to.at+1
	}
	s.follow(c)
	p.members[i] |= hasCursor
	l.block(s)
}

// bringOwn lets a member with a cursor go on by it, and takes the cursor away where he is then where the wave brings the others.
func (l *loop) bringOwn(p *part, s *session) {
	if !s.blocked && !s.ready {
		l.flush(s)
	}
	if s.phase == open {
		l.settled(s, p)
	}
}

// settled takes a cursor away where its session is where the others are.
func (l *loop) settled(s *session, p *part) {
	c := s.cursorOf(p)
	if c == nil {
		return // or it has left
	}
	i, _ := p.find(s.slot)
	if g := &p.segments[p.segmentOf(i)]; c.ring == g.ring && c.next == g.at+1 {
		s.unfollow(p)
		p.members[i] &^= hasCursor
	}
}
