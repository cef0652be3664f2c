package live

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/fault"
	"github.com/chatfleet/chatfleet/simulator/internal/fleet"
	"github.com/chatfleet/chatfleet/simulator/internal/history"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/mint"
	"github.com/chatfleet/chatfleet/simulator/internal/poster"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
	"github.com/chatfleet/chatfleet/simulator/internal/sched"
	"github.com/chatfleet/chatfleet/simulator/internal/schedule"
	"github.com/chatfleet/chatfleet/simulator/internal/stamp"
	"github.com/chatfleet/chatfleet/simulator/internal/swarm"
	"github.com/chatfleet/chatfleet/simulator/internal/worker"
)

// Config says what to run and against what: a local fleet, or one that is there.
type Config struct {
	Scenario *v1alpha1.Scenario

	// The local fleet to start, if Local.Chatd is set.
	Local fleet.Config
	// Else, the base URLs of shards and the private key whose tokens they take.
	Endpoints    []string
	TokenKeyFile string

	// Looks after worker processes when the simulator cannot.
	Guard worker.Guard
	// Told, a line at a time, where the run is.
	Say func(format string, args ...any)
	// Told some times a second where the run is, in place of the lines that say so every two seconds. May be nil.
	Watch func(Status)
	// Of the simulator, for the report.
	Version string

	// What tests put in the place of the real ones; nil or 0 is real.

	// Crowd holds the sessions. It is given the whole swarm, without what makes tokens.
	Crowd func(ctx context.Context, c worker.Config) (Crowd, error)
	// Via stands between the generator and the fleet: it is given the shards' URLs and returns those to use.
	Via              func(endpoints []string) ([]string, error)
	Wall             func() time.Time
	MaxPostsInFlight int
	createWithin     time.Duration
}

// engine is one run.
type engine struct {
	Config
	run      uint64
	started  time.Time
	startNs  int64
	progress progress
	began    time.Time
	shown    Status
	watch    clockWatch

	fleet     *fleet.Fleet // nil: given
	far       *network     // nil: nothing is delayed
	endpoints []string
	minter    *mint.Minter
	channels  channels
	posts     []schedule.Post
	grouping  grouping
	crowd     Crowd

	threads sched.Process // while posts are due
	poster  *poster.Poster
	reader  *history.Reader
	faults  []fault.Record
	hiccup  *measure.Histogram
	usage   usage
	machine machine

	// Results of the finish.
	lists    []history.List
	findings history.Findings
	result   swarm.Result
	// The sessions' account could be held against the logs.
	verified bool
	phases   []Phase
	notes    []string

	background sync.WaitGroup
	stop       context.CancelFunc
}

// unreachable marks an error that says that the fleet could not be reached or did not get ready.
type unreachable struct{ error }

func (u unreachable) Unwrap() error { return u.error }

// ended is what a run that could not go on says.
type ended struct {
	unreachable string
	interrupted bool
}

// Run carries the scenario out. When ctx ends before the run is over, the run is cut short, finished in order, and marked as
// interrupted; so is one that finds the fleet unreachable. An error means that there is nothing to report.
func Run(ctx context.Context, c Config) (report.Run, error) {
	if c.Wall == nil {
		c.Wall = time.Now
	}
	if c.createWithin == 0 {
		c.createWithin = defaultCreate
	}
	if c.Crowd == nil {
		c.Crowd = openCrowd
	}
	e := &engine{
		Config: c, run: rand.Uint64(), started: c.Wall(), startNs: stamp.Now(), began: time.Now(),
		watch: clockWatch{wall: c.Wall, mono: stamp.Now}, hiccup: measure.NewHistogram(), usage: newUsage(),
	}
	s := c.Scenario
	e.progress = progress{say: c.Say, since: time.Now(), plan: []planned{
		{"prepare", 10 * time.Second}, {"connect", s.Phases.Connect.ConnectsOver(s.Population.Sessions())},
		{"warm-up", s.Phases.Warmup.Std()}, {"measure", s.Phases.Measure.Std()}, {"settle", time.Second}, {"finish", 3 * time.Second},
	}}
	// What goes on in the background ends with the run and not with ctx: a run that is cut short still needs it.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	e.stop = stop
	e.background.Go(func() { e.watch.run(running) })

	err := e.carryOut(ctx, running)
	closeErr := e.close(ctx)
	var gone unreachable
	end := ended{interrupted: ctx.Err() != nil}
	switch {
	case end.interrupted:
	case errors.As(err, &gone):
		end.unreachable = gone.Error()
	case err != nil:
		return report.Run{}, errors.Join(err, closeErr)
	}
	if closeErr != nil {
		e.note("%v", closeErr)
	}
	return e.collect(end), nil
}

// carryOut goes through the phases. running ends when the engine is closed.
func (e *engine) carryOut(ctx, running context.Context) error {
	if err := e.prepare(ctx, running); err != nil {
		return err
	}
	if err := e.connect(ctx); err != nil {
		return err
	}
	if err := e.load(ctx, running); err != nil {
		return err
	}
	return e.finish(context.WithoutCancel(ctx), ctx.Err() != nil)
}

// phase runs a part of the run and notes when it was.
func (e *engine) phase(name string, status func() string, do func() error) error {
	from := e.now()
	e.progress.enter(name)
	ctx, cancel := context.WithCancel(context.Background())
	var lines sync.WaitGroup
	switch {
	case e.Watch != nil:
		lines.Go(func() { e.show(ctx, name, status != nil) })
	case status != nil:
		lines.Go(func() { e.progress.during(ctx, name, status) })
	}
	err := do()
	cancel()
	lines.Wait()
	// A phase that is entered again goes on.
	if last := len(e.phases) - 1; last >= 0 && e.phases[last].Name == name {
		e.phases[last].To = e.now()
	} else {
		e.phases = append(e.phases, Phase{name, from, e.now()})
	}
	return err
}

// now is the time since the start of the run.
func (e *engine) now() time.Duration { return time.Duration(stamp.Now() - e.startNs) }

// note keeps something for people, and says it at once.
func (e *engine) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	e.notes = append(e.notes, text)
	e.Say("%s", text)
}

// closeWithin is how long each role of a local fleet may take to end in order.
const closeWithin = 8 * time.Second

// close ends everything that the run began. A run that was interrupted does not wait for long.
func (e *engine) close(ctx context.Context) error {
	var errs []error
	if e.crowd != nil {
		errs = append(errs, e.crowd.Close())
	}
	if e.far != nil {
		errs = append(errs, e.far.proxies.Close())
	}
	e.stop()
	e.background.Wait()
	if e.fleet != nil {
		within := closeWithin
		if ctx.Err() != nil {
			within = time.Second
		}
		errs = append(errs, e.fleet.Close(within))
	}
	return errors.Join(errs...)
}

// local says whether the fleet shares this machine with the generator.
func (e *engine) local() bool {
	if e.fleet != nil {
		return true
	}
	for _, endpoint := range e.endpoints {
		if u, err := url.Parse(endpoint); err != nil || !isLoopback(u.Hostname()) {
			return false
		}
	}
	return true
}

func (e *engine) simulator() report.Simulator {
	out := report.Simulator{Version: e.Version, Platform: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.NumCPU()}
	// What is not there is left out: it only tells reports of different machines apart.
	if proc, err := procfs.NewDefaultFS(); err == nil {
		if cpus, err := proc.CPUInfo(); err == nil && len(cpus) > 0 {
			out.CPU = cpus[0].ModelName
		}
	}
	var system unix.Utsname
	if unix.Uname(&system) == nil {
		out.Kernel = unix.ByteSliceToString(system.Release[:])
	}
	return out
}
