package live

import (
	"context"
	"os"
	"time"

	"github.com/prometheus/procfs"

	"github.com/chatfleet/chatfleet/simulator/internal/report"
)

// processors is what the processors of this machine have been used for so far. Zero where the system does not say.
type processors struct {
	// The generator: this process and its workers.
	generator time.Duration
	// All processes, handling interrupts, what a hypervisor gave to others, and nothing.
	busy, interrupts, stolen, idle time.Duration
}

// lookAtProcessors reads the kernel's counts, to a hundredth of a second. A worker that has ended has none.
func lookAtProcessors(workers []int) (p processors) {
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return p
	}
	stat, err := proc.Stat()
	if err != nil {
		return p
	}
	p = processorsOf(stat.CPUTotal)
	for _, pid := range append([]int{os.Getpid()}, workers...) {
		if one, err := proc.Proc(pid); err == nil {
			if stat, err := one.Stat(); err == nil {
				p.generator += ofSeconds(stat.CPUTime())
			}
		}
	}
	return p
}

// processorsOf sorts the kernel's counts of all processors together.
func processorsOf(all procfs.CPUStat) processors {
	return processors{
		busy: ofSeconds(all.User + all.Nice + all.System), interrupts: ofSeconds(all.IRQ + all.SoftIRQ),
		stolen: ofSeconds(all.Steal), idle: ofSeconds(all.Idle + all.Iowait),
	}
}

func ofSeconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// since is what they were used for since an earlier look; nil if either did not see anything.
func (p processors) since(before processors) *report.Processors {
	if p.busy == 0 || before.busy == 0 {
		return nil
	}
	return &report.Processors{
		GeneratorSeconds: (p.generator - before.generator).Seconds(), BusySeconds: (p.busy - before.busy).Seconds(),
		InterruptSeconds: (p.interrupts - before.interrupts).Seconds(), StolenSeconds: (p.stolen - before.stolen).Seconds(),
		IdleSeconds: (p.idle - before.idle).Seconds(),
	}
}

// BusyShare looks for a while at what share of this machine's cores anybody uses; 0 where the system does not say.
func BusyShare(ctx context.Context, over time.Duration) float64 {
	before := lookAtProcessors(nil)
	until(ctx, over, func() bool { return false })
	if used := lookAtProcessors(nil).since(before); used != nil {
		return used.Share()
	}
	return 0
}
