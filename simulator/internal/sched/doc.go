// Package sched asks the kernel's scheduler for what a load generator wants of it, where generator and fleet share their cores: that a post
// which is due is sent though ten busy threads want the processor too. It is for the process that posts, and not for workers, whose sessions
// take as much of the machine as the fleet does and have to stand in line with it.
//
// What is asked for is a short slice (sched_setattr, Linux 6.12 and later), which takes no right: among threads that are owed time, the one
// with the shorter slice goes first, and each gets the same share of the processor as before. Its source is sched(7) and
// Documentation/scheduler/sched-eevdf.rst of the kernel. On other systems nothing is changed.
package sched

import (
	"context"
	"sync"
	"time"
)

// Process is the threads of this process. The zero value is ready to use.
type Process struct {
	mu      sync.Mutex
	patient map[int]bool // by thread
}

// again is how often threads are looked for that the Go runtime has started since.
const again = 250 * time.Millisecond

// Prompt keeps all threads prompt until ctx ends: woken ones go before others that are owed as much time. Processes that this one starts
// are not, and neither are threads in Patiently.
func (p *Process) Prompt(ctx context.Context) {
	tick := time.NewTicker(again)
	defer tick.Stop()
	for {
		p.prompt()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
