package sched

import (
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// slice is the shortest that the kernel takes.
	slice = 100 * time.Microsecond

	resetOnFork = 1 // SCHED_FLAG_RESET_ON_FORK: what a thread starts is as if it had asked for nothing.
)

func (p *Process) prompt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, thread := range threads() {
		if !p.patient[thread] {
			ask(thread, slice)
		}
	}
}

// Patiently runs f on a thread of its own that stands in line like those of other processes, whatever Prompt does. A goroutine calls it as
// the last thing that it does: the thread ends with it.
func (p *Process) Patiently(f func()) {
	runtime.LockOSThread()
	thread := unix.Gettid()
	p.keep(thread, true)
	defer p.keep(thread, false)
	f()
}

func (p *Process) keep(thread int, patient bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !patient {
		delete(p.patient, thread)
		return
	}
	if p.patient == nil {
		p.patient = make(map[int]bool)
	}
	p.patient[thread] = true
	ask(thread, 0)
}

// ask asks for a slice, 0 being the kernel's own. Threads of another policy, which somebody chose, are left alone; one that has ended, or
// whose kernel knows no slices, is as it was.
func ask(thread int, slice time.Duration) {
	attributes, err := unix.SchedGetAttr(thread, 0)
	if err != nil || attributes.Policy != unix.SCHED_NORMAL {
		return
	}
	attributes.Flags |= resetOnFork
	attributes.Runtime = uint64(slice)
	_ = unix.SchedSetAttr(thread, attributes, 0)
}

// threads lists the threads of this process; none where that cannot be read.
func threads() []int {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil
	}
	ids := make([]int, 0, len(entries))
	for _, entry := range entries {
		if id, err := strconv.Atoi(entry.Name()); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}
