package gateway

import "time"

// When a region's other shards are gone, or a network is back, everybody comes at once. What has been let in is all worked on at the same time, so with more
// than can be done in a client's patience all of them give up, and come again: nobody gets in, and the machine is busy with it. So the connections that are on
// their way to a sign-in are bounded by time, not by number alone. (As CoDel does it with the packets of a queue, RFC 8289: it is the least time of an interval
// that tells a queue that stands from one that comes and goes, and a slow client's time from the server's.)
const (
	// rushPatience is how long the quickest sign-in may take.
	rushPatience = 500 * time.Millisecond
	// rushInterval is how long the least is looked for, and rushCounts how many sign-ins it takes to say something.
	rushInterval = 500 * time.Millisecond
	rushCounts   = 8
	// rushLeast may be on their way in any case.
	rushLeast = 64
)

// rush says how many connections may be on their way to a sign-in: most, while there are not too many; else as many as have signed in within rushPatience.
// Times are since some beginning.
type rush struct {
	most, limit int

	since time.Duration // when the interval began
	least time.Duration // of the sign-ins in it
	n     int
}

func newRush(most int) rush { return rush{most: most, limit: most} }

// admits reports whether one more may come to those who are on their way.
func (r *rush) admits(now time.Duration, unknown int) bool {
	r.turn(now)
	return unknown < r.limit
}

// signedIn takes note of a sign-in, and how long it took since the connection had come.
func (r *rush) signedIn(now, took time.Duration) {
	r.turn(now)
	if r.n == 0 || took < r.least {
		r.least = took
	}
	r.n++
}

// turn ends the interval if it is over. Without a rush in it the limit doubles, until it is what it was.
func (r *rush) turn(now time.Duration) {
	lasted := now - r.since
	if lasted < rushInterval {
		return
	}
	if r.n >= rushCounts && r.least > rushPatience {
		within := int(float64(r.n) * float64(rushPatience) / float64(lasted))
		r.limit = min(max(within, rushLeast), r.limit)
	} else {
		for ; lasted >= rushInterval && r.limit < r.most; lasted -= rushInterval {
			r.limit = min(2*r.limit, r.most)
		}
	}
	r.since, r.least, r.n = now, 0, 0
}
