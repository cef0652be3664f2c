//go:build linux

package epoll

import (
	"slices"
	"sync/atomic"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

const (
	// waveBytes are put together for one wave, unless one frame alone is more. It is what fits in a socket's buffer, so that a reader that keeps up takes it at once.
	waveBytes = 32 << 10
	// waveFrames are at most in a wave.
	waveFrames = 256
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
//
// Its members are an array, and what they have is told by where in it they are: it is divided into segments, of each of which all have the events up to the
// same one. A sweep goes through the array and brings each segment what the log has more, so that what comes while it is on its way goes along to all whom it has
// not reached, in one write; and the next sweep has only the others to go to. So a burst of posts costs little more than one.
type part struct {
	f      *fanout
	number uint32 // in its loop
	// members are slots of sessions; with hasCursor, one that is not where its segment is.
	members  []uint32
	segments []segment
	// swept is how many of the segments the sweep under way has done. A segment may be empty, until a sweep comes to it.
	swept  int
	queued bool // among the loop's sweeps
}

// segment is the members from the end of the segment before to its own. All have what is up to at on ring, but those with a cursor, who have what that says.
type segment struct {
	end  int
	ring *engine.Ring
	at   uint64
}

const (
	hasCursor = 1 << 31
	// maxSegments bound what it costs to take a member out. With so many, what comes while a segment is under way waits for the next one.
	maxSegments = 32
)

// wave is what a sweep brings to a segment: the events from its position to a target, or the word that they are too many.
type wave struct {
	p      *part
	from   segment // without its end
	to     segment // the same
	frames []*engine.Frame
	// tooLong: the one frame says so. watched: one of the frames is.
	tooLong, watched bool
	// joined is the frames one after the other, by encoding, once a session asks for it. One frame alone is not copied.
	joined [2][]byte
}

// lacks says whether the log has something for a segment's members.
func (g *segment) lacks(ring *engine.Ring) bool { return ring != g.ring || g.at < ring.Head() }

// is reports whether two segments are at the same event.
func (g *segment) is(other *segment) bool { return g.ring == other.ring && g.at == other.at }

// lacks says whether the log has something for any member.
func (p *part) lacks() bool {
	ring := p.f.ring.Load()
	for i := range p.segments {
		if p.segments[i].lacks(ring) {
			return true
		}
	}
	return false
}

// begins is the first member of a segment.
func (p *part) begins(segment int) int {
	if segment == 0 {
		return 0
	}
	return p.segments[segment-1].end
}

// segmentOf is the segment that a member is in.
func (p *part) segmentOf(member int) int {
	i := 0
	for p.segments[i].end <= member {
		i++
	}
	return i
}

// next goes on to the first segment that lacks something; false if the sweep has come to its end.
func (p *part) next() bool {
	ring := p.f.ring.Load()
	for p.swept < len(p.segments) {
		switch g := &p.segments[p.swept]; {
		case g.end == p.begins(p.swept):
			p.segments = slices.Delete(p.segments, p.swept, p.swept+1)
		case p.swept > 0 && g.is(&p.segments[p.swept-1]):
			p.segments[p.swept-1].end = g.end
			p.segments = slices.Delete(p.segments, p.swept, p.swept+1)
		case g.lacks(ring):
			return true
		default:
			p.swept++
		}
	}
	p.swept = 0
	return false
}

// forget lets go of what the wave brings.
func (w *wave) forget() {
	clear(w.frames)
	w.p, w.from, w.to, w.frames = nil, segment{}, segment{}, w.frames[:0]
	for enc := range w.joined {
		w.joined[enc] = w.joined[enc][:0]
	}
}

// gather has the wave bring what a segment lacks.
func (w *wave) gather(p *part, g segment) {
	w.forget()
	ring := p.f.ring.Load()
	w.p, w.from, w.tooLong, w.watched = p, segment{ring: g.ring, at: g.at}, ring != g.ring, false
	size := 0
	for next, head := g.at+1, ring.Head(); !w.tooLong && next <= head && len(w.frames) < waveFrames; next++ {
		frame := ring.At(next)
		if frame == nil {
			w.tooLong = true
			break
		}
		if size += frame.Size(); size > waveBytes && len(w.frames) > 0 {
			break
		}
		w.frames = append(w.frames, frame)
		w.watched = w.watched || frame.Watched() != nil
		w.to = segment{ring: ring, at: next}
	}
	if w.tooLong {
		frame := ring.TooLong()
		clear(w.frames)
		w.frames = append(w.frames[:0], frame)
		w.to = segment{ring: ring, at: frame.Pts()}
	}
}

// brings reports whether the wave is what a segment lacks, all of it if there is room for another segment.
func (w *wave) brings(p *part, g *segment) bool {
	if w.p != p || !w.from.is(g) {
		return false
	}
	ring := p.f.ring.Load()
	return len(p.segments) >= maxSegments || ring == w.to.ring && (w.to.at == ring.Head() || w.full(ring))
}

// full says whether the event after the wave's last has no room in it.
func (w *wave) full(ring *engine.Ring) bool {
	if len(w.frames) == waveFrames {
		return true
	}
	size := 0
	for _, frame := range w.frames {
		size += frame.Size()
	}
	frame := ring.At(w.to.at + 1)
	return frame != nil && size+frame.Size() > waveBytes
}

// data is what the wave brings to a session of an encoding.
func (w *wave) data(enc engine.Encoding) []byte {
	if len(w.frames) == 1 {
		return w.frames[0].Bytes(enc)
	}
	if len(w.joined[enc]) == 0 {
		for _, frame := range w.frames {
			w.joined[enc] = append(w.joined[enc], frame.Bytes(enc)...)
		}
	}
	return w.joined[enc]
}

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
		// A member who ends takes others out of their places, or all of them.
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
	if p.members[i]&hasCursor != 0 {
		l.bringOwn(p, i, s)
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
func (l *loop) bringOwn(p *part, i int, s *session) {
	if !s.blocked && !s.ready {
		l.flush(s)
	}
	if s.phase != open || i >= len(p.members) || p.members[i] != s.slot|hasCursor {
		return // it has ended, and another may have its place
	}
	l.settled(s, p)
}

// settled takes a cursor away where its session is where the others are.
func (l *loop) settled(s *session, p *part) {
	i := s.positionIn(p)
	g := &p.segments[p.segmentOf(i)]
	if c := s.cursorOf(p); c != nil && c.ring == g.ring && c.next == g.at+1 {
		s.unfollow(p)
		p.members[i] &^= hasCursor
	}
}

func (l *loop) newPart(f *fanout) *part {
	p := &part{f: f, number: uint32(len(l.parts))}
	if n := len(l.gaps); n > 0 {
		p.number, l.gaps = l.gaps[n-1], l.gaps[:n-1]
		l.parts[p.number] = p
		return p
	}
	l.parts = append(l.parts, p)
	return p
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
		p = l.newPart(f)
		f.parts[l.id] = p
	}
	if len(p.members) == 0 {
		p.swept = 0
		p.segments = append(p.segments[:0], segment{ring: ring, at: min(next-1, ring.Head())}) // who is ahead of the log waits with a cursor
	}
	if n := len(s.places); n == cap(s.places) { // a quarter more, and not twice as many
		s.places = append(make([]place, 0, n+1+n/4), s.places...)
	}
	s.places = append(s.places, place{p.number, uint32(len(p.members))})
	p.members = append(p.members, s.slot)
	last := &p.segments[len(p.segments)-1]
	last.end++
	if last.ring != ring || last.at != next-1 {
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
		if i := slices.IndexFunc(s.places, func(at place) bool { return at.part == p.number }); i >= 0 {
			l.leave(s, i)
		}
	}
}

// leave takes a session out of the part that is the i-th of its places.
func (l *loop) leave(s *session, i int) {
	p, pos := l.parts[s.places[i].part], int(s.places[i].pos)
	last := len(s.places) - 1
	s.places[i] = s.places[last]
	if s.places = s.places[:last]; last == 0 {
		s.places = nil
	}
	s.unfollow(p)
	p.f.at[l.id].members.Add(-1)
	// The last of its segment takes the place; of each one behind, the last the place before its first.
	hole := pos
	for k := p.segmentOf(pos); k < len(p.segments); k++ {
		g := &p.segments[k]
		g.end--
		l.move(p, g.end, hole)
		hole = g.end
	}
	p.members = p.members[:hole]
}

// move gives a member another place in its part.
func (l *loop) move(p *part, from, to int) {
	if from == to {
		return
	}
	p.members[to] = p.members[from]
	s := l.sessions[p.members[to]&^hasCursor]
	for i := range s.places {
		if s.places[i].part == p.number {
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
	l.parts[p.number] = nil
	l.gaps = append(l.gaps, p.number)
	for _, m := range p.members {
		s := l.sessions[m&^hasCursor]
		s.places = slices.DeleteFunc(s.places, func(at place) bool { return at.part == p.number })
		s.unfollow(p)
	}
	p.members, p.segments, p.swept = nil, nil, 0
}
