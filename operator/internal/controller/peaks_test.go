package controller

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestPeaks(t *testing.T) {
	type look struct {
		at       time.Duration
		sessions int
		want     int
	}
	for name, looks := range map[string][]look{
		"the first look":               {{0, 7, 7}},
		"more":                         {{0, 7, 7}, {time.Second, 9, 9}},
		"fewer":                        {{0, 7, 7}, {time.Second, 3, 7}, {2 * time.Second, 5, 7}},
		"fewer for good":               {{0, 7, 7}, {peakWithin, 3, 7}, {peakWithin + time.Second, 3, 3}},
		"the next highest follows":     {{0, 7, 7}, {time.Minute, 5, 7}, {2 * time.Minute, 3, 7}, {peakWithin + 30*time.Second, 2, 5}},
		"all gone, and nobody's doing": {{0, 7, 7}, {time.Minute, 0, 7}, {peakWithin + 90*time.Second, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			var p peaks
			began := time.Unix(1e9, 0)
			for _, l := range looks {
				if got := p.lately("a", l.sessions, began.Add(l.at)); got != l.want {
					t.Errorf("after %v with %d sessions: %d, want %d", l.at, l.sessions, got, l.want)
				}
			}
			if got := p.lately("b", 1, began.Add(time.Hour)); got != 1 {
				t.Errorf("another fleet: %d, want 1", got)
			}
		})
	}
}

// Whatever comes, it is the most of all looks of the last minutes.
func TestPeaksAreTheMostOfTheWindow(t *testing.T) {
	var p peaks
	var looks []peak
	now := time.Unix(1e9, 0)
	for range 2000 {
		now = now.Add(rand.N(40 * time.Second))
		looks = append(looks, peak{now, rand.N(50)})
		want := 0
		for _, l := range looks {
			if now.Sub(l.at) <= peakWithin {
				want = max(want, l.sessions)
			}
		}
		if got := p.lately("a", looks[len(looks)-1].sessions, now); got != want {
			t.Fatalf("%d, want %d", got, want)
		}
	}
}
