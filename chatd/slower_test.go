//go:build slower && linux

package main

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// How much more the process uses than the thread that works: what the slower thread adds, and some percent that Go's runtime always does.
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
