package clock

import "time"

// NewTicker is a time.Ticker that ticks in time with all others of this process: at multiples of d since it began, however late it is made. A
// member has many things to do every so often, most of them next to nothing; done together they wake it, and whom they send something to, once.
// The first tick comes after d at most.
func NewTicker(d time.Duration) *time.Ticker {
	first := d - (time.Since(outside)%d+d)%d
	t := time.NewTicker(first)
	time.AfterFunc(first, func() { t.Reset(d) })
	return t
}
