package v1alpha1

import "time"

// Block says which block of the measure phase a moment of it is in, and whether it is in the second half of that block, by when buffers
// had time to fill or to empty. Only where there is Alternate.
func (s SlowReaders) Block(at time.Duration) (block int, settled bool) {
	length := s.Alternate.Std()
	return int(at / length), at%length >= length/2
}

// SlowIn says whether slow readers read slowly in a block. Pairs alternate in which comes first, so that what drifts over a run favours
// neither: reading, slow, slow, reading.
func (s SlowReaders) SlowIn(block int) bool { return block%4 == 1 || block%4 == 2 }

// Pairs returns how many whole pairs of blocks a measure phase has.
func (s SlowReaders) Pairs(measure time.Duration) int {
	if s.Alternate <= 0 {
		return 0
	}
	return int(measure / (2 * s.Alternate.Std()))
}
