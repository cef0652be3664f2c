package swarm

// tally remembers, for one log, what content its positions were delivered with, once for all sessions of a loop. The
// sessions' sums prove at the end that a session got something wrong; the tally says which position it was.
type tally struct {
	first uint64 // the position of cells[0]
	cells []tallyCell
}

// tallyCell counts the deliveries of a position with the content that it was first seen with.
type tallyCell struct {
	post  uint32
	count uint32
}

// deviation is a delivery of a position with other content than it was first seen with.
type deviation struct {
	log  int32
	pts  uint64
	post uint32
}

const (
	// maxTallySpan bounds the cells of a log. A position that is further away is a server's invention or a very long run;
	// its content is then proved by the sums alone.
	maxTallySpan  = 1 << 23
	maxDeviations = 4096
	maxSightings  = 64
)

// count counts a delivery; it returns false when the content is not that which was first seen.
func (t *tally) count(pts uint64, post uint32) bool {
	i := pts - t.first
	if pts < t.first || i >= uint64(len(t.cells)) {
		if !t.cover(pts) {
			return true
		}
		i = pts - t.first
	}
	cell := &t.cells[i]
	if cell.count == 0 {
		cell.post = post
	}
	if cell.post != post {
		return false
	}
	cell.count++
	return true
}

// cover makes cells up to and including pts; it returns false when they would be too many.
func (t *tally) cover(pts uint64) bool {
	switch {
	case len(t.cells) == 0:
		t.first, t.cells = pts, append(t.cells, tallyCell{})
	case pts >= t.first:
		if pts-t.first >= maxTallySpan {
			return false
		}
		for uint64(len(t.cells)) <= pts-t.first {
			t.cells = append(t.cells, tallyCell{})
		}
	default:
		more := t.first - pts
		if more >= maxTallySpan || more+uint64(len(t.cells)) > maxTallySpan {
			return false
		}
		t.cells = append(make([]tallyCell, more, more+uint64(len(t.cells))), t.cells...)
		t.first = pts
	}
	return true
}

// seen returns the cell of a position, zero if it was never delivered.
func (t *tally) seen(pts uint64) tallyCell {
	if pts < t.first || pts-t.first >= uint64(len(t.cells)) {
		return tallyCell{}
	}
	return t.cells[pts-t.first]
}

// last returns the highest position that has a cell.
func (t *tally) last() uint64 { return t.first + uint64(len(t.cells)) - min(1, uint64(len(t.cells))) }
