package client

import (
	"testing"
	"time"
)

func TestFullJitter(t *testing.T) {
	b := Backoff{Base: time.Second, Most: 30 * time.Second}
	for n, most := range map[int]time.Duration{
		0: time.Second, 1: 2 * time.Second, 4: 16 * time.Second, 5: 30 * time.Second, 63: 30 * time.Second, 1 << 20: 30 * time.Second,
	} {
		var lowest, highest time.Duration = most, 0
		for range 2000 {
			d := b.fullJitter(n)
			lowest, highest = min(lowest, d), max(highest, d)
		}
		// 2,000 draws miss a tenth of the range once in 10^91 runs.
		if lowest < 0 || lowest > most/10 || highest < most-most/10 || highest > most {
			t.Errorf("after %d failures: from %v to %v, want all of 0 to %v", n, lowest, highest, most)
		}
	}
}

func TestHintsAreWaitedForAndSpread(t *testing.T) {
	if got := atLeast(3*time.Second, 0); got != 3*time.Second {
		t.Errorf("without a hint: %v", got)
	}
	if got := atLeast(time.Minute, time.Second); got != time.Minute {
		t.Errorf("a longer pause stays: %v", got)
	}
	var lowest, highest time.Duration = time.Hour, 0
	for range 2000 {
		d := atLeast(time.Millisecond, 10*time.Second)
		lowest, highest = min(lowest, d), max(highest, d)
	}
	if lowest < 10*time.Second || highest > 20*time.Second || highest-lowest < 9*time.Second {
		t.Errorf("told 10 s: from %v to %v", lowest, highest)
	}
}

func TestCloseCodesThatAreErrors(t *testing.T) {
	for code, want := range map[int]Code{4003: 3, 4013: 13, 4000: 0, 4999: 0, 1012: 0, 1000: 0} {
		e := errorCode(code)
		if (e == nil) != (want == 0) || e != nil && e.Code != want {
			t.Errorf("%d: %v, want code %d", code, e, want)
		}
	}
}
