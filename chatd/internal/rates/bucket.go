package rates

import "time"

// Pace is how a Bucket fills: so much a second, up to burst.
type Pace struct {
	perSecond float64
	burst     int
	// began is what buckets count their time from. A clock that is set moves neither.
	began time.Time
}

// NewPace makes a pace for buckets that are used from now on.
func NewPace(perSecond float64, burst int, now time.Time) *Pace {
	return &Pace{perSecond, burst, now}
}

// Bucket is a token bucket of eight bytes: the time at which it is full again, by the clock of its Pace. The zero value is full.
type Bucket struct{ full time.Duration }

// Take takes n out of a bucket, all of it if n is more than it holds when it is full; or nothing, and says after what time there will be enough.
func (b *Bucket) Take(p *Pace, n int, now time.Time) (wait time.Duration, ok bool) {
	at, whole := now.Sub(p.began), p.lasts(p.burst)
	// A clock that goes back must not empty it.
	full := min(max(b.full, at), at+whole) + p.lasts(min(n, p.burst))
	if wait = full - at - whole; wait > 0 {
		return max(wait, leastWait), false
	}
	b.full = full
	return 0, true
}

// spent says whether a bucket holds less than one, and after what time it does not.
func (b *Bucket) spent(p *Pace, now time.Time) (wait time.Duration, spent bool) {
	unchanged := *b
	wait, ok := unchanged.Take(p, 1, now)
	return wait, !ok
}

// leastWait is the shortest time that anybody is told to wait.
const leastWait = 10 * time.Millisecond

// lasts is how long n take to flow in.
func (p *Pace) lasts(n int) time.Duration {
	const longest = float64(1 << 60) // 36 years: a sum of two does not overflow
	return time.Duration(min(float64(n)/p.perSecond*float64(time.Second), longest))
}
