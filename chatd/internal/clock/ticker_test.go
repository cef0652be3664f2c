package clock

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestTickersTickTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const d = 500 * time.Millisecond
		var phases []time.Duration
		for range 3 {
			made := time.Now()
			tick := NewTicker(d)
			defer tick.Stop()
			at := <-tick.C
			if wait := at.Sub(made); wait <= 0 || wait > d {
				t.Errorf("the first tick came after %v", wait)
			}
			phases = append(phases, (at.Sub(outside)%d+d)%d)
			for range 4 {
				next := <-tick.C
				if gap := next.Sub(at); gap != d {
					t.Errorf("a tick came %v after another", gap)
				}
				at = next
			}
			time.Sleep(123 * time.Millisecond)
		}
		if phases[0] != phases[1] || phases[1] != phases[2] {
			t.Errorf("the phases are %v", phases)
		}
	})
}
