package live

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/procfs"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/fleet"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
)

// usage is what the processes of a local fleet use, at the moments that matter.
type usage struct {
	// Resident memory of the shards, before any session and with the sessions.
	before, after int64
	sessions      int64
	// Resident memory of the worker processes with the sessions.
	workers int64

	// Processor time by process when measuring began, and what was used in it.
	beganCPU map[string]time.Duration
	usedCPU  map[string]time.Duration
	// Deliveries when measuring began, and in it.
	beganDelivered, delivered int64

	trend trend
	cpu   cpuSeries

	mu sync.Mutex
	// Largest resident memory by process.
	largest map[string]int64
	// Processes that ended by themselves, and how.
	exits []string
}

func newUsage() usage {
	return usage{beganCPU: map[string]time.Duration{}, usedCPU: map[string]time.Duration{}, largest: map[string]int64{}}
}

// shardMemory is the resident memory of all shards of a local fleet.
func (e *engine) shardMemory() (int64, error) {
	if e.fleet == nil {
		return 0, nil
	}
	var sum int64
	for _, p := range e.fleet.Shards() {
		s, err := p.Stats()
		if err != nil {
			return 0, err
		}
		sum += s.RSSBytes
	}
	return sum, nil
}

// sample keeps the largest sizes. A process that is just gone has none.
func (u *usage) sample(f *fleet.Fleet) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, p := range f.Processes() {
		if s, err := p.Stats(); err == nil {
			u.largest[p.Name] = max(u.largest[p.Name], s.RSSBytes)
		}
	}
}

// exited notes a process that ended by itself.
func (u *usage) exited(e fleet.Exit) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.exits = append(u.exits, fmt.Sprintf("%s: %v", e.Name, e.Err))
}

func (u *usage) exitsSoFar() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.exits)
}

// begin and end enclose the measure phase. f is nil for a fleet that is elsewhere.
func (u *usage) begin(f *fleet.Fleet, delivered int64) {
	u.beganDelivered = delivered
	for name, cpu := range cpuTimes(f) {
		u.beganCPU[name] = cpu
	}
}

func (u *usage) end(f *fleet.Fleet, delivered int64) {
	u.delivered = delivered - u.beganDelivered
	for name, cpu := range cpuTimes(f) {
		u.usedCPU[name] = cpu - u.beganCPU[name]
	}
}

func cpuTimes(f *fleet.Fleet) map[string]time.Duration {
	times := map[string]time.Duration{}
	if f == nil {
		return times
	}
	for _, p := range f.Processes() {
		if s, err := p.Stats(); err == nil {
			times[p.Name] = s.CPU
		}
	}
	return times
}

// totalCPU is the processor time of the whole fleet so far.
func totalCPU(f *fleet.Fleet) time.Duration {
	var sum time.Duration
	for _, cpu := range cpuTimes(f) {
		sum += cpu
	}
	return sum
}

// workerMemory is the resident memory of all worker processes. One that has just ended has none.
func workerMemory(pids []int) int64 {
	var sum int64
	for _, pid := range pids {
		if proc, err := procfs.NewProc(pid); err == nil {
			if stat, err := proc.Stat(); err == nil {
				sum += int64(stat.ResidentMemory())
			}
		}
	}
	return sum
}

// memoryPerSession is what a session takes in its shard; 0 if not known.
func (u *usage) memoryPerSession() float64 {
	if u.sessions == 0 || u.after <= u.before {
		return 0
	}
	return float64(u.after-u.before) / float64(u.sessions)
}

// cpuPerDelivery is what the whole fleet used for a delivery, posts and all; 0 if not known.
func (u *usage) cpuPerDelivery() time.Duration {
	if u.delivered <= 0 {
		return 0
	}
	var sum time.Duration
	for _, cpu := range u.usedCPU {
		sum += cpu
	}
	return sum / time.Duration(u.delivered)
}

// processes describes those of a local fleet after a scenario.
func (u *usage) processes(f *fleet.Fleet, s *v1alpha1.Scenario) []report.Process {
	if f == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	grown, _ := u.trend.growth(spans(s))
	var out []report.Process
	for _, p := range f.Processes() {
		process := report.Process{Name: p.Name, Role: string(p.Role), RSSBytes: u.largest[p.Name], CPUSeconds: u.usedCPU[p.Name].Seconds()}
		if g, ok := grown[p.Name]; ok {
			process.Growth = &report.Growth{Memory: g.Memory, Goroutines: g.Goroutines, OpenFiles: g.OpenFiles}
		}
		out = append(out, process)
	}
	return out
}
