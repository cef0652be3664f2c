package report

import (
	"math"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/measure"
)

func TestSpectrumHasAPointForEachNine(t *testing.T) {
	h := measure.NewHistogram()
	for i := 1; i <= 10_000; i++ {
		h.Record(time.Duration(i) * time.Millisecond)
	}
	got := map[float64]Millis{}
	for _, p := range Spectrum(h, 0) {
		got[p.Percentile] = p.Ms
	}
	for p, want := range map[float64]float64{0: 1, 90: 9000, 99: 9900, 99.9: 9990, 100: 10_000} {
		ms, ok := got[p]
		if !ok || math.Abs(float64(ms)-want) > want/500 {
			t.Errorf("p%g is %g ms (%t), want %g", p, ms, ok, want)
		}
	}
	lost := Spectrum(h, 100)
	if last := lost[len(lost)-1]; !last.Ms.Infinite() || lost[0].Ms.Infinite() {
		t.Errorf("with lost ones it goes from %g to %g", lost[0].Ms, last.Ms)
	}
	if len(Spectrum(nil, 0)) != 0 {
		t.Error("nothing has a spectrum")
	}
}

func TestSharesEndWhereTheLostOnesBegin(t *testing.T) {
	h := measure.NewHistogram()
	h.RecordN(100*time.Millisecond, 50)
	h.RecordN(300*time.Millisecond, 49)
	got := shares(h, 100, 101, 4) // a step that the width of a bar does not pass
	want := []float64{0, .5, .5, .99, .99}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("shares %v, want %v", got, want)
		}
	}
}

func TestPlotsOfLongRunsAreBounded(t *testing.T) {
	r := Report{DurationMs: Millis(6 * time.Hour / time.Millisecond)}
	r.Series.SignedIn, r.Series.Delivered, r.Series.Heat = measure.NewSeries(0), measure.NewSeries(0), measure.NewHeatMap(0)
	var total int64
	for at := time.Duration(0); at < 6*time.Hour; at += 700 * time.Millisecond {
		r.Series.SignedIn.Add(at, 1)
		r.Series.Delivered.Add(at, 3)
		r.Series.Heat.Add(at, time.Millisecond, 3)
		total += 3
	}
	for range 500 {
		h := measure.NewHistogram()
		h.Record(time.Millisecond)
		r.Broadcasts = append(r.Broadcasts, Broadcast{Recipients: 1, Delivered: 1, DeliverWithinMs: 1000, TimeTo999Ms: 1, Latency: h})
	}
	c := charts(r)
	if n := len(c.Sessions.Lines[0].Values); n > maxPoints {
		t.Errorf("%d points of sessions", n)
	}
	if last := c.Sessions.Lines[0].Values[len(c.Sessions.Lines[0].Values)-1]; last != float64(r.Series.SignedIn.Total()) {
		t.Errorf("the level ends at %g", last)
	}
	var delivered float64
	for _, rate := range c.Arrivals.Lines[0].Values {
		delivered += rate * float64(c.Arrivals.WidthMs) / 1000
	}
	if math.Abs(delivered-float64(total)) > 1e-3*float64(total) {
		t.Errorf("the rates come to %g deliveries of %d", delivered, total)
	}
	var cells int64
	for _, cell := range c.Heat.Cells {
		cells += cell[2]
		if cell[0] > maxHeatPoints {
			t.Fatalf("column %d", cell[0])
		}
	}
	if cells != total {
		t.Errorf("the heat map has %d of %d", cells, total)
	}
	if n := len(c.Reach.Curves); n > maxCurves+1 || n+c.Reach.Omitted != 500 {
		t.Errorf("%d curves and %d omitted", n, c.Reach.Omitted)
	}
}

func TestTextOfFigures(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{timeText(0), "0\u00a0ms"}, {timeText(0.25), "250\u00a0µs"}, {timeText(1.234), "1.23\u00a0ms"}, {timeText(12.34), "12.3\u00a0ms"},
		{timeText(345.6), "346\u00a0ms"}, {timeText(1000), "1\u00a0s"}, {timeText(1234), "1.23\u00a0s"}, {timeText(12_340), "12.3\u00a0s"},
		{timeText(61_000), "1\u00a0min\u00a001\u00a0s"}, {timeText(math.Inf(1)), "never"},
		{momentText(57_300), "57.3 s"}, {momentText(63_400), "1:03.4"},
		{countText(1234567), "1\u202f234\u202f567"}, {countText(-1234), "−1\u202f234"}, {countText(12), "12"},
		{bytesText(200), "200\u00a0B"}, {bytesText(11_264), "11\u00a0KiB"}, {bytesText(3 << 30), "3\u00a0GiB"},
		{percentText(1), "100\u00a0%"}, {percentText(0.999999), "99.99\u00a0%"}, {percentText(0.9996), "99.96\u00a0%"}, {percentText(-0.075), "-7.5\u00a0%"},
		{numberText(0.0012345), "0.00123"}, {numberText(1000), "1\u202f000"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}
