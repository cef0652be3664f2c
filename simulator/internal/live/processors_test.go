package live

import (
	"context"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/procfs"
)

// What a machine does in a while adds up to its cores, and a thread that does nothing but compute is in it.
func TestProcessorsAddUp(t *testing.T) {
	if lookAtProcessors(nil).busy == 0 {
		t.Skip("this system does not say what its processors do")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	before := lookAtProcessors(nil)
	began := time.Now()
	for ctx.Err() == nil {
		_ = math.Sqrt(float64(began.UnixNano()))
	}
	took := time.Since(began).Seconds()
	used := lookAtProcessors(nil).since(before)
	if sum := used.BusySeconds + used.InterruptSeconds + used.StolenSeconds + used.IdleSeconds; sum > 1.5*took*float64(runtime.NumCPU())+0.1 {
		t.Errorf("%g s of processors in %g s on %d cores", sum, took, runtime.NumCPU())
	}
	if used.GeneratorSeconds <= 0 || used.GeneratorSeconds > took*float64(runtime.NumCPU())+0.1 {
		t.Errorf("this process used %g s in %g s", used.GeneratorSeconds, took)
	}
	if lookAtProcessors(nil).since(processors{}) != nil {
		t.Error("something is known since nobody looked")
	}
}

func TestTheKernelsCountsAreSorted(t *testing.T) {
	got := processorsOf(procfs.CPUStat{User: 1, Nice: 2, System: 3, IRQ: 4, SoftIRQ: 5, Steal: 6, Idle: 7, Iowait: 8})
	if want := (processors{busy: 6 * time.Second, interrupts: 9 * time.Second, stolen: 6 * time.Second, idle: 15 * time.Second}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestBusyShareIsAShare(t *testing.T) {
	if share := BusyShare(context.Background(), 50*time.Millisecond); share < 0 || share > 1 {
		t.Errorf("%g of the cores are busy", share)
	}
}
