package live

import (
	"os"
	"testing"
	"time"
)

// What is used is a share of what there is, of the time between the two looks alone.
func TestMachine(t *testing.T) {
	var m machine
	pids := []int{os.Getpid(), 1 << 30} // The second one has just ended.
	m.files(pids)
	for began := processorTime(pids); processorTime(pids) < began+0.1; { // Used before, and not counted.
	}
	m.begin(pids)
	began := processorTime(pids)
	for processorTime(pids) < began+0.2 {
	}
	time.Sleep(20 * time.Millisecond) // The kernel counts in hundredths.
	m.end(pids)
	if m.found == nil {
		t.Fatal("the kernel says nothing of its processors")
	}
	used := processorTime(pids) - began
	if f := *m.found; f.Processors <= 0 || f.Processors > 1 || f.Memory <= 0 || f.Memory >= 1 || f.OpenFiles <= 0 || f.OpenFiles > 1 || f.GeneratorCPUSeconds < 0.19 || f.GeneratorCPUSeconds > used+0.02 {
		t.Errorf("%+v; %g s were used", f, used)
	}
	var none machine
	none.used, none.all = processors()
	none.all += 1e9
	if none.end(pids); none.found != nil {
		t.Errorf("%+v where no time went by", none.found)
	}
}
