package live

import (
	"os"

	"github.com/prometheus/procfs"

	"github.com/chatfleet/chatfleet/simulator/internal/report"
)

// machine is what is used of the machine that this program runs on. What the kernel does not say stays zero.
type machine struct {
	// What the processors had been used for when measuring began.
	before processors
	// The largest share of the files that it may open that a process of fleet or generator has open, with all sessions.
	openFiles float64
	// Since then; nil where the kernel does not say.
	processors *report.Processors
	found      *report.Machine
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

// begin and end enclose the measure phase. workers are the generator's processes beside this one.
func (m *machine) begin(workers []int) { m.before = lookAtProcessors(workers) }

func (m *machine) end(workers []int) {
	m.processors = lookAtProcessors(workers).since(m.before)
	if m.processors == nil {
		return
	}
	m.found = &report.Machine{Processors: m.processors.Share(), OpenFiles: m.openFiles}
	if fs, err := procfs.NewDefaultFS(); err == nil {
		if info, err := fs.Meminfo(); err == nil && info.MemTotal != nil && info.MemAvailable != nil && *info.MemTotal > 0 {
			m.found.Memory = 1 - float64(*info.MemAvailable)/float64(*info.MemTotal)
		}
	}
}

// everybody is the generator's and, of a local fleet, the fleet's processes.
func (e *engine) everybody() []int {
	pids := append([]int{os.Getpid()}, e.crowd.Pids()...)
	if e.fleet != nil {
		for _, p := range e.fleet.Processes() {
			if pid := p.Pid(); pid != 0 {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
