package live

import (
	"context"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// What was used between two looks goes to the time between them, in proportion; none of it is lost, and none is made up.
func TestCPUIsSpreadOverTheTimeBetweenLooks(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		from, to time.Duration
		micros   int64
		want     []int64
	}{
		"within a bucket":       {110 * ms, 190 * ms, 70, []int64{0, 70}},
		"a bucket":              {100 * ms, 200 * ms, 70, []int64{0, 70}},
		"two halves":            {50 * ms, 150 * ms, 70, []int64{35, 35}},
		"a late look":           {100 * ms, 450 * ms, 70, []int64{0, 20, 20, 20, 10}},
		"no time between looks": {250 * ms, 250 * ms, 70, []int64{0, 0, 70}},
	} {
		var s cpuSeries
		s.add(c.from, c.to, c.micros)
		if got := s.over().Counts(); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		var s cpuSeries
		var at time.Duration
		var used int64
		for range rapid.IntRange(1, 20).Draw(t, "looks") {
			next := at + time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "after"))
			micros := rapid.Int64Range(0, 1e6).Draw(t, "used")
			s.add(at, next, micros)
			at, used = next, used+micros
		}
		if got := s.over(); got.Total() != used || slices.ContainsFunc(got.Counts(), func(n int64) bool { return n < 0 }) {
			t.Fatalf("%v, and %d were used", got.Counts(), used)
		}
	})
}

// The last look is when the phase ends, and parts of microseconds add up.
func TestCPUIsFollowedToTheEnd(t *testing.T) {
	var s cpuSeries
	var at, used time.Duration
	ctx, end := context.WithCancel(t.Context())
	looks := 0
	s.follow(ctx, func() time.Duration { at += 30 * time.Millisecond; return at }, func() time.Duration {
		if looks++; looks == 4 {
			end()
		}
		used += 1500 * time.Nanosecond
		return used
	})
	// The first look is where it begins.
	if got, want := s.over().Total(), (used - 1500*time.Nanosecond).Microseconds(); got != want || looks < 5 {
		t.Errorf("%d µs after %d looks, want %d", got, looks, want)
	}
}
