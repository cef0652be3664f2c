package live

import (
	"os"
	"testing"
	"time"
)

// What is used is a share of what there is, of the time between the two looks alone.
func TestMachine(t *testing.T) {
	var m machine
	workers := []int{1 << 30} // It has just ended.
	m.files(append(workers, os.Getpid()))
	used := func() time.Duration { return lookAtProcessors(workers).generator }
	for began := used(); used() < began+100*time.Millisecond; { // Used before, and not counted.
	}
	m.begin(workers)
	began := used()
	for used() < began+200*time.Millisecond {
	}
	time.Sleep(20 * time.Millisecond) // The kernel counts in hundredths.
	m.end(workers)
	if m.found == nil {
		t.Fatal("the kernel says nothing of its processors")
	}
	took := (used() - began).Seconds()
	if f := *m.found; f.Processors <= 0 || f.Processors > 1 || f.Memory <= 0 || f.Memory >= 1 || f.OpenFiles <= 0 || f.OpenFiles > 1 {
		t.Errorf("%+v", f)
	}
	if s := m.processors.GeneratorSeconds; s < 0.19 || s > took+0.02 {
		t.Errorf("the generator used %g s; %g s were used", s, took)
	}
	var none machine
	if none.end(workers); none.found != nil || none.processors != nil {
		t.Errorf("%+v where nobody looked first", none.found)
	}
}
