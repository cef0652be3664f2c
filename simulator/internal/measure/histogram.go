package measure

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// MaxLatency is the largest latency that a Histogram tells apart. What is above is counted there and in Clamped.
	MaxLatency = 10 * time.Minute

	// Never is the latency of what did not arrive: it is larger than every latency that was measured.
	Never = time.Duration(math.MaxInt64)

	lowestMicros      = 1
	highestMicros     = int64(MaxLatency / time.Microsecond)
	significantDigits = 3
)

// Histogram counts latencies in microseconds from 1 µs to MaxLatency, with three significant digits (HdrHistogram).
// Smallest, largest and mean are exact to the microsecond. The zero value is empty and ready; a nil *Histogram may be
// read (and is empty). A filled one takes about 170 KB.
type Histogram struct {
	hdr       *hdrhistogram.Histogram
	clamped   int64
	negative  int64
	minMicros int64
	maxMicros int64
	sumMicros int64
}

// NewHistogram returns an empty histogram.
func NewHistogram() *Histogram { return &Histogram{} }

// Record counts one latency.
func (h *Histogram) Record(d time.Duration) { h.RecordN(d, 1) }

// RecordN counts n equal latencies; n <= 0 counts nothing. A part of a microsecond counts as a whole one, so that a
// histogram never shows a latency shorter than it was. A negative latency (two clocks that disagree) is not dropped:
// it counts as 0 and in Negative.
func (h *Histogram) RecordN(d time.Duration, n int64) {
	if n <= 0 {
		return
	}
	if h.hdr == nil {
		h.hdr = newHDR()
	}
	micros := int64(d / time.Microsecond)
	switch {
	case d < 0:
		micros = 0
		h.negative += n
	case d%time.Microsecond != 0:
		micros++
	}
	if h.hdr.TotalCount() == 0 || micros < h.minMicros {
		h.minMicros = micros
	}
	h.maxMicros = max(h.maxMicros, micros)
	h.sumMicros = saturatingAdd(h.sumMicros, micros, n)
	if micros > highestMicros {
		h.clamped += n
		micros = highestMicros
	}
	// RecordValues refuses what is out of range or overflows the total count of 2^63; the first is excluded above.
	_ = h.hdr.RecordValues(micros, n)
}

// Merge adds everything that o holds. A nil o is empty.
func (h *Histogram) Merge(o *Histogram) {
	if o.Count() == 0 {
		return
	}
	if h.hdr == nil {
		h.hdr = newHDR()
	}
	if h.hdr.TotalCount() == 0 || o.minMicros < h.minMicros {
		h.minMicros = o.minMicros
	}
	h.hdr.Merge(o.hdr)
	h.clamped += o.clamped
	h.negative += o.negative
	h.maxMicros = max(h.maxMicros, o.maxMicros)
	h.sumMicros = saturatingAdd(h.sumMicros, o.sumMicros, 1)
}

// Clone returns an independent copy.
func (h *Histogram) Clone() *Histogram {
	c := NewHistogram()
	c.Merge(h)
	return c
}

// Count returns how many latencies were recorded.
func (h *Histogram) Count() int64 {
	if h == nil || h.hdr == nil {
		return 0
	}
	return h.hdr.TotalCount()
}

// Clamped returns how many latencies were above MaxLatency.
func (h *Histogram) Clamped() int64 {
	if h == nil {
		return 0
	}
	return h.clamped
}

// Negative returns how many latencies were below zero, which says that two clocks disagree.
func (h *Histogram) Negative() int64 {
	if h == nil {
		return 0
	}
	return h.negative
}

// Max returns the largest latency, exactly, also above MaxLatency; 0 if there is none.
func (h *Histogram) Max() time.Duration {
	if h == nil {
		return 0
	}
	return micros(h.maxMicros)
}

// Min returns the smallest latency, exactly; 0 if there is none.
func (h *Histogram) Min() time.Duration {
	if h == nil {
		return 0
	}
	return micros(h.minMicros)
}

// Mean returns the arithmetic mean; 0 if there is none.
func (h *Histogram) Mean() time.Duration {
	n := h.Count()
	if n == 0 {
		return 0
	}
	return micros(h.sumMicros / n)
}

// Percentile returns the smallest latency that at least p percent (0 to 100) of the records do not exceed: the record of
// rank ⌈p/100 × count⌉, to three digits and never above Max. It returns 0 if there is no record, so ask Count first.
func (h *Histogram) Percentile(p float64) time.Duration { return h.PercentileWithLost(p, 0) }

// PercentileWithLost is Percentile over the records and, besides, lost ones that took for ever. It returns Never when
// the percentile falls among those.
func (h *Histogram) PercentileWithLost(p float64, lost int64) time.Duration {
	n := h.Count()
	lost = max(lost, 0)
	if n+lost == 0 {
		return 0
	}
	rank := Rank(p, n+lost)
	if rank > n {
		return Never
	}
	// The library rounds p/100 × n to the nearest rank, so this comes back as the rank that is wanted.
	v := h.hdr.ValueAtPercentile(100 * float64(rank) / float64(n))
	return micros(min(max(v, h.minMicros), h.maxMicros))
}

// Rank returns which record of n in ascending order is the p-th percentile: ⌈p/100 × n⌉, at least 1 and at most n.
func Rank(p float64, n int64) int64 {
	exact := p / 100 * float64(n)
	// 99.9 % of 20,000 is 19,980, not the 19,980.000000000004 of binary fractions.
	rank := int64(math.Ceil(exact - 1e-6))
	return min(max(rank, 1), n)
}

// CountAtOrAbove returns how many records are not below d, to the resolution of the histogram: a record within 0.1 % of
// d may be counted on either side, except that none is counted when d is above Max.
func (h *Histogram) CountAtOrAbove(d time.Duration) int64 {
	if h.Count() == 0 || d > h.Max() {
		return 0
	}
	var n int64
	for _, s := range h.Steps() {
		if s.Latency >= d {
			n += s.Count
		}
	}
	return n
}

// Step is a bar of a histogram: Count records of a latency up to Latency and above the step before.
type Step struct {
	Latency time.Duration
	Count   int64
}

// Steps returns the bars that are not empty, ascending.
func (h *Histogram) Steps() []Step {
	if h.Count() == 0 {
		return nil
	}
	var steps []Step
	for _, bar := range h.hdr.Distribution() {
		if bar.Count > 0 {
			steps = append(steps, Step{micros(min(bar.To, h.maxMicros)), bar.Count})
		}
	}
	if h.clamped > 0 {
		steps[len(steps)-1].Latency = micros(h.maxMicros)
	}
	return steps
}

// HDR returns a copy of the underlying histogram of microseconds, for what speaks HdrHistogram's formats.
func (h *Histogram) HDR() *hdrhistogram.Histogram {
	if h == nil || h.hdr == nil {
		return newHDR()
	}
	return h.hdr.Clone()
}

type histogramJSON struct {
	Count     int64  `json:"count"`
	Clamped   int64  `json:"clamped,omitempty"`
	Negative  int64  `json:"negative,omitempty"`
	MinMicros int64  `json:"minMicros"`
	MaxMicros int64  `json:"maxMicros"`
	SumMicros int64  `json:"sumMicros"`
	HDR       string `json:"hdr,omitempty"`
}

// MarshalJSON writes the histogram in HdrHistogram's V2 encoding, compressed and in base64, with the exact figures beside.
func (h *Histogram) MarshalJSON() ([]byte, error) {
	if h.Count() == 0 {
		return json.Marshal(histogramJSON{})
	}
	encoded, err := h.hdr.EncodeV2()
	if err != nil {
		return nil, fmt.Errorf("encode histogram: %w", err)
	}
	return json.Marshal(histogramJSON{h.Count(), h.clamped, h.negative, h.minMicros, h.maxMicros, h.sumMicros, string(encoded)})
}

// UnmarshalJSON reads what MarshalJSON wrote and refuses what contradicts itself.
func (h *Histogram) UnmarshalJSON(data []byte) error {
	var in histogramJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("decode histogram: %w", err)
	}
	if in.Count == 0 {
		*h = Histogram{}
		return nil
	}
	hdr, err := hdrhistogram.Decode([]byte(in.HDR))
	if err != nil {
		return fmt.Errorf("decode histogram: %w", err)
	}
	switch {
	case hdr.LowestTrackableValue() != lowestMicros || hdr.HighestTrackableValue() != highestMicros || hdr.SignificantFigures() != significantDigits:
		return errors.New("decode histogram: it was made for another range or precision")
	case hdr.TotalCount() != in.Count:
		return fmt.Errorf("decode histogram: it says %d records and holds %d", in.Count, hdr.TotalCount())
	case in.Clamped < 0 || in.Clamped > in.Count || in.Negative < 0 || in.Negative > in.Count,
		in.MinMicros < 0 || in.MaxMicros < in.MinMicros || in.SumMicros < 0:
		return errors.New("decode histogram: its figures contradict each other")
	}
	*h = Histogram{hdr, in.Clamped, in.Negative, in.MinMicros, in.MaxMicros, in.SumMicros}
	return nil
}

func newHDR() *hdrhistogram.Histogram {
	return hdrhistogram.New(lowestMicros, highestMicros, significantDigits)
}

// micros turns microseconds into a duration; what is longer than a duration can say is Never.
func micros(n int64) time.Duration {
	if n > math.MaxInt64/int64(time.Microsecond) {
		return Never
	}
	return time.Duration(n) * time.Microsecond
}

// saturatingAdd returns sum + v×n, and the largest integer instead of an overflow. All are at least 0.
func saturatingAdd(sum, v, n int64) int64 {
	if v > 0 && n > (math.MaxInt64-sum)/v {
		return math.MaxInt64
	}
	return sum + v*n
}
