package gateway

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const ms = time.Millisecond

// An interval after the other: how many sign in during it, how quick the quickest is, and how many may be on their way after it.
func TestARush(t *testing.T) {
	type interval struct {
		n     int
		least time.Duration
		want  int
	}
	for name, all := range map[string][]interval{
		"quiet":                         {{0, 0, 1000}, {3, 900 * ms, 1000}, {0, 0, 1000}},
		"many, and quick":               {{500, 20 * ms, 1000}, {500, 499 * ms, 1000}},
		"one slow network among others": {{500, 20 * ms, 1000}},
		"a rush":                        {{200, 501 * ms, 200}, {150, 800 * ms, 150}, {160, 600 * ms, 150}},
		"a rush that is over":           {{200, 800 * ms, 200}, {200, 400 * ms, 400}, {200, 100 * ms, 800}, {0, 0, 1000}},
		"never fewer than some":         {{10, 2000 * ms, rushLeast}},
		"too few to say":                {{7, 9000 * ms, 1000}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRush(1000)
			now := time.Duration(0)
			for i, in := range all {
				for k := range in.n {
					r.signedIn(now+ms, in.least+time.Duration(k)*ms)
				}
				now += rushInterval
				r.admits(now, 0)
				if r.limit != in.want {
					t.Fatalf("after interval %d: %d may be on their way, want %d", i, r.limit, in.want)
				}
				if !r.admits(now, in.want-1) || r.admits(now, in.want) {
					t.Errorf("after interval %d: the limit %d is not kept", i, in.want)
				}
			}
		})
	}
}

// A server that signs in so many a second: however many come and whatever they do, the limit stays within its bounds; once they come no faster than
// they can be served, it is what it was.
func TestARushEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 10_000).Draw(t, "most")
		r := newRush(most)
		now := time.Duration(0)
		for range rapid.IntRange(0, 300).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 300).Draw(t, "ms")) * ms
			if rapid.Bool().Draw(t, "signs in") {
				for range rapid.IntRange(1, 200).Draw(t, "how many") {
					r.signedIn(now, time.Duration(rapid.IntRange(0, 3000).Draw(t, "took"))*ms)
				}
			}
			r.admits(now, 0)
			if r.limit > most || r.limit < min(most, rushLeast) {
				t.Fatalf("%d may be on their way, of %d", r.limit, most)
			}
		}
		r.admits(now+10*time.Second, 0)
		if now += 20 * time.Second; !r.admits(now, most-1) {
			t.Fatalf("after quiet %d may be on their way, want %d", r.limit, most)
		}
	})
}

// In a rush connections are told when to come back, not all the same; and it ends.
func TestARushIsToldToComeLater(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	a := newAdmission(Config{MaxConnections: 10_000, MaxUnknown: 5000, Now: func() time.Time { return now }}.withDefaults())
	var waiting []*visitor
	come := func() string {
		v, refusal := a.enter(from("127.0.0.1"))
		if v != nil {
			waiting = append(waiting, v)
		}
		return refusal
	}
	for range 400 {
		if refusal := come(); refusal != "" {
			t.Fatalf("refused before there was a rush: %s", refusal)
		}
	}
	now = now.Add(800 * ms)
	for _, v := range waiting[:100] {
		v.SignedIn()
	}
	now = now.Add(rushInterval)
	told := make(map[string]bool)
	for range 20 {
		refusal := come()
		if !strings.HasPrefix(refusal, "HTTP/1.1 503 ") || !strings.Contains(refusal, `"retryAfterMs":`) {
			t.Fatalf("in a rush: %q", refusal)
		}
		told[refusal] = true
	}
	if len(told) < 5 {
		t.Errorf("20 are told %d different things", len(told))
	}
	for _, v := range waiting[100:] {
		v.SignedIn()
	}
	now = now.Add(10 * time.Second)
	if refusal := come(); refusal != "" {
		t.Errorf("long after: %s", refusal)
	}
}
