package fleet

import (
	"errors"
	"os/exec"
	"runtime"
	"syscall"
)

// launcher starts processes that the kernel kills when this one dies.
//
// The parent-death signal is sent when the *thread* that started the process ends, not the process, and the Go runtime ends
// threads as it likes. So one goroutine, bound to its thread for as long as the launcher lives, starts them all.
type launcher struct {
	jobs chan func()
	quit chan struct{}
	done chan struct{}
}

func newLauncher() *launcher {
	l := &launcher{jobs: make(chan func()), quit: make(chan struct{}), done: make(chan struct{})}
	go l.run()
	return l
}

func (l *launcher) run() {
	defer close(l.done)
	// Never unlocked: the thread ends with the goroutine, and what it started is killed then at the latest.
	runtime.LockOSThread()
	for {
		select {
		case job := <-l.jobs:
			job()
		case <-l.quit:
			return
		}
	}
}

// start starts the command in a process group of its own, so that Ctrl-C in a terminal reaches only the simulator.
func (l *launcher) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	result := make(chan error, 1)
	select {
	case l.jobs <- func() { result <- cmd.Start() }:
		return <-result
	case <-l.quit:
		return errors.New("the fleet has been ended")
	}
}

// close ends the thread, and with it every process that still runs.
func (l *launcher) close() {
	close(l.quit)
	<-l.done
}
