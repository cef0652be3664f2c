package shard

import (
	"strconv"
	"testing"
	"time"
)

// What is remembered of logs that are not there has a bound, and goes with time.
func TestAbsenceIsBounded(t *testing.T) {
	var a absent
	now := time.Unix(1_000_000, 0)
	note := func(log string) {
		when, _ := a.knows(log, now)
		a.note(when, now)
	}
	for i := range 3 * maxAbsent {
		log := "c" + strconv.Itoa(i)
		note(log)
		if i%3 == 0 {
			a.isThere(log)
			note(log)
		}
		if len(a.until) > maxAbsent || len(a.order) > maxAbsent {
			t.Fatalf("%d and %d are remembered", len(a.until), len(a.order))
		}
	}
	if _, known := a.knows("c"+strconv.Itoa(3*maxAbsent-1), now); !known {
		t.Error("the newest is forgotten")
	}
	now = now.Add(absentFor)
	note("cone")
	if len(a.until) != 1 || len(a.order) != 1 {
		t.Errorf("%d and %d are remembered of what is over", len(a.until), len(a.order))
	}
}
