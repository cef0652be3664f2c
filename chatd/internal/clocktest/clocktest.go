// Package clocktest is a machine's clock that a test sets, as an operator or NTP sets one: what it shows jumps, and the time that Go
// measures beside it, by a clock that nobody sets, goes on. It is for tests of what depends on which of the two; a test that wants time
// to pass quickly uses testing/synctest, within which this works as well.
package clocktest

import (
	"sync/atomic"
	"time"
	"unsafe"
)

// Clock shows time.Now's time until it is set.
type Clock struct {
	// base is a reading with both clocks in it, which within a bubble of synctest has none.
	base  time.Time
	began time.Time
	step  atomic.Int64
}

// outside is read where no bubble is.
var outside = time.Now()

// New makes a clock that shows the right time, to the second.
func New() *Clock {
	c := &Clock{base: outside, began: time.Now()}
	c.step.Store(int64(c.began.Round(0).Sub(outside.Round(0)).Truncate(time.Second)))
	return c
}

// Step sets the clock forward, or back, by whole seconds.
func (c *Clock) Step(by time.Duration) { c.step.Add(int64(by)) }

// Now is what it shows.
func (c *Clock) Now() time.Time {
	t := c.base.Add(time.Since(c.began))
	// The seconds of package time's own form of a reading. There is no other way to such a one; TestTheClockIsSet sees to it.
	*(*uint64)(unsafe.Pointer(&t)) += uint64(c.step.Load()/int64(time.Second)) << 30
	return t
}
