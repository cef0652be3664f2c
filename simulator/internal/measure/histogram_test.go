package measure

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPercentileIsTheSmallestThatCovers(t *testing.T) {
	h := NewHistogram()
	for i := 1; i <= 20_000; i++ {
		h.Record(time.Duration(i) * 10 * time.Microsecond)
	}
	for _, tt := range []struct {
		p    float64
		want time.Duration
	}{
		{0, 10 * time.Microsecond},
		{50, 100 * time.Millisecond},
		{99.9, 199_800 * time.Microsecond},
		{100, 200 * time.Millisecond},
	} {
		got := h.Percentile(tt.p)
		if math.Abs(float64(got-tt.want)) > float64(tt.want)/1000 {
			t.Errorf("p%g = %s, want %s to three digits", tt.p, got, tt.want)
		}
	}
	if h.Max() != 200*time.Millisecond || h.Min() != 10*time.Microsecond || h.Mean() != 100_005*time.Microsecond {
		t.Errorf("min %s, mean %s, max %s: they must be exact", h.Min(), h.Mean(), h.Max())
	}
}

func TestLostOnesAreInfinite(t *testing.T) {
	h := NewHistogram()
	h.RecordN(100*time.Millisecond, 999)
	for _, tt := range []struct {
		p    float64
		lost int64
		want time.Duration
	}{
		{99.9, 1, 100 * time.Millisecond}, // 999 of 1,000 have it
		{99.9, 2, Never},
		{100, 1, Never},
		{50, 999, 100 * time.Millisecond},
		{50, 1000, Never},
		{50, -5, 100 * time.Millisecond},
	} {
		if got := h.PercentileWithLost(tt.p, tt.lost); got != tt.want {
			t.Errorf("p%g with %d lost = %s, want %s", tt.p, tt.lost, got, tt.want)
		}
	}
	if got := NewHistogram().PercentileWithLost(50, 3); got != Never {
		t.Errorf("all lost: p50 = %s, want Never", got)
	}
}

func TestOutOfRangeIsCountedNotDropped(t *testing.T) {
	h := NewHistogram()
	h.Record(-time.Second)
	h.Record(time.Nanosecond)
	h.Record(2 * time.Hour)
	if h.Count() != 3 || h.Negative() != 1 || h.Clamped() != 1 {
		t.Errorf("count %d, negative %d, clamped %d; want 3, 1, 1", h.Count(), h.Negative(), h.Clamped())
	}
	if h.Max() != 2*time.Hour {
		t.Errorf("max = %s; it must be exact above the range", h.Max())
	}
	if got := h.Percentile(50); got != time.Microsecond {
		t.Errorf("a nanosecond is recorded as %s, want 1µs: never shorter than it was", got)
	}
	h.RecordN(time.Second, -4)
	if h.Count() != 3 {
		t.Error("a negative count was recorded")
	}
}

func TestNilAndEmptyHistogramsRead(t *testing.T) {
	var none *Histogram
	for name, h := range map[string]*Histogram{"nil": none, "empty": NewHistogram()} {
		if h.Count() != 0 || h.Percentile(99) != 0 || h.Max() != 0 || h.Mean() != 0 || h.Steps() != nil || h.CountAtOrAbove(0) != 0 {
			t.Errorf("%s histogram is not empty", name)
		}
	}
	h := NewHistogram()
	h.Merge(none)
	if h.Count() != 0 {
		t.Error("merging nil added something")
	}
}

func TestSumDoesNotOverflow(t *testing.T) {
	h := NewHistogram()
	h.RecordN(Never-1, math.MaxInt64/2)
	h.RecordN(Never-1, 2)
	if h.Mean() < 0 || h.Max() < 0 {
		t.Errorf("mean %d, max %d overflowed", h.Mean(), h.Max())
	}
}

func latencies(t *rapid.T, label string) []time.Duration {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) time.Duration {
		return time.Duration(rapid.Int64Range(-1000, int64(20*time.Minute)).Draw(t, "ns"))
	}), 0, 200).Draw(t, label)
}

func filled(ds []time.Duration) *Histogram {
	h := NewHistogram()
	for _, d := range ds {
		h.Record(d)
	}
	return h
}

func TestMergeIsTheSameAsRecordingTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := latencies(t, "a"), latencies(t, "b")
		merged := filled(a)
		merged.Merge(filled(b))
		requireEqual(t, merged, filled(append(slices.Clone(a), b...)))
	})
}

func TestJSONKeepsEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := filled(latencies(t, "h"))
		data, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		var back Histogram
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatal(err)
		}
		requireEqual(t, &back, h)
	})
}

func TestPercentilesAgreeWithSorting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ds := latencies(t, "ds")
		if len(ds) == 0 {
			return
		}
		p := rapid.Float64Range(0, 100).Draw(t, "p")
		h := filled(ds)
		slices.Sort(ds)
		want := min(max(ds[Rank(p, int64(len(ds)))-1], 0), MaxLatency)
		got := h.Percentile(p)
		if got < want || float64(got) > float64(want)*1.001+float64(time.Microsecond) {
			if !(got > MaxLatency && want == MaxLatency) {
				t.Fatalf("p%g = %s, sorting says %s", p, got, want)
			}
		}
	})
}

func requireEqual(t *rapid.T, got, want *Histogram) {
	t.Helper()
	if got.Min() != want.Min() || got.Max() != want.Max() || got.Mean() != want.Mean() ||
		got.Clamped() != want.Clamped() || got.Negative() != want.Negative() || !slices.Equal(got.Steps(), want.Steps()) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

func TestJSONRefusesWhatContradictsItself(t *testing.T) {
	h := NewHistogram()
	h.RecordN(time.Millisecond, 10)
	good, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"another count":   strings.Replace(string(good), `"count":10`, `"count":11`, 1),
		"more clamped":    strings.Replace(string(good), `"count":10`, `"count":10,"clamped":11`, 1),
		"min above max":   strings.Replace(string(good), `"minMicros":1000`, `"minMicros":1001`, 1),
		"not an encoding": `{"count":1,"hdr":"aGVsbG8="}`,
		"no encoding":     `{"count":1}`,
		"not an object":   `[1]`,
	} {
		if err := json.Unmarshal([]byte(bad), new(Histogram)); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestRecordingAllocatesNothing(t *testing.T) {
	h := NewHistogram()
	h.Record(0)
	if n := testing.AllocsPerRun(100, func() { h.Record(123456 * time.Microsecond) }); n != 0 {
		t.Errorf("Record allocates %g times", n)
	}
}

func BenchmarkRecord(b *testing.B) {
	h := NewHistogram()
	for b.Loop() {
		h.Record(123456 * time.Microsecond)
	}
}
