package reaper

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Client is the simulator's end of the pipe. Its methods may be called from any goroutine.
type Client struct {
	cmd  *exec.Cmd
	mu   sync.Mutex
	pipe io.WriteCloser
}

// Start starts a reaper with the given command line, normally the simulator's own executable and "reaper". What the reaper has
// to say goes to stderr.
func Start(argv []string, stderr *os.File) (*Client, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = stderr
	// A session of its own: neither Ctrl-C nor the end of the terminal reaches it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the reaper: %w", err)
	}
	ready, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the reaper: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the reaper: %w", err)
	}
	// Until it says so, a signal could still end it.
	if line, err := bufio.NewReader(ready).ReadString('\n'); err != nil || line != greeting {
		_ = pipe.Close()
		return nil, fmt.Errorf("start the reaper (%s): it said %q and ended: %w", argv, line, errors.Join(err, cmd.Wait()))
	}
	return &Client{cmd: cmd, pipe: pipe}, nil
}

// Guard puts a process under the reaper's care. Its start time is read here, so that a later process with the same id is safe.
func (c *Client) Guard(pid int) error {
	start, err := startTime(pid)
	if err != nil {
		return fmt.Errorf("guard process %d: %w", pid, err)
	}
	return c.say("guard %d %d\n", pid, start)
}

// Release takes a process back: it has ended and been waited for.
func (c *Client) Release(pid int) error { return c.say("release %d\n", pid) }

// GuardDir makes a directory, named by the pattern as in os.MkdirTemp below parent, that goes when the simulator goes.
func (c *Client) GuardDir(parent, pattern string) (string, error) {
	dir, err := MakeDir(parent, pattern)
	if err != nil {
		return "", err
	}
	if err := c.say("dir %q\n", dir); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, nil
}

// ReleaseDir takes a directory back: it has been removed, or is to be kept.
func (c *Client) ReleaseDir(dir string) error { return c.say("undir %q\n", dir) }

// Close ends the pipe and waits until the reaper has done what was left to do.
func (c *Client) Close() error {
	c.mu.Lock()
	err := c.pipe.Close()
	c.mu.Unlock()
	return errors.Join(err, c.cmd.Wait())
}

// Pid is the reaper's process id.
func (c *Client) Pid() int { return c.cmd.Process.Pid }

func (c *Client) say(format string, args ...any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	// One write of less than PIPE_BUF bytes: whole or not at all, even if the simulator dies in it.
	if _, err := fmt.Fprintf(c.pipe, format, args...); err != nil {
		return fmt.Errorf("the reaper (process %d) is gone: %w", c.cmd.Process.Pid, err)
	}
	return nil
}

// marker is the file that a directory must hold to be removed: the reaper deletes nothing that was not made for it.
const marker = ".chatfleet-temporary"

// MakeDir makes a directory of the kind that the reaper would agree to remove.
func MakeDir(parent, pattern string) (string, error) {
	dir, err := os.MkdirTemp(parent, pattern)
	if err != nil {
		return "", fmt.Errorf("make a temporary directory: %w", err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", fmt.Errorf("make a temporary directory: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, marker), []byte("removed when the simulator ends\n"), 0o600); err != nil {
		return "", errors.Join(fmt.Errorf("mark the temporary directory: %w", err), os.RemoveAll(dir))
	}
	return dir, nil
}

// RemoveDir removes a directory that MakeDir made. While processes in it are still dying, files may appear behind the removal's
// back, so it tries for some seconds.
func RemoveDir(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, marker)); err != nil {
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("not removed, since it is not a directory of the simulator's own: %s", dir)
	}
	var err error
	for range 50 {
		if err = os.RemoveAll(dir); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("remove %s: %w", dir, err)
}
