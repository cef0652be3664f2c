package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/chatfleet/chatfleet/simulator/internal/mint"
	"github.com/chatfleet/chatfleet/simulator/internal/swarm"
)

// Config says what a pool runs.
type Config struct {
	// Swarm is the whole crowd. Its Token stays unset: the workers make the tokens.
	Swarm swarm.Config
	// SigningKey signs the sessions' tokens: PKCS#8 in PEM, Ed25519. They are good from Issued until Expires.
	SigningKey      []byte
	Issued, Expires time.Time
	// Workers is the number of processes (optional): as few as the limit of open files allows.
	Workers int
	// Command is the command line that runs a worker (optional): this executable with the argument "worker".
	Command []string
	// Stderr is where the workers' complaints go (optional): the coordinator's.
	Stderr *os.File
	// Guard cleans up if the coordinator is killed (optional). The workers end by themselves then; it is the second line.
	Guard Guard
	// Deadlines of the stages (optional): DefaultDeadlines.
	Deadlines Deadlines
}

// Deadlines bound the stages in which the pool waits for its workers.
type Deadlines struct {
	// Hello is from the start of the processes to their first message, Prepare until all tokens are made.
	Hello, Prepare time.Duration
	// Silence is how long a worker may say nothing: it reports every quarter of a second.
	Silence time.Duration
	// Finish is from the order to the result.
	Finish time.Duration
}

// DefaultDeadlines leave room for a machine that is overloaded, which a load generator's often is.
func DefaultDeadlines() Deadlines {
	return Deadlines{Hello: 30 * time.Second, Prepare: 2 * time.Minute, Silence: 30 * time.Second, Finish: 2 * time.Minute}
}

const (
	// maxSockets is the most that one worker gets, whatever the limit: a loop of its own serves about as many well.
	maxSockets = 9000
	// spareFiles is what a process has open besides: epoll, pipes, a profile.
	spareFiles = 256
	maxWorkers = 256
	// leaveWithin is how long workers may take to end by themselves once their connection has.
	leaveWithin = 3 * time.Second
)

// SocketsPerWorker is how many sessions a process takes whose limit of open files is limit: half of it, since a session's old
// and new socket may be open at once when all reconnect, and at most 9,000.
func SocketsPerWorker(limit uint64) int {
	if limit <= 2*spareFiles {
		return 0
	}
	return int(min(limit/2-spareFiles/2, maxSockets))
}

// Pool is a swarm in worker processes. Its methods may be called from any goroutine, but each stage once: Start, Settle
// (as often as wanted), Cut, Wake and Delay (likewise), Finish, Close.
type Pool struct {
	cfg     Config
	peers   []*peer
	keeper  *keeper
	kill    context.CancelFunc
	readers sync.WaitGroup
	closed  sync.Once

	mu      sync.Mutex
	closing bool // what ends now was told to
	lost    []string
}

// Open starts the workers and hands out the plans. When it returns, every worker is ready to connect. When ctx ends, whenever
// that is, the workers are killed. Close must be called in any case in which Open returned no error.
func Open(ctx context.Context, cfg Config) (*Pool, error) {
	n, err := cfg.workers()
	if err != nil {
		return nil, err
	}
	if cfg, err = cfg.withDefaults(); err != nil {
		return nil, err
	}
	ctx, kill := context.WithCancel(ctx)
	p := &Pool{cfg: cfg, keeper: newKeeper(), kill: kill}
	if err := p.open(ctx, n); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// workers returns the number of processes.
func (c Config) workers() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("workers: read the limit of open files: %w", err)
	}
	each := SocketsPerWorker(limit.Cur)
	if each == 0 {
		return 0, fmt.Errorf("workers: a process may open %d files, which is too few; raise it (ulimit -n) above %d", limit.Cur, 4*spareFiles)
	}
	if c.Swarm.Sessions < 1 {
		return 0, fmt.Errorf("workers: %d sessions; want 1 or more", c.Swarm.Sessions)
	}
	least := (c.Swarm.Sessions + each - 1) / each
	n := max(c.Workers, least)
	switch {
	case c.Workers > 0 && c.Workers < least:
		return 0, fmt.Errorf("workers: %d for %d sessions; want at least %d, since a process may open %d files", c.Workers, c.Swarm.Sessions, least, limit.Cur)
	case n > maxWorkers:
		return 0, fmt.Errorf("workers: %d for %d sessions are more than %d; use more machines", n, c.Swarm.Sessions, maxWorkers)
	}
	return min(n, c.Swarm.Sessions), nil
}

func (c Config) withDefaults() (Config, error) {
	if len(c.Command) == 0 {
		self, err := os.Executable()
		if err != nil {
			return c, fmt.Errorf("workers: find this executable: %w", err)
		}
		c.Command = []string{self, "worker"}
	}
	if c.Stderr == nil {
		c.Stderr = os.Stderr
	}
	if c.Deadlines == (Deadlines{}) {
		c.Deadlines = DefaultDeadlines()
	}
	if _, err := mint.New(c.SigningKey, c.Issued, c.Expires); err != nil {
		return c, fmt.Errorf("workers: %w", err)
	}
	return c, nil
}

func (p *Pool) open(ctx context.Context, n int) error {
	secret := rand.Text()
	// An abstract address leaves no file behind, whatever becomes of this process.
	listener, err := net.Listen("unix", "@chatfleet-workers-"+rand.Text())
	if err != nil {
		return fmt.Errorf("workers: listen: %w", err)
	}
	defer listener.Close()
	for k := range n {
		proc, err := p.keeper.startProcess(ctx, p.cfg.Command, "unix:"+listener.Addr().String(), secret, k, p.cfg.Stderr, p.cfg.Guard)
		if err != nil {
			return err
		}
		first, end := p.cfg.Swarm.Sessions*k/n, p.cfg.Swarm.Sessions*(k+1)/n
		p.peers = append(p.peers, newPeer(k, proc, p.cfg.Swarm.FirstSession+first, end-first))
	}
	if err := p.meet(ctx, listener, secret); err != nil {
		return err
	}
	for k, w := range p.peers {
		p.readers.Go(func() { p.follow(w) })
		if err := w.send(message{Plan: planFor(p.cfg, k, n)}); err != nil {
			return fmt.Errorf("%s: %w", w, err)
		}
	}
	return p.await(ctx, "prepare its sessions", p.cfg.Deadlines.Prepare, func(w *peer) <-chan struct{} { return w.ready })
}

// Start begins the connects of all workers, at the swarm's rate in all.
func (p *Pool) Start() error {
	var errs []error
	for _, w := range p.alive() {
		if err := w.send(message{Start: &start{}}); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", w, err))
		}
	}
	return errors.Join(errs...)
}

// Progress adds up what the workers last said, some 300 ms ago at most.
func (p *Pool) Progress() swarm.Progress {
	sum := swarm.Progress{Errors: map[string]int64{}}
	for _, w := range p.peers {
		sum.Merge(w.lastProgress())
	}
	return sum
}

// Settle waits until all sessions have come to the given heads of their logs, at most until ctx ends, and returns how many
// (session, log) pairs are behind. Sessions of a lost worker are not counted: see Lost.
func (p *Pool) Settle(ctx context.Context, heads map[string]uint64) (behind int64, err error) {
	within := time.Hour
	if deadline, ok := ctx.Deadline(); ok {
		within = max(time.Until(deadline), time.Millisecond)
	}
	var errs []error
	asked := p.alive()
	for _, w := range asked {
		if err := w.send(message{Settle: &settle{Heads: heads, Within: within}}); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", w, err))
		}
	}
	// The workers keep the time; this side waits for the answers a little longer.
	patience := time.NewTimer(within + p.cfg.Deadlines.Silence)
	defer patience.Stop()
	for _, w := range asked {
		select {
		case s := <-w.settled:
			behind += s.Behind
			if s.Error != "" {
				errs = append(errs, fmt.Errorf("%s: %s", w, s.Error))
			}
		case <-w.gone:
		case <-patience.C:
			return behind, errors.Join(append(errs, fmt.Errorf("%s did not say whether its sessions have settled", w))...)
		}
	}
	return behind, errors.Join(errs...)
}

// Cut breaks the connections of a share of all sessions at once (see swarm.Swarm.Cut), and returns how many were signed in. One Cut
// may be under way at a time.
func (p *Pool) Cut(ctx context.Context, order int, share float64) (sessions int64, err error) {
	var errs []error
	asked := p.alive()
	for _, w := range asked {
		if err := w.send(message{Cut: &cut{Order: order, Share: share}}); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", w, err))
		}
	}
	patience := time.NewTimer(p.cfg.Deadlines.Silence)
	defer patience.Stop()
	for _, w := range asked {
		select {
		case s := <-w.severed:
			sessions += s.Sessions
		case <-w.gone:
		case <-ctx.Done():
			return sessions, context.Cause(ctx)
		case <-patience.C:
			return sessions, errors.Join(append(errs, fmt.Errorf("%s did not say whether its sessions are cut", w))...)
		}
	}
	return sessions, errors.Join(errs...)
}

// Wake lets the slow readers read like everybody, or slowly again (see swarm.Swarm.Wake).
func (p *Pool) Wake(awake bool) error {
	var errs []error
	for _, w := range p.alive() {
		if err := w.send(message{Wake: &wake{awake}}); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", w, err))
		}
	}
	return errors.Join(errs...)
}

// Delay tells when far sessions are delayed (see swarm.Swarm.Delay).
func (p *Pool) Delay(when swarm.Window) error {
	var errs []error
	for _, w := range p.alive() {
		if err := w.send(message{Delay: &delay{when}}); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", w, err))
		}
	}
	return errors.Join(errs...)
}

// Finish closes all sessions, has them judged by what the logs really hold, and returns the sum. What a lost worker knew is not
// in it: see Lost, which after Finish also names those that could not judge or were too slow. It fails when there is no result
// at all.
func (p *Pool) Finish(ctx context.Context, lists []swarm.LogList) (swarm.Result, error) {
	order := message{Finish: &finish{Lists: packLists(lists)}}
	asked := p.alive()
	var sending sync.WaitGroup
	for _, w := range asked {
		sending.Go(func() {
			if err := w.send(order); err != nil {
				p.lose(w, err)
			}
		})
	}
	sending.Wait()
	late := p.await(ctx, "send its result", p.cfg.Deadlines.Finish, func(w *peer) <-chan struct{} { return w.finished })
	if ctx.Err() != nil {
		return swarm.Result{}, late
	}
	var sum swarm.Result
	results := 0
	for _, w := range asked {
		r := w.takeResult()
		if r == nil {
			p.lose(w, late)
			continue
		}
		if err := sum.Merge(*r); err != nil {
			return swarm.Result{}, fmt.Errorf("%s: %w", w, err)
		}
		results++
	}
	if results == 0 {
		return swarm.Result{}, fmt.Errorf("no worker has sent a result: %v", p.Lost())
	}
	return sum, nil
}

// Lost names the workers that ended before they were told to, and why. Their sessions are in no result.
func (p *Pool) Lost() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.lost...)
}

// Pids returns the process ids of the workers.
func (p *Pool) Pids() []int {
	pids := make([]int, len(p.peers))
	for i, w := range p.peers {
		pids[i] = w.process.cmd.Process.Pid
	}
	return pids
}

// Close ends the workers and waits for them. It may be called more than once.
func (p *Pool) Close() error {
	p.closed.Do(func() {
		p.mu.Lock()
		p.closing = true
		p.mu.Unlock()
		for _, w := range p.peers {
			if w.conn != nil {
				w.conn.Close()
			}
		}
		var ending sync.WaitGroup
		for _, w := range p.peers {
			within := leaveWithin
			if w.conn == nil {
				within = 0 // nothing will tell it
			}
			ending.Go(func() { w.process.end(within) })
		}
		ending.Wait()
		p.readers.Wait()
		p.kill()
		p.keeper.close()
	})
	return nil
}
