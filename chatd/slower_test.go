//go:build slower && linux

package main

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// How much more than what was asked for the process uses: the slower thread runs from the start.
//
//	go test -tags slower -run '^$' -bench Slower -benchtime 20000000x ./chatd
func BenchmarkSlower(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := used(unix.CLOCK_PROCESS_CPUTIME_ID)
	own := used(unix.CLOCK_THREAD_CPUTIME_ID)
	for range b.N {
		used(unix.CLOCK_THREAD_CPUTIME_ID)
	}
	own = used(unix.CLOCK_THREAD_CPUTIME_ID) - own
	b.ReportMetric(100*(float64(used(unix.CLOCK_PROCESS_CPUTIME_ID)-before)/float64(own)-1), "%more")
}
