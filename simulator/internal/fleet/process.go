package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// Role is what a process does in the fleet.
type Role string

// The roles of a local fleet's processes.
const (
	RoleStore Role = "store"
	RoleShard Role = "shard"
)

// Process is one place in the fleet: a name, ports and a data directory, and whatever process fills it at the moment. Its
// methods may be called from any goroutine.
type Process struct {
	Name string
	Role Role
	// Where metrics, /healthz and /readyz are, host:port.
	Admin string
	// Where clients connect, host:port; only of shards.
	Listen string

	argv []string
	log  *logFile
	host host

	mu      sync.Mutex
	life    *life
	stopped bool
	// CPU time of the lives before this one.
	pastCPU time.Duration
}

// life is one process from its start to its end.
type life struct {
	cmd *exec.Cmd
	// Closed once the process has ended and err is set.
	done chan struct{}
	err  error
	// The end was asked for.
	wanted bool
}

// host is what a place needs from its fleet.
type host struct {
	launcher *launcher
	guard    guard
	// Told of an end that nobody asked for. Never blocks.
	died func(Exit)
}

// guard is the part of the reaper's client that looks after processes.
type guard interface {
	Guard(pid int) error
	Release(pid int) error
}

// Exit is the end of a process that nobody asked for.
type Exit struct {
	Name string
	At   time.Time
	Err  error
	// The last lines of its log.
	LastLines string
}

// Error tells the exit as an error.
func (e Exit) Error() string {
	return fmt.Sprintf("%s ended by itself: %v; the last lines of its log:\n%s", e.Name, e.Err, indent(e.LastLines))
}

// errNotRunning is the answer to a signal when nobody is there to take it.
var errNotRunning = errors.New("it is not running")

// Start starts a process in this place, with the same name, ports and data as the one before it.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life != nil {
		return p.failed("start", errors.New("it is running"))
	}
	cmd := exec.Command(p.argv[0], p.argv[1:]...)
	cmd.Stdout, cmd.Stderr = p.log, p.log
	// How long its pipe may stay open in some child of its own.
	cmd.WaitDelay = 2 * time.Second
	if err := p.host.launcher.start(cmd); err != nil {
		return p.failed("start", err)
	}
	l := &life{cmd: cmd, done: make(chan struct{})}
	p.life, p.stopped = l, false
	guarded := p.host.guard.Guard(cmd.Process.Pid)
	go p.await(l)
	if guarded != nil {
		l.wanted = true
		return p.failed("start", errors.Join(guarded, cmd.Process.Kill()))
	}
	return nil
}

// await waits for the process's end and settles its account.
func (p *Process) await(l *life) {
	err := l.cmd.Wait()
	pid := l.cmd.Process.Pid

	p.mu.Lock()
	p.life = nil
	p.pastCPU += l.cmd.ProcessState.UserTime() + l.cmd.ProcessState.SystemTime()
	wanted := l.wanted
	p.mu.Unlock()

	if err == nil {
		err = errors.New("exit status 0")
	}
	l.err = errors.Join(err, p.host.guard.Release(pid))
	close(l.done)
	if !wanted {
		p.host.died(Exit{Name: p.Name, At: time.Now(), Err: err, LastLines: p.log.lastLines(8)})
	}
}

// Running says whether a process is in this place; a stopped one is.
func (p *Process) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.life != nil
}

// Pid is the process's id, 0 if none runs.
func (p *Process) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life == nil {
		return 0
	}
	return p.life.cmd.Process.Pid
}

// Kill ends the process as kill -9 does and waits until it is gone.
func (p *Process) Kill() error {
	l, err := p.signal(syscall.SIGKILL)
	if err != nil {
		return p.failed("kill", err)
	}
	<-l.done
	return nil
}

// standsWithin bounds the wait for a stopped process's threads to stand.
const standsWithin = 2 * time.Second

// Stop makes the process stand still (SIGSTOP) until Cont. It returns once the process stands: its threads may go on for some
// milliseconds after the signal.
func (p *Process) Stop() error {
	l, err := p.signal(syscall.SIGSTOP)
	if err != nil {
		return p.failed("stop", err)
	}
	proc, err := procfs.NewProc(l.cmd.Process.Pid)
	for deadline := time.Now().Add(standsWithin); err == nil; time.Sleep(time.Millisecond) {
		var stat procfs.ProcStat
		if stat, err = proc.Stat(); err == nil && stat.State == "T" {
			return nil
		}
		if time.Now().After(deadline) {
			err = fmt.Errorf("it still runs after %s", standsWithin)
		}
	}
	return p.failed("stop", err)
}

// Cont lets a stopped process go on.
func (p *Process) Cont() error {
	_, err := p.signal(syscall.SIGCONT)
	return p.failed("continue", err)
}

// Terminate asks the process to end in order (SIGTERM), after half the time at once (a second SIGTERM), and kills it when the
// time is over or ctx is. It returns once the process is gone; a place where nothing runs is no error.
func (p *Process) Terminate(ctx context.Context, within time.Duration) error {
	l, err := p.signal(syscall.SIGTERM)
	if errors.Is(err, errNotRunning) {
		return nil
	}
	if err != nil {
		return p.failed("terminate", err)
	}
	half := time.NewTimer(within / 2)
	defer half.Stop()
	end := time.NewTimer(within)
	defer end.Stop()
	// A stopped process would take the signal only when it goes on.
	_, _ = p.signal(syscall.SIGCONT)
	for {
		select {
		case <-l.done:
			return nil
		case <-half.C:
			_, _ = p.signal(syscall.SIGTERM)
			continue
		case <-end.C:
		case <-ctx.Done():
		}
		if err := p.Kill(); err != nil && !errors.Is(err, errNotRunning) {
			return err
		}
		<-l.done
		return nil
	}
}

// signal sends the signal to the running process. Those that are meant to end it make its end a wanted one.
func (p *Process) signal(s syscall.Signal) (*life, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life == nil {
		return nil, errNotRunning
	}
	switch s {
	case syscall.SIGKILL, syscall.SIGTERM:
		p.life.wanted = true
	case syscall.SIGSTOP:
		p.stopped = true
	case syscall.SIGCONT:
		p.stopped = false
	}
	if err := p.life.cmd.Process.Signal(s); err != nil {
		if errors.Is(err, os.ErrProcessDone) {
			err = errNotRunning
		}
		return nil, err
	}
	return p.life, nil
}

func (p *Process) failed(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", what, p.Name, err)
}
