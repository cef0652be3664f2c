package measure

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSeriesCountsByTime(t *testing.T) {
	var s Series
	s.Add(0, 1)
	s.Add(99*time.Millisecond, 1)
	s.Add(100*time.Millisecond, 5)
	s.Add(350*time.Millisecond, -3)
	s.Add(-time.Hour, 1)
	if want := []int64{3, 5, 0, -3}; !slices.Equal(s.Counts(), want) {
		t.Errorf("counts %v, want %v", s.Counts(), want)
	}
	if want := []int64{3, 8, 8, 5}; !slices.Equal(s.Levels(), want) {
		t.Errorf("levels %v, want %v", s.Levels(), want)
	}
	if s.Total() != 5 {
		t.Errorf("total %d, want 5", s.Total())
	}
}

func TestSeriesIsBounded(t *testing.T) {
	s := NewSeries(time.Nanosecond)
	s.Add(Never, 7)
	if got := len(s.Counts()); got != maxBuckets || s.Total() != 7 {
		t.Errorf("%d buckets with a total of %d, want %d and 7", got, s.Total(), maxBuckets)
	}
}

func TestSeriesOfOtherWidthsDoNotMerge(t *testing.T) {
	a, b := NewSeries(time.Second), NewSeries(time.Minute)
	b.Add(0, 1)
	if err := a.Merge(b); err == nil {
		t.Error("they merged")
	}
	if err := a.Merge(nil); err != nil {
		t.Errorf("nil is an empty series: %v", err)
	}
}

func TestSeriesMergesAndTravels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a, b, both Series
		for range rapid.IntRange(0, 50).Draw(t, "adds") {
			at := time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "at"))
			n := rapid.Int64Range(-5, 5).Draw(t, "n")
			one := &a
			if rapid.Bool().Draw(t, "b") {
				one = &b
			}
			one.Add(at, n)
			both.Add(at, n)
		}
		if err := a.Merge(&b); err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(&a)
		if err != nil {
			t.Fatal(err)
		}
		var back Series
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(back.Counts(), both.Counts()) || back.Width() != both.Width() {
			t.Fatalf("got %v of %s, want %v of %s", back.Counts(), back.Width(), both.Counts(), both.Width())
		}
	})
}

func TestHeatRowsCoverEveryLatencyOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(-5, int64(5*time.Minute)).Draw(t, "latency"))
		row := heatRow(d)
		if d >= HeatRowTop(row) {
			t.Fatalf("%s is in row %d, which ends at %s", d, row, HeatRowTop(row))
		}
		if row > 0 && max(d, 0).Truncate(time.Microsecond) < HeatRowTop(row-1) {
			t.Fatalf("%s is in row %d, but the row below ends at %s", d, row, HeatRowTop(row-1))
		}
	})
}

func TestHeatRowsGrowByAboutAFifth(t *testing.T) {
	for row := 1; row < HeatRows-2; row++ {
		ratio := float64(HeatRowTop(row)) / float64(HeatRowTop(row-1))
		if ratio < 1.1 || ratio > 1.26 {
			t.Errorf("row %d ends at %s, %.2f times the row below", row, HeatRowTop(row), ratio)
		}
	}
	if heatRow(Never) != HeatRows-1 || heatRow(Never-1) != HeatRows-2 {
		t.Error("what never came must stand apart from what took very long")
	}
}

func TestHeatMapMergesAndTravels(t *testing.T) {
	a, b := NewHeatMap(time.Second), NewHeatMap(time.Second)
	a.Add(500*time.Millisecond, time.Millisecond, 3)
	b.Add(900*time.Millisecond, time.Millisecond, 4)
	b.Add(7*time.Second, Never, 1)
	if err := a.Merge(b); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	var back HeatMap
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	want := []Cell{{0, heatRow(time.Millisecond), 7}, {7, HeatRows - 1, 1}}
	if !slices.Equal(back.Cells(), want) {
		t.Errorf("cells %v, want %v", back.Cells(), want)
	}
	if err := a.Merge(NewHeatMap(time.Minute)); err != nil {
		t.Errorf("an empty map of another width has nothing to merge: %v", err)
	}
}

func TestHeatMapRefusesCellsOutside(t *testing.T) {
	data, err := json.Marshal(NewHeatMap(0))
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	for _, cell := range [][3]int64{{-1, 0, 1}, {maxBuckets, 0, 1}, {0, HeatRows, 1}, {0, 0, -1}} {
		fields["cells"] = [][3]int64{cell}
		bad, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(bad, new(HeatMap)); err == nil {
			t.Errorf("cell %v was accepted", cell)
		}
	}
}
