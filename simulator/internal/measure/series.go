package measure

import (
	"encoding/json"
	"fmt"
	"time"
)

const (
	// DefaultWidth is the width of a bucket of time, where nothing else is asked for.
	DefaultWidth = 100 * time.Millisecond

	// maxBuckets bounds what is kept over time: seven hours of 100 ms. What comes later counts in the last bucket.
	maxBuckets = 1 << 18
)

// Series counts something over time, in buckets of equal width from the start of the run. Counts may be negative: a
// level (sessions that are established) is a series of its changes, +1 and -1, and Levels adds them up. The zero value
// has buckets of DefaultWidth; a nil *Series may be read (and is empty).
type Series struct {
	width  time.Duration
	counts []int64
}

// NewSeries returns an empty series with buckets of the given width, DefaultWidth if it is not above 0.
func NewSeries(width time.Duration) *Series { return &Series{width: width} }

// Width returns the width of a bucket.
func (s *Series) Width() time.Duration {
	if s == nil || s.width <= 0 {
		return DefaultWidth
	}
	return s.width
}

// Add counts n at a moment, given as the time since the start of the run. A moment before the start counts at the start.
func (s *Series) Add(at time.Duration, n int64) {
	i := bucket(at, s.Width())
	for len(s.counts) <= i {
		s.counts = append(s.counts, 0)
	}
	s.counts[i] += n
}

// Merge adds everything that o counts. Series of different widths do not merge.
func (s *Series) Merge(o *Series) error {
	if o == nil || len(o.counts) == 0 {
		return nil
	}
	if s.Width() != o.Width() {
		return fmt.Errorf("merge series: buckets of %s and of %s", s.Width(), o.Width())
	}
	for len(s.counts) < len(o.counts) {
		s.counts = append(s.counts, 0)
	}
	for i, n := range o.counts {
		s.counts[i] += n
	}
	return nil
}

// Counts returns a copy of the buckets, up to the last that was touched.
func (s *Series) Counts() []int64 {
	if s == nil {
		return nil
	}
	return append([]int64(nil), s.counts...)
}

// Levels returns, for each bucket, the sum of all counts up to its end.
func (s *Series) Levels() []int64 {
	levels := s.Counts()
	for i := 1; i < len(levels); i++ {
		levels[i] += levels[i-1]
	}
	return levels
}

// Total returns the sum of all counts.
func (s *Series) Total() int64 {
	if s == nil {
		return 0
	}
	var total int64
	for _, n := range s.counts {
		total += n
	}
	return total
}

type seriesJSON struct {
	WidthMs float64 `json:"widthMs"`
	Counts  []int64 `json:"counts"`
}

// MarshalJSON writes {"widthMs": …, "counts": […]}.
func (s *Series) MarshalJSON() ([]byte, error) {
	out := seriesJSON{widthToMs(s.Width()), s.Counts()}
	if out.Counts == nil {
		out.Counts = []int64{}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Series) UnmarshalJSON(data []byte) error {
	var in seriesJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("decode series: %w", err)
	}
	width, err := widthFromMs(in.WidthMs)
	if err != nil {
		return fmt.Errorf("decode series: %w", err)
	}
	if len(in.Counts) > maxBuckets {
		return fmt.Errorf("decode series: %d buckets; at most %d are allowed", len(in.Counts), maxBuckets)
	}
	*s = Series{width, in.Counts}
	return nil
}

func bucket(at, width time.Duration) int {
	return int(min(max(at/width, 0), maxBuckets-1))
}

func widthToMs(width time.Duration) float64 { return float64(width) / float64(time.Millisecond) }

func widthFromMs(ms float64) (time.Duration, error) {
	width := time.Duration(ms * float64(time.Millisecond))
	if !(ms > 0 && ms <= 3.6e6) || width <= 0 {
		return 0, fmt.Errorf("a bucket of %g ms; it must be above 0 and at most an hour", ms)
	}
	return width, nil
}
