//go:build linux

package epoll

import (
	"slices"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

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
