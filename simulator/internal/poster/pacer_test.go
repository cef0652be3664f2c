package poster

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chatfleet/chatfleet/simulator/internal/schedule"
)

func TestRandomIDsDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed, run := rapid.Uint64().Draw(t, "seed"), rapid.Uint64().Draw(t, "run")
		seen := map[uint64]int{}
		for n := range 1000 {
			id := randomID(seed, run, n)
			if other, ok := seen[id]; ok || id == 0 {
				t.Fatalf("posts %d and %d have the id %d", n, other, id)
			}
			seen[id] = n
		}
	})
}

// The pacer lets post n go when it is due by the clock, late ones at once, and says how many are due around a moment.
func TestPacer(t *testing.T) {
	now := int64(1000)
	var slept []time.Duration
	p := &pacer{
		posts: []schedule.Post{{Due: 0}, {Due: 100}, {Due: 200}}, start: 1000,
		clock: func() int64 { return now },
		sleep: func(d time.Duration) bool { slept = append(slept, d); now += max(0, int64(d)) + 150; return true },
	}
	for n := range uint64(3) {
		if wait, stop := p.Pace(time.Hour, n); wait != 0 || stop {
			t.Errorf("post %d: wait %v, stop %v", n, wait, stop)
		}
	}
	if want := []time.Duration{0, -50, -100}; !slices.Equal(slept, want) {
		t.Errorf("slept %v, want %v", slept, want)
	}
	if _, stop := p.Pace(0, 3); !stop {
		t.Error("it goes on after the last post")
	}
	if rate := p.Rate(0); rate != 3 {
		t.Errorf("rate %v around the start, want 3", rate)
	}
	if rate := p.Rate(time.Minute); rate != 0 {
		t.Errorf("rate %v after the end, want 0", rate)
	}
}
