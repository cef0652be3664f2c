// Package clock is a machine's clock that can be set, as an operator or NTP sets one: the time of day that it shows jumps, and the time
// that Go measures beside it, by a clock that nobody sets, goes on.
//
// A member goes by one only where it was started with --fault-clock, so that a simulation can set it (package node); else by time.Now.
// NewTicker has no part in that: it is for what a member does every so often, so that all of it is done at once.
//
// Tests use a Clock for what depends on which of the two clocks counts; a test that wants time to pass quickly uses testing/synctest, within
// which this works as well.
package clock

import (
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"
)

// MaxOffset is how far from the machine's clock one may be set. Package time's form of a reading with both clocks ends in 2157.
const MaxOffset = 10 * 365 * 24 * time.Hour

// Clock shows the machine's time until it is set. It may be used by many goroutines at once.
type Clock struct {
	// Within a bubble of synctest time.Now has no second clock in it; there a reading from outside stands in, as it was when the clock was made.
	bubble      bool
	base, began time.Time
	// seconds it is off by, in all.
	seconds atomic.Int64
	// set is the part of them that somebody asked for.
	set atomic.Int64
}

// outside is read where no bubble is.
var outside = time.Now()

// New makes a clock that shows the right time; in a bubble, to the second.
func New() *Clock {
	now := time.Now()
	c := &Clock{bubble: now == now.Round(0), base: outside, began: now}
	if c.bubble {
		c.seconds.Store(int64(now.Sub(outside.Round(0)) / time.Second))
	}
	return c
}

// Step sets the clock forward, or back, by whole seconds.
func (c *Clock) Step(by time.Duration) {
	c.seconds.Add(int64(by / time.Second))
	c.set.Add(int64(by / time.Second))
}

// Set has the clock be so far ahead of the machine's, or behind it if that is below 0: whole seconds, at most MaxOffset.
func (c *Clock) Set(offset time.Duration) error {
	switch {
	case offset.Abs() > MaxOffset:
		return fmt.Errorf("%v from the machine's clock: want at most %v", offset, MaxOffset)
	case offset%time.Second != 0:
		return fmt.Errorf("%v from the machine's clock: want whole seconds", offset)
	}
	seconds := int64(offset / time.Second)
	c.seconds.Add(seconds - c.set.Swap(seconds))
	return nil
}

// Offset is how far it was set from the machine's clock.
func (c *Clock) Offset() time.Duration { return time.Duration(c.set.Load()) * time.Second }

// Now is what it shows.
func (c *Clock) Now() time.Time {
	t := time.Now()
	if c.bubble {
		t = c.base.Add(t.Sub(c.began))
	}
	if seconds := c.seconds.Load(); seconds != 0 {
		// The seconds of package time's own form of a reading. There is no other way to such a one; TestTheClockIsSet sees to it.
		*(*uint64)(unsafe.Pointer(&t)) += uint64(seconds) << 30
	}
	return t
}
