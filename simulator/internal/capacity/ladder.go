package capacity

import (
	"fmt"
	"math"
	"slices"
)

// ladder is the loads that a search may try, ascending, none more than the tolerance (0.05 is 5 %) above the one before, and the index of the one that it
// begins with. Loads that are whole numbers are one apart where the tolerance is less than that. An error says what is wrong with the bounds.
func ladder(from, least, most, tolerance float64, whole bool) (rungs []float64, start int, err error) {
	switch {
	case !(least > 0 && least <= from && from <= most && !math.IsInf(most, 0)):
		return nil, 0, fmt.Errorf("it begins with %g, which is not from %g to %g", from, least, most)
	case !(tolerance >= minTolerance && tolerance <= maxTolerance):
		return nil, 0, fmt.Errorf("a tolerance of %g is not from %g to %g", tolerance, minTolerance, maxTolerance)
	}
	// Half as much and twice as much of the first load are on it, and so on, so that what is tried first is round.
	marks := []float64{from}
	for at := from; at > least; {
		if at /= 2; whole {
			at = math.Ceil(at)
		}
		at = max(at, least)
		marks = append(marks, at)
	}
	slices.Reverse(marks)
	for at := from; at < most; {
		at = min(2*at, most)
		marks = append(marks, at)
	}
	for i, mark := range marks {
		if mark == from {
			start = len(rungs)
		}
		rungs = append(rungs, mark)
		if i == len(marks)-1 {
			break
		}
		for at := above(mark, tolerance, whole); at < marks[i+1]; at = above(at, tolerance, whole) {
			rungs = append(rungs, at)
		}
	}
	return rungs, start, nil
}

const (
	// minTolerance is less than a search on a machine that does other things too can tell; it keeps a ladder short.
	minTolerance, maxTolerance = 0.01, 0.5
)

// above is the next load, rounded down to four digits or whole numbers, so that it never is more than the tolerance above.
func above(load, tolerance float64, whole bool) float64 {
	next := load * (1 + tolerance)
	if whole {
		return max(math.Floor(next+1e-9), load+1)
	}
	if digits := 3 - int(math.Floor(math.Log10(next))); digits > 0 {
		scale := math.Pow10(digits)
		return math.Floor(next*scale+1e-9) / scale
	}
	return math.Floor(next) // Loads of more than four digits are whole.
}
