package report

import (
	"math"

	"github.com/chatfleet/chatfleet/simulator/internal/measure"
)

const pointsPerDecade = 24

// Spectrum returns the percentiles of a histogram with lost ones at the scale 1/(1-p), on which each further nine has the same
// room: from 0 to the last percentile that the number of samples can tell, and 100.
func Spectrum(h *measure.Histogram, lost int64) []SpectrumPoint {
	n := h.Count() + max(lost, 0)
	points := []SpectrumPoint{}
	if n == 0 {
		return points
	}
	decades := math.Log10(float64(n))
	for i := 0; float64(i)/pointsPerDecade < decades; i++ {
		p := 100 * (1 - math.Pow(10, -float64(i)/pointsPerDecade))
		points = append(points, SpectrumPoint{math.Round(p*1e7) / 1e7, millis(h.PercentileWithLost(p, lost))})
	}
	return append(points, SpectrumPoint{100, millis(h.PercentileWithLost(100, lost))})
}
