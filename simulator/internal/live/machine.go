package live

import (
	"os"

	"github.com/prometheus/procfs"

	"github.com/chatfleet/chatfleet/simulator/internal/report"
)

// machine is what is used of the machine that this program runs on. What the kernel does not say stays zero.
type machine struct {
	// Processor time when measuring began, by everything that runs here: used and all, in seconds. And that of the generator.
	used, all, generator float64
	// The largest share of the files that it may open that a process of fleet or generator has open, with all sessions.
	openFiles float64
	found     *report.Machine
}

// files looks at the files that the processes have open. It takes some milliseconds for many thousand of them: not for the middle of a measurement.
func (m *machine) files(pids []int) {
	for _, pid := range pids {
		proc, err := procfs.NewProc(pid)
		if err != nil {
			continue // It has just ended.
		}
		open, err := proc.FileDescriptorsLen()
		limits, errLimits := proc.Limits()
		if err == nil && errLimits == nil && limits.OpenFiles > 0 {
			m.openFiles = max(m.openFiles, float64(open)/float64(limits.OpenFiles))
		}
	}
}

// begin and end enclose the measure phase. pids are the processes of the generator.
func (m *machine) begin(pids []int) {
	m.used, m.all = processors()
	m.generator = processorTime(pids)
}

func (m *machine) end(pids []int) {
	used, all := processors()
	if all <= m.all {
		return
	}
	m.found = &report.Machine{
		Processors: (used - m.used) / (all - m.all), OpenFiles: m.openFiles, GeneratorCPUSeconds: max(processorTime(pids)-m.generator, 0),
	}
	if fs, err := procfs.NewDefaultFS(); err == nil {
		if info, err := fs.Meminfo(); err == nil && info.MemTotal != nil && info.MemAvailable != nil && *info.MemTotal > 0 {
			m.found.Memory = 1 - float64(*info.MemAvailable)/float64(*info.MemTotal)
		}
	}
}

// processors is the time of all processors of the machine so far, in seconds: what was used, and all. What a hypervisor gave to others counts as used, since nobody
// here could have it.
func processors() (used, all float64) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return 0, 0
	}
	stat, err := fs.Stat()
	if err != nil {
		return 0, 0
	}
	t := stat.CPUTotal // Guests are in user and nice.
	used = t.User + t.Nice + t.System + t.IRQ + t.SoftIRQ + t.Steal
	return used, used + t.Idle + t.Iowait
}

// processorTime is that of processes so far, in seconds.
func processorTime(pids []int) float64 {
	var sum float64
	for _, pid := range pids {
		if proc, err := procfs.NewProc(pid); err == nil {
			if stat, err := proc.Stat(); err == nil {
				sum += stat.CPUTime()
			}
		}
	}
	return sum
}

// generators are the processes of the generator: this one, and those that hold the sessions.
func (e *engine) generators() []int { return append([]int{os.Getpid()}, e.crowd.Pids()...) }

// everybody is the generator's and, of a local fleet, the fleet's processes.
func (e *engine) everybody() []int {
	pids := e.generators()
	if e.fleet != nil {
		for _, p := range e.fleet.Processes() {
			if pid := p.Pid(); pid != 0 {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
