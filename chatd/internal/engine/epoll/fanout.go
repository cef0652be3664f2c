//go:build linux

package epoll

import (
	"slices"
	"sync/atomic"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

const (
	// passBytes are put together for one pass, unless one frame alone is more. It is what fits in a socket's buffer, so that a reader that keeps up takes it at once.
	passBytes = 32 << 10
	// passFrames are at most in a pass.
	passFrames = 256
)

// fanout implements engine.Fanout. Each loop has a part of its own, with the members that are its sessions.
type fanout struct {
	e      *Engine
	log    string
	ring   atomic.Pointer[engine.Ring]
	closed atomic.Bool
	at     []presence // by loop
	parts  []*part    // by loop, whose alone it is
}

// presence is what is known of a loop's members without asking it.
type presence struct {
	// members is how many there are, with those who are on their way. It is corrected when a loop finds one to have been attached before, or to be gone.
	members atomic.Int64
	// told: the loop has been told of news, and has not looked yet.
	told atomic.Bool
	_    [48]byte
}

var _ engine.Fanout = (*fanout)(nil)

func (f *fanout) Append(frame *engine.Frame) bool {
	if !f.ring.Load().Append(frame) {
		return false
	}
	f.tell()
	return true
}

func (f *fanout) Reset(epoch uint32, head uint64) {
	f.ring.Swap(engine.NewRing(f.log, epoch, head, f.e.cfg, f.e.held)).Drop()
	f.tell()
}

// tell has the loops with members look at the ring. One that attaches meanwhile looks by itself.
func (f *fanout) tell() {
	if f.closed.Load() {
		return
	}
	for i, l := range f.e.loops {
		if at := &f.at[i]; at.members.Load() > 0 && !at.told.Swap(true) {
			l.post(op{kind: opNews, f: f})
		}
	}
}

func (f *fanout) Epoch() uint32 { return f.ring.Load().Epoch() }
func (f *fanout) Head() uint64  { return f.ring.Load().Head() }

func (f *fanout) Recent(cursor uint64, limit int) ([]*engine.Frame, uint64, bool) {
	return f.ring.Load().Recent(cursor, limit)
}

func (f *fanout) Sessions() int {
	if f.closed.Load() {
		return 0
	}
	n := int64(0)
	for i := range f.at {
		n += f.at[i].members.Load()
	}
	return int(n)
}

func (f *fanout) Attach(es engine.Session, cursor uint64) (from uint64, covered bool) {
	s := es.(*session)
	ring := f.ring.Load()
	from, covered = ring.Start(cursor)
	if s.over.Load() || f.closed.Load() {
		return from, covered
	}
	f.at[s.loop.id].members.Add(1)
	s.loop.post(op{kind: opAttach, s: s, f: f, ring: ring, next: from + 1})
	return from, covered
}

func (f *fanout) Detach(es engine.Session) {
	s := es.(*session)
	s.loop.leaves.Add(1)
	s.loop.post(op{kind: opDetach, s: s, f: f})
}

func (f *fanout) Close() {
	if f.closed.Swap(true) {
		return
	}
	f.ring.Load().Drop()
	f.e.postAll(op{kind: opCloseLog, f: f})
}

// part is a loop's share of a log.
type part struct {
	f    *fanout
	ring *engine.Ring
	// at is the position of the newest event that all members have, on ring; but those that the pass under way has come to have what it brings, and those with a
	// cursor have what that says.
	at uint64
	// members are slots of sessions; with hasCursor, one that is not where the others are.
	members []uint32
	queued  bool // among the loop's passes

	pass struct {
		underWay bool
		i        int // the member who is next
		// frames are what it brings: from ring, up to target; or the one that says too long, on another ring or on this one.
		frames  []*engine.Frame
		tooLong bool
		ring    *engine.Ring
		target  uint64
		// joined is the frames one after the other, by encoding, once a session asks for it. One frame alone is not copied.
		joined [2][]byte
	}
}

const hasCursor = 1 << 31

// lacks says whether the log has something for members who are at p.at.
func (p *part) lacks() bool {
	ring := p.f.ring.Load()
	return ring != p.ring || p.at < ring.Head()
}

// begin gathers what a pass brings; false if there is nothing.
func (p *part) begin() bool {
	ring := p.f.ring.Load()
	w := &p.pass
	w.i, w.ring, w.tooLong, w.frames = 0, ring, ring != p.ring, w.frames[:0]
	w.joined = [2][]byte{}
	if !w.tooLong {
		size := 0
		for next, head := p.at+1, ring.Head(); next <= head && len(w.frames) < passFrames; next++ {
			frame := ring.At(next)
			if frame == nil {
				w.tooLong, w.frames = true, w.frames[:0]
				break
			}
			if size += frame.Size(); size > passBytes && len(w.frames) > 0 {
				break
			}
			w.frames = append(w.frames, frame)
			w.target = next
		}
	}
	if w.tooLong {
		frame := ring.TooLong()
		w.frames, w.target = append(w.frames, frame), frame.Pts()
	}
	w.underWay = len(w.frames) > 0
	return w.underWay
}

// data is what the pass brings to a session of an encoding.
func (p *part) data(enc engine.Encoding) []byte {
	w := &p.pass
	if len(w.frames) == 1 {
		return w.frames[0].Bytes(enc)
	}
	if w.joined[enc] == nil {
		size := 0
		for _, frame := range w.frames {
			size += len(frame.Bytes(enc))
		}
		w.joined[enc] = make([]byte, 0, size)
		for _, frame := range w.frames {
			w.joined[enc] = append(w.joined[enc], frame.Bytes(enc)...)
		}
	}
	return w.joined[enc]
}

// pass brings a stride of members what they lack; true when it has come to its end.
func (l *loop) pass(p *part) (over bool) {
	w := &p.pass
	if !w.underWay {
		found := p.begin()
		if l.leaves.Load() > 0 { // somebody may have left before the newest of these came
			l.doOps()
		}
		if !found || p.f.closed.Load() {
			w.underWay = false
			return true
		}
	}
	for end := min(w.i+strideSessions, len(p.members)); w.i < end && w.i < len(p.members); {
		i := w.i
		w.i++
		l.bring(p, i)
	}
	if w.i < len(p.members) {
		return false
	}
	p.ring, p.at = w.ring, w.target
	w.underWay = false
	clear(w.frames)
	w.joined = [2][]byte{}
	return true
}

// bring serves one member in a pass.
func (l *loop) bring(p *part, i int) {
	w := &p.pass
	s := l.sessions[p.members[i]&^hasCursor]
	if p.members[i]&hasCursor != 0 {
		l.bringOwn(p, i, s)
		return
	}
	if s.blocked || s.ready || s.withheld() {
		// It has something else to be sent first, or may not be sent this now.
		s.follow(cursor{p, p.ring, p.at + 1})
		p.members[i] |= hasCursor
		return
	}
	data := p.data(s.enc)
	n, blocked, err := l.send(s, data)
	if err != nil {
		l.fail(s, err)
		return
	}
	if !blocked {
		l.delivered(w.frames, w.tooLong)
		return
	}
	l.cutShort(p, i, s, n)
}

// delivered counts frames that one session has.
func (l *loop) delivered(frames []*engine.Frame, tooLong bool) {
	if tooLong {
		l.count.tooLong.Add(1)
		return
	}
	l.count.deliveries.Add(uint64(len(frames)))
	for _, frame := range frames {
		if watch := frame.Watched(); watch != nil {
			watch.Written()
		}
	}
}

// cutShort notes where a member is whose socket has taken only n bytes of what a pass brings.
func (l *loop) cutShort(p *part, i int, s *session, n int) {
	w := &p.pass
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
	l.delivered(w.frames[:whole], w.tooLong && whole > 0)
	c := cursor{p, p.ring, p.at + 1 + uint64(whole)}
	if w.tooLong && whole > 0 {
		c.ring, c.next = w.ring, w.target+1
	}
	s.follow(c)
	p.members[i] |= hasCursor
	l.block(s)
}

// bringOwn lets a member with a cursor go on by it, and takes the cursor away where he is then where the pass brings the others.
func (l *loop) bringOwn(p *part, i int, s *session) {
	if !s.blocked && !s.ready {
		l.flush(s)
	}
	if s.phase != open || i >= len(p.members) || p.members[i] != s.slot|hasCursor {
		return // it has ended, and another may have its place
	}
	if c := s.cursorOf(p); c != nil && c.ring == p.pass.ring && c.next == p.pass.target+1 {
		s.unfollow(p)
		p.members[i] &^= hasCursor
	}
}

// settled takes a cursor away where its session is where the others are.
func (l *loop) settled(s *session, p *part) {
	i := s.positionIn(p)
	ring, at := p.ring, p.at
	if p.pass.underWay && i < p.pass.i {
		ring, at = p.pass.ring, p.pass.target
	}
	if c := s.cursorOf(p); c != nil && c.ring == ring && c.next == at+1 {
		s.unfollow(p)
		p.members[i] &^= hasCursor
	}
}

// attach makes a session a member, from a position on.
func (l *loop) attach(s *session, f *fanout, ring *engine.Ring, next uint64) {
	if s.phase != open || f.closed.Load() {
		f.at[l.id].members.Add(-1)
		return
	}
	l.detach(s, f)
	p := f.parts[l.id]
	if p == nil {
		p = &part{f: f}
		f.parts[l.id] = p
	}
	if len(p.members) == 0 {
		p.pass.underWay = false
		p.ring, p.at = ring, min(next-1, ring.Head()) // who is ahead of the log waits with a cursor
	}
	s.places = append(s.places, place{p, uint32(len(p.members))})
	p.members = append(p.members, s.slot)
	if p.ring != ring || p.at != next-1 || p.pass.underWay {
		s.follow(cursor{p, ring, next})
		p.members[len(p.members)-1] |= hasCursor
		l.wakes(s)
	}
	if p.lacks() {
		l.lacks(p)
	}
}

// detach ends that.
func (l *loop) detach(s *session, f *fanout) {
	if p := f.parts[l.id]; p != nil {
		if i := slices.IndexFunc(s.places, func(at place) bool { return at.p == p }); i >= 0 {
			l.leave(s, i)
		}
	}
}

// leave takes a session out of the part that is the i-th of its places.
func (l *loop) leave(s *session, i int) {
	p, pos := s.places[i].p, int(s.places[i].pos)
	last := len(s.places) - 1
	s.places[i] = s.places[last]
	s.places[last] = place{}
	s.places = s.places[:last]
	s.unfollow(p)
	p.f.at[l.id].members.Add(-1)
	// The last member takes the place. One whom a pass has not come to must not get one that it has: the one before the next does, and leaves his to him.
	if w := &p.pass; w.underWay && pos < w.i {
		w.i--
		l.move(p, w.i, pos)
		pos = w.i
	}
	l.move(p, len(p.members)-1, pos)
	p.members = p.members[:len(p.members)-1]
}

// move gives a member another place in its part.
func (l *loop) move(p *part, from, to int) {
	if from == to {
		return
	}
	p.members[to] = p.members[from]
	s := l.sessions[p.members[to]&^hasCursor]
	for i := range s.places {
		if s.places[i].p == p {
			s.places[i].pos = uint32(to)
			return
		}
	}
}

// closePart detaches all members.
func (l *loop) closePart(f *fanout) {
	p := f.parts[l.id]
	if p == nil {
		return
	}
	f.parts[l.id] = nil
	for _, m := range p.members {
		s := l.sessions[m&^hasCursor]
		s.places = slices.DeleteFunc(s.places, func(at place) bool { return at.p == p })
		s.unfollow(p)
	}
	p.members, p.pass.underWay = nil, false
}
