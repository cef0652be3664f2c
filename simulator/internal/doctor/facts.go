package doctor

import (
	"fmt"
	"io/fs"
	"net"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Facts is what a machine allows. What could not be read is 0 or "".
type Facts struct {
	// Files that a process may open: now, and at most by its own wish.
	OpenFiles, OpenFilesHard uint64
	// Files that the machine may have open, and has.
	SystemFiles, SystemFilesOpen uint64
	// Ports that the kernel chooses from for outgoing connections.
	FirstPort, LastPort int
	// All of 127.0.0.0/8 can be connected from.
	ManyLoopbacks bool
	// Bytes that programs can still take.
	MemoryBytes uint64
	Cores       int
	// Bytes of a socket's receive and send buffer: least, usual, most. And those of all TCP sockets together, at most.
	ReceiveBuffer, SendBuffer [3]uint64
	TCPBytes                  uint64
	// Connections that may wait to be accepted at a port.
	Backlog int
	// What the clock is read from.
	ClockSource string
}

// Read reads the facts of this machine. root is its root directory, os.DirFS("/").
func Read(root fs.FS) (Facts, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return Facts{}, fmt.Errorf("read the limit of open files: %w", err)
	}
	f := readFiles(root)
	f.OpenFiles, f.OpenFilesHard = limit.Cur, limit.Max
	f.Cores = runtime.NumCPU()
	if l, err := net.Listen("tcp4", "127.64.0.1:0"); err == nil {
		f.ManyLoopbacks = true
		l.Close()
	}
	return f, nil
}

// readFiles reads what stands in files of the kernel. One that is not there, as in some sandboxes, leaves its fact unknown.
func readFiles(root fs.FS) Facts {
	var f Facts
	scan := func(path string, into ...any) {
		if text, err := fs.ReadFile(root, path); err == nil {
			_, _ = fmt.Sscan(string(text), into...)
		}
	}
	var skip, pages uint64
	scan("proc/sys/fs/file-max", &f.SystemFiles)
	scan("proc/sys/fs/file-nr", &f.SystemFilesOpen)
	scan("proc/sys/net/ipv4/ip_local_port_range", &f.FirstPort, &f.LastPort)
	scan("proc/sys/net/ipv4/tcp_rmem", &f.ReceiveBuffer[0], &f.ReceiveBuffer[1], &f.ReceiveBuffer[2])
	scan("proc/sys/net/ipv4/tcp_wmem", &f.SendBuffer[0], &f.SendBuffer[1], &f.SendBuffer[2])
	scan("proc/sys/net/ipv4/tcp_mem", &skip, &skip, &pages)
	scan("proc/sys/net/core/somaxconn", &f.Backlog)
	scan("sys/devices/system/clocksource/clocksource0/current_clocksource", &f.ClockSource)
	f.TCPBytes = pages * uint64(unix.Getpagesize())
	f.MemoryBytes = available(root)
	return f
}

// available is the memory that the machine can still give, or less where a control group says so.
func available(root fs.FS) uint64 {
	var bytes uint64
	text, _ := fs.ReadFile(root, "proc/meminfo")
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			_, _ = fmt.Sscan(value, &bytes)
			bytes <<= 10
		}
	}
	var most, used uint64
	limit, errLimit := fs.ReadFile(root, "sys/fs/cgroup/memory.max")
	now, errNow := fs.ReadFile(root, "sys/fs/cgroup/memory.current")
	if errLimit != nil || errNow != nil {
		return bytes
	}
	if n, _ := fmt.Sscan(string(limit), &most); n == 1 { // "max" is no number: no limit.
		_, _ = fmt.Sscan(string(now), &used)
		bytes = min(bytes, most-min(used, most))
	}
	return bytes
}
