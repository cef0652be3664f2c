package swarm

// answer is a difference as the book takes it.
type answer struct {
	kind   answerKind
	epoch  uint32
	pts    uint64 // the cursor to keep
	events []answerEvent
}

type answerKind uint8

const (
	answerEmpty answerKind = iota
	answerSlice
	answerFinal
	answerTooLong
)

// answerEvent is one event of a difference.
type answerEvent struct {
	pts uint64
	content
}

// answered takes the answer to a difference. The gap stays open where something is missing still: the answer was a slice,
// or the server has not all that it pushed or promised.
func (b *book) answered(ci int32, a *answer, now int64) todo {
	c := &b.cursors[ci]
	g := b.gaps.at(c.gap)
	g.ref = 0
	before := c.pts
	switch {
	case a.kind == answerTooLong && a.epoch != c.epoch:
		b.count.TooLong++
		b.rebase(ci, a)
		return settled
	case a.kind == answerTooLong:
		b.count.TooLong++
		b.takeAll(ci, a, &b.count.SkippedTooLong, now)
	case a.epoch == c.epoch:
		b.takeAll(ci, a, &b.count.SkippedHole, now)
	}
	switch {
	case a.kind == answerSlice && c.pts > before:
		g.tries = 0
		return ask
	case a.kind != answerSlice && g.held == 0 && c.pts >= g.upTo:
		return settled
	}
	// The server has less than it pushed or promised, or answers for another epoch. That may pass: ask again, in a while.
	if g.tries++; c.pts > before {
		g.tries = 0
	}
	if g.tries < maxTries {
		return holdOn
	}
	return b.giveUp(ci, now)
}

// takeAll applies an answer's events and moves the cursor to where it ends. What the answer leaves out is counted in left.
func (b *book) takeAll(ci int32, a *answer, left *int64, now int64) {
	for i := range a.events {
		b.takeOne(ci, &a.events[i], left, now)
	}
	c := &b.cursors[ci]
	b.release(ci, now)
	for c.pts < a.pts {
		b.skip(ci, b.upToHeld(c, a.pts), left)
		b.release(ci, now)
	}
}

func (b *book) takeOne(ci int32, e *answerEvent, left *int64, now int64) {
	c := &b.cursors[ci]
	b.release(ci, now)
	for c.pts+1 < e.pts {
		b.skip(ci, b.upToHeld(c, e.pts-1), left)
		b.release(ci, now)
	}
	if e.pts == c.pts+1 {
		b.apply(ci, e.content, now)
		b.count.Healed++
	}
}

// upToHeld returns the end of what must be skipped to get to a position: the first held event, if that comes before.
func (b *book) upToHeld(c *cursor, to uint64) uint64 {
	if held := b.gaps.at(c.gap).held; held != 0 {
		return min(to, b.held.at(held).pts-1)
	}
	return to
}

// giveUp goes on with what is held. What is missing before it was pushed to nobody and is in no difference.
func (b *book) giveUp(ci int32, now int64) todo {
	c := &b.cursors[ci]
	g := b.gaps.at(c.gap)
	for g.held != 0 {
		b.skip(ci, b.held.at(g.held).pts-1, &b.count.SkippedHole)
		b.release(ci, now)
	}
	b.skip(ci, g.upTo, &b.count.SkippedHole)
	return settled
}

// rebase begins anew in another history of the log. Positions of the two do not compare, so nothing of the old one is
// accounted for; that it happened is.
func (b *book) rebase(ci int32, a *answer) {
	c := &b.cursors[ci]
	b.count.EpochChanges++
	freeSpans(&b.skips, c.skips)
	freeSpans(&b.holes, c.holes)
	c.skips, c.holes, c.sum = 0, 0, 0
	c.epoch, c.base, c.pts, c.pushed = a.epoch, a.pts, a.pts, a.pts
}
