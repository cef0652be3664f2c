package swarm

import (
	"encoding/json"
	"fmt"
	"time"
)

// maxPeaks bounds a Peaks as package measure bounds its series: seven hours of 100 ms.
const maxPeaks = 1 << 18

// Peaks is the longest latency in each bucket of time, by the moment at which the post was intended: so the longest wait
// of what was posted while a fault was on can be read off for any window. The zero value is not usable.
type Peaks struct {
	width time.Duration
	max   []time.Duration
}

// NewPeaks returns an empty Peaks with buckets of the given width.
func NewPeaks(width time.Duration) *Peaks { return &Peaks{width: width} }

// Add takes a latency that began at a moment, given as the time since the start of the run.
func (p *Peaks) Add(at, latency time.Duration) {
	i := p.bucket(at)
	for len(p.max) <= i {
		p.max = append(p.max, 0)
	}
	p.max[i] = max(p.max[i], latency)
}

// Longest returns the longest latency of what was intended in [from, to), to the width of a bucket; 0 if there is none.
func (p *Peaks) Longest(from, to time.Duration) time.Duration {
	var longest time.Duration
	if p == nil || to <= from {
		return 0
	}
	for i := p.bucket(from); i <= p.bucket(to-1) && i < len(p.max); i++ {
		longest = max(longest, p.max[i])
	}
	return longest
}

// Width returns the width of a bucket.
func (p *Peaks) Width() time.Duration { return p.width }

// Buckets returns a copy of the longest latency of each bucket, up to the last that was touched.
func (p *Peaks) Buckets() []time.Duration {
	if p == nil {
		return nil
	}
	return append([]time.Duration(nil), p.max...)
}

// Merge takes the longer of each bucket. Peaks of different widths do not merge.
func (p *Peaks) Merge(o *Peaks) error {
	if o == nil {
		return nil
	}
	if p.width != o.width {
		return fmt.Errorf("merge peaks: buckets of %s and of %s", p.width, o.width)
	}
	for len(p.max) < len(o.max) {
		p.max = append(p.max, 0)
	}
	for i, d := range o.max {
		p.max[i] = max(p.max[i], d)
	}
	return nil
}

func (p *Peaks) bucket(at time.Duration) int {
	return int(min(max(at/p.width, 0), maxPeaks-1))
}

type peaksJSON struct {
	WidthNs int64   `json:"widthNs"`
	MaxNs   []int64 `json:"maxNs"`
}

// MarshalJSON writes {"widthNs": …, "maxNs": […]}.
func (p *Peaks) MarshalJSON() ([]byte, error) {
	out := peaksJSON{WidthNs: int64(p.width), MaxNs: make([]int64, len(p.max))}
	for i, d := range p.max {
		out.MaxNs[i] = int64(d)
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (p *Peaks) UnmarshalJSON(data []byte) error {
	var in peaksJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("decode peaks: %w", err)
	}
	if in.WidthNs <= 0 || len(in.MaxNs) > maxPeaks {
		return fmt.Errorf("decode peaks: %d buckets of %d ns", len(in.MaxNs), in.WidthNs)
	}
	*p = Peaks{width: time.Duration(in.WidthNs), max: make([]time.Duration, len(in.MaxNs))}
	for i, ns := range in.MaxNs {
		p.max[i] = time.Duration(ns)
	}
	return nil
}
