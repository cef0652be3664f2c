//go:build slower && linux

package main

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// slowerBy is how much more processor time a chatd built with -tags slower takes than it would: the planted slowdown that `simulator compare` has
// to find (make slowdown). No other build has this file.
const slowerBy = 0.1

func init() { go slower() }

// slower spends a share of what the process has used on nothing, over and over, in a thread of its own: the way of a post stays as it is, and
// the share is right whatever the process does.
func slower() {
	runtime.LockOSThread()
	for {
		time.Sleep(20 * time.Millisecond)
		spend(owed())
	}
}

// owed is how much less this thread has used than its share of what all others have.
func owed() time.Duration {
	own := used(unix.CLOCK_THREAD_CPUTIME_ID)
	others := used(unix.CLOCK_PROCESS_CPUTIME_ID) - own
	return time.Duration(slowerBy*float64(others)) - own
}

func spend(d time.Duration) {
	for until := used(unix.CLOCK_THREAD_CPUTIME_ID) + d; used(unix.CLOCK_THREAD_CPUTIME_ID) < until; {
	}
}

func used(clock int32) time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(clock, &now); err != nil {
		panic(err) // every Linux has these clocks
	}
	return time.Duration(now.Nano())
}
