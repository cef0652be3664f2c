package doctor

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/delay"
	"github.com/chatfleet/chatfleet/simulator/internal/worker"
)

// Level is how bad a finding is.
type Level int

// The levels.
const (
	// Good: there is enough.
	Good Level = iota
	// Doubtful: it may do, or the figures will suffer.
	Doubtful
	// Missing: the scenario cannot be run here.
	Missing
)

// String is one word for a table.
func (l Level) String() string { return [...]string{"ok", "doubtful", "NO"}[l] }

// Finding is one line of the table.
type Finding struct {
	What, Have, Need string
	Level            Level
	// What to do about it, or what it means.
	Do string
}

// What a session and a process take, rounded up from what local fleets of 2,000 to 20,000 sessions showed on Linux/amd64: see the
// memory figures of any report. They only tell what is far too much from what is not.
const (
	memoryPerSession      = 24 << 10 // shard, worker and both sockets
	memoryPerFarSession   = 6 << 10  // worker and one socket
	memoryPerFleetProcess = 200 << 20
	memoryPerWorker       = 40 << 20
	// spareFiles is what a shard has open besides its sessions.
	spareFiles = 256
	// maxWorkers is what package worker starts at most.
	maxWorkers = 256
)

// Examine holds what a scenario needs against what the machine has and showed. With no needs it says what the machine could do.
func Examine(f Facts, t Trial, n Needs) []Finding {
	x := examination{f, t, n}
	return slices.Concat(x.files(), x.ports(), x.memory(), x.cores(), x.buffers(), x.clock(), x.trial())
}

// Possible says whether nothing is missing.
func Possible(findings []Finding) bool {
	return !slices.ContainsFunc(findings, func(f Finding) bool { return f.Level == Missing })
}

type examination struct {
	Facts
	Trial
	Needs
}

func (x examination) asked() bool { return x.Sessions > 0 }

func (x examination) files() []Finding {
	each := worker.SocketsPerWorker(x.OpenFiles)
	out := []Finding{{What: "open files a process", Have: count(x.OpenFiles), Do: fmt.Sprintf("a worker takes %s sessions", count(each))}}
	process := &out[0]
	if x.OpenFiles < x.OpenFilesHard {
		process.Do += fmt.Sprintf("; `ulimit -n %d` would allow more", x.OpenFilesHard)
	}
	if each == 0 {
		process.Level, process.Do = Missing, "raise it (ulimit -n); below some 500 no worker can start"
	}
	if !x.asked() || each == 0 {
		return out
	}
	least := (x.Sessions + each - 1) / each
	workers := Finding{What: "worker processes", Have: "up to " + count(maxWorkers), Need: count(max(least, x.Workers))}
	switch {
	case least > maxWorkers:
		workers.Level, workers.Do = Missing, "raise the limit of open files, or use more machines"
	case x.Workers > 0 && x.Workers < least:
		workers.Level, workers.Do = Missing, fmt.Sprintf("the scenario has workers.count %d; raise it to %d, or leave it out", x.Workers, least)
	}
	out = append(out, workers)
	return slices.Concat(out, x.proxyFiles(), x.shardFiles(), x.systemFiles())
}

// proxyFiles looks at the simulator's own process, in which each session that is delayed has two connections more.
func (x examination) proxyFiles() []Finding {
	if x.Delayed == 0 {
		return nil
	}
	finding := Finding{What: "sessions delayed", Have: count(delay.RoomFor(x.OpenFiles)), Need: count(x.Delayed)}
	if x.Delayed > delay.RoomFor(x.OpenFiles) {
		finding.Level, finding.Do = Missing, "raise the limit of open files, or delay a smaller share"
	}
	return []Finding{finding}
}

// shardFiles looks at the shards of a local fleet, which have the limits of this process.
func (x examination) shardFiles() []Finding {
	if x.Shards == 0 {
		return nil
	}
	room := max(int(x.OpenFiles)-spareFiles, 1)
	left := x.Shards
	if x.LosesShard {
		left = max(x.Shards-1, 1)
	}
	finding := Finding{What: "sessions a shard", Have: count(room), Need: count((x.Sessions + x.Shards - 1) / x.Shards)}
	switch least := (x.Sessions + room - 1) / room; {
	case least > x.Shards:
		finding.Level, finding.Do = Missing, fmt.Sprintf("raise the limit of open files, or take %d shards", least)
	case least > left:
		finding.Level, finding.Do = Doubtful, fmt.Sprintf("while a shard is away the others have %s each; take %d shards", count(x.Sessions/left), least+1)
	}
	return []Finding{finding}
}

func (x examination) systemFiles() []Finding {
	need := x.Sessions
	if x.Shards > 0 {
		need *= 2
	}
	need += 2 * x.Delayed
	finding := Finding{What: "open files of all", Have: count(x.SystemFiles - min(x.SystemFilesOpen, x.SystemFiles)), Need: count(need)}
	if x.SystemFiles == 0 {
		finding.Have = "not known"
	} else if uint64(need) > x.SystemFiles-min(x.SystemFilesOpen, x.SystemFiles) {
		finding.Level, finding.Do = Missing, "sysctl -w fs.file-max=…"
	}
	return []Finding{finding}
}

func (x examination) ports() []Finding {
	ports := max(x.LastPort-x.FirstPort+1, 0)
	finding := Finding{What: "ports to a target", Have: count(ports) + " an address"}
	if x.ManyLoopbacks {
		finding.Do = "a local fleet is reached from many addresses of 127.0.0.0/8, so ports are no limit there"
	}
	switch {
	case !x.asked():
	case x.Shards > 0 && x.ManyLoopbacks:
		finding.Need = count(x.Sessions)
	case x.Shards > 0:
		finding.Need = count(x.Sessions)
		if finding.Level, finding.Do = Missing, "127.64.0.1 cannot be bound: the loopback interface lacks 127.0.0.0/8"; x.Sessions <= 8192 {
			finding.Level = Doubtful
		}
	default:
		finding.Need = count(x.Sessions)
		if have := ports * max(x.Sources, 1); have < x.Sessions {
			finding.Level = Doubtful
			finding.Do = fmt.Sprintf("enough if there are %d targets; else give workers.sourceAddresses, or widen net.ipv4.ip_local_port_range",
				(x.Sessions+max(have, 1)-1)/max(have, 1))
		}
	}
	return []Finding{finding}
}

func (x examination) memory() []Finding {
	need := uint64(x.Sessions) * memoryPerFarSession
	if x.Shards > 0 {
		need = uint64(x.Sessions)*memoryPerSession + uint64(x.Stores+x.Shards)*memoryPerFleetProcess
	}
	if each := worker.SocketsPerWorker(x.OpenFiles); each > 0 {
		need += uint64((x.Sessions+each-1)/each) * memoryPerWorker
	}
	finding := Finding{What: "memory", Have: size(x.MemoryBytes)}
	if x.asked() {
		finding.Need = "about " + size(need)
	}
	switch {
	case x.MemoryBytes == 0:
		finding.Have = "not known"
	case need > x.MemoryBytes:
		finding.Level, finding.Do = Missing, "fewer sessions, or more memory"
	case need > x.MemoryBytes*7/10:
		finding.Level, finding.Do = Doubtful, "close to all that there is: the kernel's buffers need some under load"
	}
	return []Finding{finding}
}

func (x examination) cores() []Finding {
	finding := Finding{What: "cores", Have: count(x.Cores)}
	if x.Shards > 0 {
		finding.Do = "shared with the fleet: latencies are overstated, and the report says by how much"
		if x.Cores < 2 {
			finding.Level = Doubtful
		}
	}
	return []Finding{finding}
}

func (x examination) buffers() []Finding {
	out := []Finding{{
		What: "socket buffers", Have: fmt.Sprintf("receive %s to %s, send %s to %s",
			size(x.ReceiveBuffer[1]), size(x.ReceiveBuffer[2]), size(x.SendBuffer[1]), size(x.SendBuffer[2])),
	}}
	if x.TCPBytes > 0 && x.asked() {
		sockets := x.Sessions
		if x.Shards > 0 {
			sockets *= 2
		}
		sockets += 2 * x.Delayed
		finding := Finding{What: "memory of all sockets", Have: size(x.TCPBytes), Need: size(uint64(sockets) * 4096)}
		if uint64(sockets)*4096 > x.TCPBytes {
			finding.Level, finding.Do = Doubtful, "beyond it the kernel drops packets: sysctl -w net.ipv4.tcp_mem=…"
		}
		out = append(out, finding)
	}
	if x.Shards > 0 && x.Backlog > 0 {
		finding := Finding{What: "connections waiting at a port", Have: count(x.Backlog), Need: count((x.AtOnce + x.Shards - 1) / x.Shards)}
		if x.AtOnce > x.Backlog*x.Shards {
			finding.Level, finding.Do = Doubtful, "so many at once wait a second and try again: sysctl -w net.core.somaxconn=…"
		}
		out = append(out, finding)
	}
	return out
}

// slowClocks are read through a device, in a microsecond and more.
var slowClocks = []string{"hpet", "acpi_pm", "jiffies", "refined-jiffies"}

func (x examination) clock() []Finding {
	finding := Finding{What: "clock", Have: fmt.Sprintf("%s, %s a reading", orUnknown(x.ClockSource), x.ClockReading)}
	if slices.Contains(slowClocks, x.ClockSource) || x.ClockReading > time.Microsecond {
		finding.Level, finding.Do = Doubtful, "slow to read: each delivery is timed; choose another clock source (tsc, kvm-clock)"
	}
	return []Finding{finding}
}

// Bounds on what a machine shows while nothing else of this program runs.
const (
	calmHiccup = 20 * time.Millisecond
	calmLag    = 20 * time.Millisecond
)

func (x examination) trial() []Finding {
	scheduler := Finding{What: "hiccups at rest", Have: "p99.9 " + round(x.Hiccup)}
	if x.Hiccup > calmHiccup {
		scheduler.Level, scheduler.Do = Doubtful, "something else keeps the cores busy; latencies will be in doubt by as much"
	}
	if x.DeliverWithin > 0 && x.Hiccup > x.DeliverWithin/4 {
		scheduler.Level, scheduler.Do = Missing, "beyond a quarter of the tightest bound no run is healthy; stop what else runs here"
	}
	sender := Finding{What: "sender", Have: fmt.Sprintf("lag p99.9 %s at %s posts a second", round(x.SendLag), count(int(x.PostRate)))}
	if x.asked() {
		sender.Need = fmt.Sprintf("%.1f posts a second", x.PostsPerSecond)
	}
	if x.SendLag > calmLag {
		sender.Level, sender.Do = Doubtful, "late at rest; a run may end as \"generator unhealthy\""
	}
	receiver := Finding{What: "receiver", Have: fmt.Sprintf("%s deliveries a second, with their sender in the same process", count(int(x.ReceiveRate)))}
	if x.asked() {
		receiver.Need = count(int(math.Ceil(x.DeliveriesPerSecond))) + " a second on average"
	}
	switch {
	case x.ReceiveRate == 0:
	case x.DeliveriesPerSecond > x.ReceiveRate*float64(x.Cores):
		receiver.Level, receiver.Do = Missing, "more cores, or fewer sessions or posts"
	case x.DeliveriesPerSecond > x.ReceiveRate/2:
		receiver.Level, receiver.Do = Doubtful, "the generator alone needs most of a core for it"
	}
	out := []Finding{scheduler, sender, receiver}
	if x.LargestPost > 0 && x.ReceiveRate > 0 {
		takes := time.Duration(float64(x.LargestPost) / x.ReceiveRate / float64(max(x.Cores, 1)) * float64(time.Second))
		broadcast := Finding{What: "one broadcast", Have: "takes about " + round(takes), Need: "within " + round(x.DeliverWithin)}
		if takes > x.DeliverWithin {
			broadcast.Level, broadcast.Do = Doubtful, "sending and receiving it keep this machine busy for longer than the bound, whatever the fleet does"
		}
		out = append(out, broadcast)
	}
	for _, problem := range x.Problems {
		out = append(out, Finding{What: "self-test", Have: problem, Level: Missing, Do: "this is a defect or a broken machine; run it again to see which"})
	}
	return out
}
