//go:build linux

package epoll

import (
	"cmp"
	"slices"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/snug"
)

// part is a loop's share of a log.
//
// Its members are an array, and what they have is told by where in it they are: it is divided into segments, of each of which all have the events up to the
// same one. A sweep goes through the array and brings each segment what the log has more, so that what comes while it is on its way goes along to all whom it has
// not reached, in one write; and the next sweep has only the others to go to. So a burst of posts costs little more than one.
//
// The array is in the order of slots, so that a session is found in it without that anybody notes where it is: four bytes are all that a membership costs a loop. In
// return those behind it move when one comes or goes in their midst: of 100,000 members in a loop 400 KB at most. Who has many more in one wants blocks of them.
type part struct {
	f *fanout
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
	// maxSegments bound what it costs to take a member in or out. With so many, what comes while a segment is under way waits for the next one.
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

// segmentOf is the segment that a place is in; the last, of the place behind them all.
func (p *part) segmentOf(place int) int {
	i := 0
	for i < len(p.segments)-1 && p.segments[i].end <= place {
		i++
	}
	return i
}

// find is the place of the member with a slot, or the one that he would have.
func (p *part) find(slot uint32) (place int, is bool) {
	if n := len(p.members); n == 0 || p.members[n-1]&^hasCursor < slot { // who has just come, mostly
		return n, false
	}
	return slices.BinarySearchFunc(p.members, slot, func(m, slot uint32) int { return cmp.Compare(m&^hasCursor, slot) })
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
		p.swept = 0
		p.segments = append(p.segments[:0], segment{ring: ring, at: min(next-1, ring.Head())}) // who is ahead of the log waits with a cursor
	}
	place, _ := p.find(s.slot)
	k := p.segmentOf(place)
	p.members = snug.Insert(p.members, place, s.slot)
	for i := k; i < len(p.segments); i++ {
		p.segments[i].end++
	}
	s.joined++
	if g := &p.segments[k]; g.ring != ring || g.at != next-1 {
		s.follow(cursor{p, ring, next})
		p.members[place] |= hasCursor
		l.wakes(s)
	}
	if p.lacks() {
		l.lacks(p)
	}
}

// detach ends that. Of a session that is a member nowhere, and has ended, another may have the slot.
func (l *loop) detach(s *session, f *fanout) {
	p := f.parts[l.id]
	if p == nil || s.joined == 0 {
		return
	}
	place, is := p.find(s.slot)
	if !is {
		return
	}
	for k := p.segmentOf(place); k < len(p.segments); k++ {
		p.segments[k].end--
	}
	p.members = snug.Delete(p.members, place)
	f.at[l.id].members.Add(-1)
	l.parted(s, p)
}

// closePart detaches all members.
func (l *loop) closePart(f *fanout) {
	p := f.parts[l.id]
	if p == nil {
		return
	}
	f.parts[l.id] = nil
	for _, m := range p.members {
		l.parted(l.sessions[m&^hasCursor], p)
	}
	p.members, p.segments, p.swept = nil, nil, 0
}

// parted notes that a session is a member of p no more.
func (l *loop) parted(s *session, p *part) {
	s.unfollow(p)
	if s.joined--; s.phase == ended {
		l.vacate(s)
	}
}
