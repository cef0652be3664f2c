package swarm

import "math"

// book keeps the cursors of one loop's sessions by the rule for clients, and the account of every position. It knows no
// socket and no timer: it is told what came, and answers with what the session has to do next.
type book struct {
	run     uint64
	cursors []cursor
	gaps    slab[gap]
	held    slab[heldEvent]
	holes   slab[span] // what the server has passed over on this connection
	skips   slab[span] // what a cursor was moved over without its content
	tallies []tally    // by log

	deviations map[deviation]int64
	sightings  []sighting

	count *Counters
	meter *meter
	// slow tells the cursors of slow readers. nil: there are none.
	slow func(ci int32) bool
}

// cursor is one session's place in one log.
type cursor struct {
	// sum adds up digest(pts, post) over what was delivered. It does not depend on the order, and any range's sum is the
	// difference of two prefixes of the log's, so that checking a session at the end costs one subtraction.
	sum    uint64
	base   uint64 // the position at which the session began with this log
	pts    uint64 // everything up to here was applied, or skipped and listed in skips
	pushed uint64 // the highest position that was pushed on this connection, or that the server said it would not push
	epoch  uint32
	log    int32
	gap    int32
	holes  int32
	skips  int32
	state  cursorState
}

type cursorState uint8

const (
	// cursorNew has no base: the session was never attached to the log.
	cursorNew cursorState = iota
	// cursorWaiting has a base, but this connection has not attached the log (yet).
	cursorWaiting
	// cursorLive is attached.
	cursorLive
	// cursorRefused will not be attached any more.
	cursorRefused
)

// gap is what a session waits for in a log: a missing position, the rest of a difference, or to attach again.
type gap struct {
	cursor  int32
	session int32
	ref     uint32 // of the request under way; 0: none, the timer decides
	held    int32  // first of the held events, ascending
	count   int32  // of them
	tries   int32  // differences that brought nothing forward
	upTo    uint64 // a difference must reach this position: the server said that it will not push it
	attach  bool   // the request under way, or due, is an attach
}

// heldEvent is an event that came before those that precede it.
type heldEvent struct {
	next int32
	pts  uint64
	content
}

// span is a range of positions, both included, in a list. told: the server said that it leaves them out.
type span struct {
	next     int32
	told     bool
	from, to uint64
}

// sighting is an example of a deviation.
type sighting struct {
	cursor int32
	pts    uint64
	post   uint32
}

// todo is what a session has to do for a cursor.
type todo uint8

const (
	nothing todo = iota
	// holdOn: arm the gap's timer for HoldGap, if it is not armed.
	holdOn
	// ask: request a difference from the cursor now.
	ask
	// settled: the gap is closed; disarm its timer. Its record is released by the caller, which knows the handle.
	settled
)

const (
	// maxHeld bounds what one gap holds. What comes above it is left to the difference.
	maxHeld = 1024
	// maxTries is after how many differences without progress a session takes it that the server does not have the position.
	maxTries = 10
	// maxHoles bounds the ranges that are remembered of what the server passed over on a connection.
	maxHoles = 16
	// maxSkips bounds the ranges that were skipped, over all sessions of a loop.
	maxSkips = 1 << 20
)

// digest is what one position adds to a sum.
func digest(pts uint64, post uint32) uint64 { return mix(mix(pts) + uint64(post)) }

// pushed takes an event that the server pushed.
func (b *book) pushed(ci, session int32, ev *event, now int64) todo {
	c := &b.cursors[ci]
	b.count.Pushes++
	if c.state != cursorLive {
		b.count.Stray++
		return nothing
	}
	if ev.epoch != c.epoch {
		g := b.gapOf(ci, session)
		if g.ref != 0 {
			return nothing
		}
		return ask
	}
	if !b.inOrder(c, ev.pts) {
		return nothing
	}
	switch {
	case ev.pts <= c.pts:
		b.count.Overlap++
		return nothing
	case ev.pts == c.pts+1:
		b.apply(ci, contentOf(ev.data, b.run), now)
		if c.gap == 0 {
			return nothing
		}
		return b.filled(ci, now)
	}
	if c.gap == 0 {
		b.count.Gaps++
	}
	b.gapOf(ci, session)
	b.hold(ci, ev.pts, contentOf(ev.data, b.run))
	return holdOn
}

// inOrder judges the order of the server's pushes; it returns false for a position that the session has been given before.
func (b *book) inOrder(c *cursor, pts uint64) bool {
	switch {
	case pts == c.pushed+1:
		c.pushed = pts
	case pts > c.pushed:
		b.passOver(c, c.pushed+1, pts-1)
		c.pushed = pts
	case b.fillHole(c, pts):
		b.count.Unordered++
	default:
		b.count.Duplicate++
		return false
	}
	return true
}

// passOver notes positions that the server left out of its pushes. Of many, the oldest is forgotten: a late push into it
// is then taken for a duplicate, which is as bad a mark.
func (b *book) passOver(c *cursor, from, to uint64) {
	h := b.holes.take()
	*b.holes.at(h) = span{next: c.holes, from: from, to: to}
	c.holes = h
	n := 1
	for ; ; n++ {
		next := b.holes.at(h).next
		if next == 0 {
			return
		}
		if n == maxHoles {
			b.holes.at(h).next = 0
			freeSpans(&b.holes, next)
			return
		}
		h = next
	}
}

// fillHole takes a position out of the holes; it returns false when it is in none.
func (b *book) fillHole(c *cursor, pts uint64) bool {
	for at := &c.holes; *at != 0; at = &b.holes.at(*at).next {
		h := b.holes.at(*at)
		if pts < h.from || pts > h.to {
			continue
		}
		switch {
		case h.from == h.to:
			gone := *at
			*at = h.next
			b.holes.put(gone)
		case pts == h.from:
			h.from++
		case pts == h.to:
			h.to--
		default:
			rest := span{from: pts + 1, to: h.to, next: h.next}
			h.to = pts - 1
			handle := *at
			n := b.holes.take()
			*b.holes.at(n) = rest
			b.holes.at(handle).next = n
		}
		return true
	}
	return false
}

// apply moves the cursor to the next position, with its content.
func (b *book) apply(ci int32, what content, now int64) {
	c := &b.cursors[ci]
	c.pts++
	c.sum += digest(c.pts, what.post)
	b.count.Delivered++
	if !b.tallies[c.log].count(c.pts, what.post) {
		b.deviates(ci, what.post)
	}
	b.meter.delivered(what, now)
}

func (b *book) deviates(ci int32, post uint32) {
	c := &b.cursors[ci]
	key := deviation{c.log, c.pts, post}
	if _, known := b.deviations[key]; !known && len(b.deviations) >= maxDeviations {
		return
	}
	b.deviations[key]++
	if len(b.sightings) < maxSightings {
		b.sightings = append(b.sightings, sighting{ci, c.pts, post})
	}
}

// skip moves the cursor to a position without the content of those up to it.
func (b *book) skip(ci int32, to uint64, counter *int64) {
	c := &b.cursors[ci]
	if to <= c.pts {
		return
	}
	*counter += int64(min(to-c.pts, math.MaxInt32))
	told := counter == &b.count.SkippedTooLong
	// Past maxSkips a range is stretched over what was delivered. The sum then disagrees, and the session counts as wrong.
	if c.skips != 0 && b.stretches(b.skips.at(c.skips), c.pts, told) {
		last := b.skips.at(c.skips)
		last.to, last.told = to, last.told && told
	} else {
		h := b.skips.take()
		*b.skips.at(h) = span{next: c.skips, told: told, from: c.pts + 1, to: to}
		c.skips = h
	}
	c.pts = to
}

// stretches says whether a skip from a position on goes into the one before it.
func (b *book) stretches(last *span, from uint64, told bool) bool {
	return last.to == from && last.told == told || b.skips.inUse() >= maxSkips
}

// gapOf returns the cursor's gap, a new one if it has none. It is valid until the next gap is taken.
func (b *book) gapOf(ci, session int32) *gap {
	c := &b.cursors[ci]
	if c.gap == 0 {
		c.gap = b.gaps.take()
		*b.gaps.at(c.gap) = gap{cursor: ci, session: session}
	}
	return b.gaps.at(c.gap)
}

// hold keeps an event until those before it have come.
func (b *book) hold(ci int32, pts uint64, what content) {
	g := b.gaps.at(b.cursors[ci].gap)
	if g.count >= maxHeld {
		return
	}
	before := int32(0)
	after := g.held
	for after != 0 && b.held.at(after).pts < pts {
		before, after = after, b.held.at(after).next
	}
	if after != 0 && b.held.at(after).pts == pts {
		return
	}
	h := b.held.take()
	*b.held.at(h) = heldEvent{next: after, pts: pts, content: what}
	if before == 0 {
		g.held = h
	} else {
		b.held.at(before).next = h
	}
	g.count++
}

// release applies the held events that follow the cursor and drops those that it has passed.
func (b *book) release(ci int32, now int64) {
	c := &b.cursors[ci]
	g := b.gaps.at(c.gap)
	for g.held != 0 {
		e := *b.held.at(g.held)
		if e.pts > c.pts+1 {
			return
		}
		b.held.put(g.held)
		g.held, g.count = e.next, g.count-1
		if e.pts == c.pts+1 {
			b.apply(ci, e.content, now)
		}
	}
}

// filled releases what waited for the position that has just come.
func (b *book) filled(ci int32, now int64) todo {
	b.release(ci, now)
	g := b.gaps.at(b.cursors[ci].gap)
	if g.held != 0 || g.ref != 0 || g.attach || g.upTo > b.cursors[ci].pts {
		return nothing
	}
	return settled
}

// closeGap gives the cursor's gap back. What it holds was never applied: it comes again after the next sign-in.
func (b *book) closeGap(ci int32) {
	c := &b.cursors[ci]
	if c.gap == 0 {
		return
	}
	for h := b.gaps.at(c.gap).held; h != 0; {
		next := b.held.at(h).next
		b.held.put(h)
		h = next
	}
	b.gaps.put(c.gap)
	c.gap = 0
}

// disconnected forgets what belonged to the connection. The cursor stays.
func (b *book) disconnected(ci int32) {
	b.closeGap(ci)
	c := &b.cursors[ci]
	freeSpans(&b.holes, c.holes)
	c.holes = 0
	if c.state == cursorLive {
		c.state = cursorWaiting
	}
}

// attached takes the server's answer to a cursor: from where on it pushes, and whether the session is behind.
func (b *book) attached(ci, session int32, epoch uint32, pts uint64, behind bool) todo {
	c := &b.cursors[ci]
	if c.state == cursorNew {
		c.epoch, c.base, c.pts, c.pushed = epoch, pts, pts, pts
		behind = false
	}
	c.state = cursorLive
	c.pushed = c.pts
	if !behind {
		if c.gap != 0 {
			return settled
		}
		return nothing
	}
	g := b.gapOf(ci, session)
	g.attach = false
	if epoch == c.epoch {
		c.pushed = max(c.pts, pts)
		g.upTo = pts
	}
	return ask
}

// tooLong takes a TooLong push: what the server did not push up to pts, it will not push any more.
func (b *book) tooLong(ci, session int32, epoch uint32, pts uint64) todo {
	c := &b.cursors[ci]
	if c.state != cursorLive {
		b.count.Stray++
		return nothing
	}
	b.count.TooLong++
	if epoch == c.epoch {
		c.pushed = max(c.pushed, pts)
	}
	g := b.gapOf(ci, session)
	if epoch == c.epoch {
		g.upTo = max(g.upTo, pts)
	}
	if g.ref != 0 {
		return nothing
	}
	return ask
}

func freeSpans(s *slab[span], h int32) {
	for h != 0 {
		next := s.at(h).next
		s.put(h)
		h = next
	}
}

// refused takes it that a log cannot be attached. A cursor with a base stays accounted for.
func (b *book) refused(ci int32) todo {
	if c := &b.cursors[ci]; c.state != cursorNew {
		c.state = cursorRefused
	}
	return settled
}
