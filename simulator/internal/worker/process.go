package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Guard takes care of processes when the coordinator cannot any more. The simulator's reaper is one.
type Guard interface {
	Guard(pid int) error
	Release(pid int) error
}

// keeper starts processes that die with this one. The kernel sends their death signal when the *thread* that started them
// ends, so all are started on one thread that is kept for as long as they live.
type keeper struct {
	jobs chan func()
	done sync.WaitGroup
}

func newKeeper() *keeper {
	k := &keeper{jobs: make(chan func())}
	k.done.Go(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for job := range k.jobs {
			job()
		}
	})
	return k
}

func (k *keeper) do(job func() error) error {
	result := make(chan error, 1)
	k.jobs <- func() { result <- job() }
	return <-result
}

// close lets the thread go. All processes must have ended.
func (k *keeper) close() {
	close(k.jobs)
	k.done.Wait()
}

// process is one worker process.
type process struct {
	cmd    *exec.Cmd
	ended  chan struct{} // closed when it was waited for
	reason error         // valid when ended is closed; nil: it ended by itself, well
}

// killAfter is how long a process that was killed may hold its pipes open.
const killAfter = 5 * time.Second

// startProcess starts the index-th worker. It is killed when ctx ends.
func (k *keeper) startProcess(ctx context.Context, command []string, address, secret string, index int, stderr *os.File, guard Guard) (*process, error) {
	args := append(append([]string(nil), command[1:]...), "--connect", address, "--index", strconv.Itoa(index))
	cmd := exec.CommandContext(ctx, command[0], args...)
	cmd.Stderr = stderr
	cmd.WaitDelay = killAfter
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGKILL,
		Setpgid:   true, // Ctrl-C is the coordinator's to answer
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start worker %d: %w", index, err)
	}
	if err := k.do(cmd.Start); err != nil {
		return nil, fmt.Errorf("start worker %d: %w", index, err)
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	if guard != nil {
		err = guard.Guard(cmd.Process.Pid)
	}
	if err == nil {
		_, err = io.WriteString(stdin, secret+"\n")
	}
	go p.wait(guard) // ended tells its owner, the pool, who waits for it
	switch {
	case errors.Is(err, syscall.EPIPE):
		<-p.ended
		return nil, fmt.Errorf("worker %d ended before it said hello: %s; its complaint stands above", index, ending(p.reason))
	case err != nil:
		p.end(0)
		return nil, fmt.Errorf("start worker %d: %w", index, err)
	}
	return p, nil
}

func (p *process) wait(guard Guard) {
	defer close(p.ended)
	p.reason = p.cmd.Wait()
	if guard != nil {
		// A reaper that is gone has nothing to be told.
		_ = guard.Release(p.cmd.Process.Pid)
	}
}

// end waits for the process to end by itself for a while, then kills it, and returns when it is gone.
func (p *process) end(within time.Duration) {
	select {
	case <-p.ended:
	case <-time.After(within):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}
