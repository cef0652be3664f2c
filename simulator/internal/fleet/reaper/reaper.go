package reaper

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// diesWithin bounds the wait for killed processes to be gone.
const diesWithin = 10 * time.Second

// greeting is what the reaper says once it is proof against signals.
const greeting = "ready\n"

// Main is the reaper process: it reads what the simulator says until the pipe ends, then cleans up. It ignores the signals of a
// terminal and of a service manager's stop, since the simulator's end is the only thing that ends it.
func Main(pipe io.Reader, stdout, stderr io.Writer) error {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	if _, err := io.WriteString(stdout, greeting); err != nil {
		return fmt.Errorf("greet the simulator: %w", err)
	}
	var e estate
	lines := bufio.NewScanner(pipe)
	for lines.Scan() {
		if err := e.hear(lines.Text()); err != nil {
			fmt.Fprintf(stderr, "simulator reaper: %v\n", err)
		}
	}
	return e.settle(stderr)
}

// estate is what a simulator that ends now would leave.
type estate struct {
	processes []process
	dirs      []string
}

type process struct {
	pid int
	// Clock ticks since boot, field 22 of /proc/pid/stat: with the id it names a process for good.
	start uint64
}

func (e *estate) hear(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "guard":
		var p process
		if _, err := fmt.Sscanf(rest, "%d %d", &p.pid, &p.start); err != nil || p.pid <= 1 {
			return fmt.Errorf("not understood: %q", line)
		}
		e.processes = append(e.processes, p)
	case "release":
		pid, err := strconv.Atoi(rest)
		if err != nil {
			return fmt.Errorf("not understood: %q", line)
		}
		e.processes = slices.DeleteFunc(e.processes, func(p process) bool { return p.pid == pid })
	case "dir", "undir":
		dir, err := strconv.Unquote(rest)
		if err != nil {
			return fmt.Errorf("not understood: %q", line)
		}
		if verb == "dir" {
			e.dirs = append(e.dirs, dir)
		} else {
			e.dirs = slices.DeleteFunc(e.dirs, func(d string) bool { return d == dir })
		}
	default:
		return fmt.Errorf("not understood: %q", line)
	}
	return nil
}

// settle kills and removes what is left. It goes on after an error, and returns all of them.
func (e *estate) settle(stderr io.Writer) error {
	var errs []error
	killed := 0
	for _, p := range e.processes {
		if ok, err := p.kill(); err != nil {
			errs = append(errs, err)
		} else if ok {
			killed++
		}
	}
	for _, p := range e.processes {
		if !p.gone(diesWithin) {
			errs = append(errs, fmt.Errorf("process %d was killed %s ago and is still there", p.pid, diesWithin))
		}
	}
	for _, dir := range e.dirs {
		errs = append(errs, RemoveDir(dir))
	}
	if killed > 0 || len(e.dirs) > 0 {
		fmt.Fprintf(stderr, "simulator reaper: the simulator ended without cleaning up: killed %d of its processes, removed %d of its directories\n",
			killed, len(e.dirs))
	}
	return errors.Join(errs...)
}

// kill kills the process, if it is still the one that was meant.
func (p process) kill() (bool, error) {
	// FindProcess holds a pidfd, where the kernel has them: between the look at the start time and the kill the id cannot
	// come to name another process.
	handle, err := os.FindProcess(p.pid)
	if err != nil {
		return false, nil
	}
	defer func() { _ = handle.Release() }()
	if !p.alive() {
		return false, nil
	}
	if err := handle.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return false, fmt.Errorf("kill process %d: %w", p.pid, err)
	}
	return true, nil
}

func (p process) gone(within time.Duration) bool {
	for deadline := time.Now().Add(within); p.alive(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// alive says whether the process still runs; a zombie, which only waits for its parent to look, does not.
func (p process) alive() bool {
	stat, err := stat(p.pid)
	return err == nil && stat.Starttime == p.start && stat.State != "Z" && stat.State != "X"
}

func startTime(pid int) (uint64, error) {
	stat, err := stat(pid)
	return stat.Starttime, err
}

func stat(pid int) (procfs.ProcStat, error) {
	proc, err := procfs.NewProc(pid)
	if err != nil {
		return procfs.ProcStat{}, err
	}
	return proc.Stat()
}
