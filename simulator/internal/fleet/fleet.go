package fleet

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/chatfleet/chatfleet/simulator/internal/fleet/reaper"
)

// Config says what to start and with what.
type Config struct {
	Spec Spec
	// Path of the chatd executable.
	Chatd string
	// Looks after the processes and the directory when the simulator cannot.
	Reaper *reaper.Client
	// The fleet's own temporary directory is made below this one; "" is the system's.
	ParentDir string
	// Where the processes' logs go; "" is a directory "log" in the fleet's own.
	LogDir string
	// Leaves the directory where it is.
	Keep bool
	// How long stores, and then shards, may take to be ready. 0 is a minute.
	ReadyWithin time.Duration
}

// Fleet is a running local fleet.
type Fleet struct {
	Spec Spec
	// The temporary directory.
	Dir string
	// The private key whose tokens the fleet takes: PKCS#8 in PEM, Ed25519.
	SigningKeyFile string

	config    Config
	launcher  *launcher
	ports     *ports
	processes []*Process
	exits     chan Exit
	closing   sync.Once
	closed    error
}

// Start starts the fleet and returns when all of it is ready. After an error nothing is left of it.
func Start(ctx context.Context, c Config) (*Fleet, error) {
	if c.ReadyWithin == 0 {
		c.ReadyWithin = time.Minute
	}
	f := &Fleet{Spec: c.Spec, config: c, launcher: newLauncher(), ports: newPorts(), exits: make(chan Exit, 256)}
	if err := f.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start the local fleet: %w", err), f.Close(0))
	}
	return f, nil
}

func (f *Fleet) start(ctx context.Context) error {
	if err := f.prepare(ctx); err != nil {
		return err
	}
	if err := f.layout(); err != nil {
		return err
	}
	// Stores first, and all at once: a first start has a quorum only when most of them are there.
	for _, role := range [][]*Process{f.Stores(), f.Shards()} {
		for _, p := range role {
			if err := p.Start(); err != nil {
				return err
			}
		}
		if err := f.WaitReady(ctx, f.config.ReadyWithin, role...); err != nil {
			return err
		}
	}
	return nil
}

// prepare makes the directory, the keys and the secret.
func (f *Fleet) prepare(ctx context.Context) (err error) {
	if f.Dir, err = f.makeDir(); err != nil {
		return err
	}
	if f.config.LogDir == "" {
		f.config.LogDir = filepath.Join(f.Dir, "log")
	}
	if err := os.MkdirAll(f.config.LogDir, 0o700); err != nil {
		return fmt.Errorf("make the directory of logs: %w", err)
	}
	keys := filepath.Join(f.Dir, "keys")
	keygen := exec.CommandContext(ctx, f.config.Chatd, "keygen", "--out", keys)
	if out, err := keygen.CombinedOutput(); err != nil {
		return fmt.Errorf("make the token keys (%s): %w\n%s", strings.Join(keygen.Args, " "), err, indent(string(out)))
	}
	f.SigningKeyFile = filepath.Join(keys, "signing.key")
	var secret [32]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return fmt.Errorf("make the cluster secret: %w", err)
	}
	if err := os.WriteFile(f.secretFile(), []byte(hex.EncodeToString(secret[:])+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the cluster secret: %w", err)
	}
	return nil
}

func (f *Fleet) makeDir() (string, error) {
	parent := f.config.ParentDir
	if parent == "" {
		parent = os.TempDir()
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", fmt.Errorf("make the parent of the fleet's directory: %w", err)
	}
	if f.config.Keep {
		return reaper.MakeDir(parent, "chatfleet-*")
	}
	return f.config.Reaper.GuardDir(parent, "chatfleet-*")
}

func (f *Fleet) secretFile() string { return filepath.Join(f.Dir, "cluster.secret") }

// Endpoints are the base URLs at which the shards take clients.
func (f *Fleet) Endpoints() []string {
	var urls []string
	for _, p := range f.Shards() {
		urls = append(urls, "http://"+p.Listen)
	}
	return urls
}

// Processes are all places of the fleet, stores first.
func (f *Fleet) Processes() []*Process { return f.processes }

// Stores are the places of the stores.
func (f *Fleet) Stores() []*Process { return f.processes[:min(f.Spec.Stores, len(f.processes))] }

// Shards are the places of the shards.
func (f *Fleet) Shards() []*Process { return f.processes[min(f.Spec.Stores, len(f.processes)):] }

// Process finds a place by its name.
func (f *Fleet) Process(name string) (*Process, error) {
	var names []string
	for _, p := range f.processes {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return nil, fmt.Errorf("the local fleet has no %q; it has %s", name, strings.Join(names, ", "))
}

// Exits tells of processes that ended without being asked to.
func (f *Fleet) Exits() <-chan Exit { return f.exits }

func (f *Fleet) died(e Exit) {
	select {
	case f.exits <- e:
	default: // Hundreds that nobody reads: one more says nothing new.
	}
}

// readyPoll is how often a process that is not ready is asked again. It is short, since it also times how long a restart takes.
const readyPoll = 25 * time.Millisecond

// WaitReady waits until the given processes are ready, and fails as soon as one of them ends instead.
func (f *Fleet) WaitReady(ctx context.Context, within time.Duration, processes ...*Process) error {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("not ready within %s", within))
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	for _, p := range processes {
		group.Go(func() error { return p.waitReady(ctx) })
	}
	return group.Wait()
}

func (p *Process) waitReady(ctx context.Context) error {
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	var said error // what the process said last; that the wait is over is not its word
	for {
		err := p.Ready(ctx)
		if err == nil {
			return nil
		}
		if said == nil || ctx.Err() == nil {
			said = err
		}
		if !p.Running() {
			return fmt.Errorf("%s ended before it was ready; the last lines of its log:\n%s", p.Name, indent(p.log.lastLines(20)))
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w (%w); the last lines of its log:\n%s", p.Name, context.Cause(ctx), said, indent(p.log.lastLines(8)))
		}
	}
}

// Close ends the processes, shards before stores, each within the given time, and removes the directory unless it is to be
// kept. With no time they are killed. It may be called more than once.
func (f *Fleet) Close(within time.Duration) error {
	f.closing.Do(func() { f.closed = f.close(within) })
	return f.closed
}

func (f *Fleet) close(within time.Duration) error {
	var errs []error
	for _, role := range [][]*Process{f.Shards(), f.Stores()} {
		errs = append(errs, terminate(role, within))
	}
	f.launcher.close()
	for _, p := range f.processes {
		errs = append(errs, p.log.Close())
	}
	errs = append(errs, f.ports.close())
	if f.Dir != "" && !f.config.Keep {
		errs = append(errs, reaper.RemoveDir(f.Dir), f.config.Reaper.ReleaseDir(f.Dir))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("end the local fleet: %w", err)
	}
	return nil
}

func terminate(processes []*Process, within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	var group errgroup.Group
	for _, p := range processes {
		group.Go(func() error { return p.Terminate(ctx, within) })
	}
	return group.Wait()
}
