package fleet

import (
	"fmt"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// Stats is what a process uses, as the kernel counts it.
type Stats struct {
	// Memory that is resident, pages shared with other processes (the program itself) included.
	RSSBytes int64
	// CPU time, user and system, of all processes that have been in this place.
	CPU             time.Duration
	FileDescriptors int
	Threads         int
}

// Stats reads what the process uses now. Of a place where nothing runs it has the CPU time alone.
func (p *Process) Stats() (Stats, error) {
	p.mu.Lock()
	s := Stats{CPU: p.pastCPU}
	pid := 0
	if p.life != nil {
		pid = p.life.cmd.Process.Pid
	}
	p.mu.Unlock()
	if pid == 0 {
		return s, nil
	}
	if err := s.read(pid); err != nil {
		if !p.Running() {
			return s, nil
		}
		return s, fmt.Errorf("read what %s uses: %w", p.Name, err)
	}
	return s, nil
}

// CPU reads the CPU time alone, as in Stats but to the nanosecond and within some microseconds: for looking many times a second. Of a process
// that ends at this moment it may not have the last life yet.
func (p *Process) CPU() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life == nil {
		return p.pastCPU
	}
	var now unix.Timespec
	if err := unix.ClockGettime(cpuClock(p.life.cmd.Process.Pid), &now); err != nil {
		return p.pastCPU // it is gone, and about to be settled
	}
	return p.pastCPU + time.Duration(now.Nano())
}

// cpuClock is the kernel's name for the clock of the CPU time of all threads of a process, those that have ended included: see
// clock_getcpuclockid(3), which makes it in this way.
func cpuClock(pid int) int32 { return int32(^pid<<3 | 2) }

// PSSBytes is the resident memory with each page divided by the number of processes that share it. The kernel walks the
// process's pages for it, some milliseconds for a large one: not for the middle of a measurement.
func (p *Process) PSSBytes() (int64, error) {
	pid := p.Pid()
	if pid == 0 {
		return 0, nil
	}
	proc, err := procfs.NewProc(pid)
	if err != nil {
		return 0, fmt.Errorf("read what %s uses: %w", p.Name, err)
	}
	rollup, err := proc.ProcSMapsRollup()
	if err != nil {
		return 0, fmt.Errorf("read what %s uses: %w", p.Name, err)
	}
	return int64(rollup.Pss), nil
}

func (s *Stats) read(pid int) error {
	proc, err := procfs.NewProc(pid)
	if err != nil {
		return err
	}
	stat, err := proc.Stat()
	if err != nil {
		return err
	}
	fds, err := proc.FileDescriptorsLen()
	if err != nil {
		return err
	}
	s.RSSBytes = int64(stat.ResidentMemory())
	s.CPU += time.Duration(stat.CPUTime() * float64(time.Second))
	s.FileDescriptors, s.Threads = fds, stat.NumThreads
	return nil
}
