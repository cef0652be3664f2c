package fault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/stamp"
)

// Moment is one thing to break, once.
type Moment struct {
	// The scenario's fault that this is one of.
	v1alpha1.Fault
	// From the start of the measure phase.
	Due time.Duration
}

// Moments lists everything that a scenario breaks, in the order in which it is due.
func Moments(faults []v1alpha1.Fault) []Moment {
	var moments []Moment
	for _, f := range faults {
		for _, at := range f.Moments() {
			moments = append(moments, Moment{f, at})
		}
	}
	slices.SortStableFunc(moments, func(a, b Moment) int { return cmp.Compare(a.Due, b.Due) })
	return moments
}

// Record is what came of a moment.
type Record struct {
	Moment
	// The processes that it was done to.
	Processes []string
	// What they were just before, such as "store, leads 6 of 16 partitions".
	Role string
	// For a delay: how many sessions it is of, which are always the same. For a cut: how many sessions lost their connection, what the fleet used
	// of its processors until they were back, and what of that it had used anyway, by the last two seconds before; 0 if they are not known.
	Sessions       int64
	CPU, CPUAnyway time.Duration
	// By the clock: when the signal went out, and when all processes were ready again, or all sessions back; 0 if it did not, or they were not.
	BeganNs, BackNs int64
	// How much later than due it was, because the fleet had not got over the one before.
	Late time.Duration
	// Why it could not be done, or not be undone.
	Err error
}

// Config says what to break and when.
type Config struct {
	// nil where there is none that can be broken.
	Fleet Fleet
	// Whose connections are cut; nil if none are.
	Sessions Sessions
	// What is delayed; nil if nothing is.
	Network Network
	// Used is the processor time of the fleet so far. nil: not known.
	Used    func() time.Duration
	Moments []Moment
	// When the measure phase starts, by Clock.
	StartNs int64
	// nil is stamp.Now.
	Clock stamp.Clock
	// How long the fleet may take to be ready, before each fault and after. 0 is 30 s.
	HealthyWithin time.Duration
	// How long sessions that were cut may take to be back before the next fault is due. 0 is 2 min.
	BackWithin time.Duration
	// Told of what is done. May be nil.
	Say func(format string, args ...any)
}

// breaker carries out a Config.
type breaker struct {
	Config
	stores, shards []string
	// How often each process was hit, so that targets rotate.
	hits map[string]int
	// Killed and not to come back.
	gone map[string]bool
	// How often sessions were cut.
	cuts int
	// The fleet's processor time at a moment before the one that is carried out.
	earlier   time.Duration
	earlierNs int64
}

const (
	// usualOver is how long before a moment the fleet is looked at, to know what it does without it.
	usualOver = 2 * time.Second
	// usualAtLeast is how much of that is enough, where another moment came between.
	usualAtLeast = time.Second
)

// Run carries out the moments one after the other and returns when the last one is over, or ctx ends. No process is left
// standing still; what was killed when ctx ended stays dead.
func Run(ctx context.Context, c Config) []Record {
	if c.Clock == nil {
		c.Clock = stamp.Now
	}
	if c.HealthyWithin == 0 {
		c.HealthyWithin = 30 * time.Second
	}
	if c.BackWithin == 0 {
		c.BackWithin = 2 * time.Minute
	}
	if c.Used == nil {
		c.Used = func() time.Duration { return 0 }
	}
	if c.Say == nil {
		c.Say = func(string, ...any) {}
	}
	b := &breaker{Config: c, hits: map[string]int{}, gone: map[string]bool{}}
	if c.Fleet != nil {
		b.stores, b.shards = c.Fleet.Names()
	}
	var records []Record
	for _, m := range c.Moments {
		dueNs := c.StartNs + int64(m.Due)
		if !b.wait(ctx, time.Duration(dueNs-int64(usualOver)-c.Clock())) {
			break
		}
		b.earlier, b.earlierNs = b.Used(), b.Clock()
		if !b.wait(ctx, time.Duration(dueNs-c.Clock())) {
			break
		}
		records = append(records, b.carryOut(ctx, m))
	}
	return records
}

func (b *breaker) carryOut(ctx context.Context, m Moment) Record {
	r := Record{Moment: m}
	switch m.Action {
	case v1alpha1.Cut:
		b.cut(ctx, &r)
		return r
	case v1alpha1.Delay:
		b.delay(ctx, &r)
		return r
	}
	if r.Err = b.healthy(ctx); r.Err == nil {
		r.Processes, r.Role, r.Err = b.pick(ctx, m.Target)
	}
	if r.Err != nil {
		b.Say("%s: not done: %v", m.Title(), r.Err)
		return r
	}
	r.Late = max(0, time.Duration(b.Clock()-b.StartNs)-m.Due)
	b.Say("%s: %s (%s)", m.Title(), join(r.Processes), r.Role)
	if r.Action == v1alpha1.Clock {
		r.Role += ", clock set by " + r.Step.String()
		r.Err = b.stepAndBack(ctx, &r)
	} else {
		r.Err = b.breakAndMend(ctx, &r)
	}
	for _, name := range r.Processes {
		b.hits[name]++
	}
	if r.Err != nil {
		b.Say("%s: %v", m.Title(), r.Err)
	}
	return r
}

// cut breaks connections and waits until their sessions are back. If they do not all come back in time the record says so, and the
// run goes on.
func (b *breaker) cut(ctx context.Context, r *Record) {
	if r.Err = b.healthy(ctx); r.Err != nil {
		b.Say("%s: not done: %v", r.Title(), r.Err)
		return
	}
	r.Late = max(0, time.Duration(b.Clock()-b.StartNs)-r.Due)
	used := b.Used()
	r.BeganNs = b.Clock()
	usual, over := used-b.earlier, time.Duration(r.BeganNs-b.earlierNs)
	b.cuts++
	if r.Sessions, r.Err = b.Sessions.Cut(ctx, b.cuts, r.Share); r.Err != nil {
		b.Say("%s: %v", r.Title(), r.Err)
		return
	}
	r.Role = fmt.Sprintf("%d sessions", r.Sessions)
	b.Say("%s: %s", r.Title(), r.Role)
	if err := b.Sessions.Back(ctx, b.BackWithin); err != nil {
		b.Say("%s: %v", r.Title(), err)
		return
	}
	r.BackNs, r.CPU = b.Clock(), b.Used()-used
	if over >= usualAtLeast {
		r.CPUAnyway = time.Duration(float64(usual) * float64(r.BackNs-r.BeganNs) / float64(over))
	}
}

// headStart is the time that those who measure have to hear of a delay before it begins.
const headStart = 200 * time.Millisecond

// delay makes a way longer and waits until it is as before.
func (b *breaker) delay(ctx context.Context, r *Record) {
	if r.Err = b.healthy(ctx); r.Err != nil {
		b.Say("%s: not done: %v", r.Title(), r.Err)
		return
	}
	fromNs := b.Clock() + int64(headStart)
	r.Late = max(0, time.Duration(fromNs-b.StartNs)-r.Due)
	toNs := fromNs + int64(r.For)
	if r.Sessions, r.Err = b.Network.Delay(fromNs, toNs, r.Delay.Std(), r.Jitter.Std()); r.Err != nil {
		b.Network.End()
		b.Say("%s: not done: %v", r.Title(), r.Err)
		return
	}
	r.BeganNs = fromNs
	r.Role = fmt.Sprintf("%d sessions, by %s", r.Sessions, r.Delay.Std())
	if r.Jitter > 0 {
		r.Role += fmt.Sprintf(" to %s", (r.Delay + r.Jitter).Std())
	}
	b.Say("%s: %s, for %s", r.Title(), r.Role, r.For.Std())
	if !b.wait(ctx, time.Duration(toNs-b.Clock())) {
		b.Network.End()
		r.Err = context.Cause(ctx)
		return
	}
	r.BackNs = toNs
}

// healthy waits until all processes that are meant to be there are ready: a fault is to hit a whole fleet.
func (b *breaker) healthy(ctx context.Context) error {
	if b.Fleet == nil {
		return nil
	}
	var names []string
	for _, name := range slices.Concat(b.stores, b.shards) {
		if !b.gone[name] {
			names = append(names, name)
		}
	}
	if err := b.Fleet.Ready(ctx, b.HealthyWithin, names...); err != nil {
		return fmt.Errorf("the fleet had not got over what was before: %w", err)
	}
	return nil
}

// breakAndMend does the fault to the processes of the record and brings them back.
func (b *breaker) breakAndMend(ctx context.Context, r *Record) error {
	lasts, returns := r.Lasts()
	first, then := Kill, Start
	switch r.Action {
	case v1alpha1.Stop:
		first, then = Stop, Continue
	case v1alpha1.Restart:
		first = Terminate
	}
	r.BeganNs = b.Clock()
	if err := b.all(ctx, first, r.Processes); err != nil {
		if first == Stop {
			return errors.Join(err, b.all(ctx, Continue, r.Processes))
		}
		return err
	}
	if !returns {
		for _, name := range r.Processes {
			b.gone[name] = true
		}
		return nil
	}
	// From when it struck: how long it took to strike is part of the time for which the process is away.
	waited := b.wait(ctx, lasts-time.Duration(b.Clock()-r.BeganNs))
	if !waited && then == Start {
		return context.Cause(ctx)
	}
	if err := b.all(ctx, then, r.Processes); err != nil {
		return err
	}
	if err := b.Fleet.Ready(ctx, b.HealthyWithin, r.Processes...); err != nil {
		return fmt.Errorf("not ready again: %w", err)
	}
	r.BackNs = b.Clock()
	return nil
}

// stepAndBack sets the clocks of the record's processes, and after the fault's time sets them right. Without one they stay wrong.
func (b *breaker) stepAndBack(ctx context.Context, r *Record) error {
	set := func(ctx context.Context, offset time.Duration) error {
		var group errgroup.Group
		for _, name := range r.Processes {
			group.Go(func() error { return b.Fleet.SetClock(ctx, name, offset) })
		}
		return group.Wait()
	}
	r.BeganNs = b.Clock()
	if err := set(ctx, r.Step.Std()); err != nil {
		// Some may have been set.
		return errors.Join(err, set(context.WithoutCancel(ctx), 0))
	}
	if r.For == 0 {
		return nil
	}
	waited := b.wait(ctx, r.For.Std()-time.Duration(b.Clock()-r.BeganNs))
	if err := set(context.WithoutCancel(ctx), 0); err != nil {
		return fmt.Errorf("not set right again: %w", err)
	}
	if !waited {
		return context.Cause(ctx)
	}
	if err := b.Fleet.Ready(ctx, b.HealthyWithin, r.Processes...); err != nil {
		return fmt.Errorf("not ready with its clock right again: %w", err)
	}
	r.BackNs = b.Clock()
	return nil
}

// all does the same to some processes at once.
func (b *breaker) all(ctx context.Context, op Op, names []string) error {
	var group errgroup.Group
	for _, name := range names {
		group.Go(func() error { return b.Fleet.Do(ctx, op, name) })
	}
	return group.Wait()
}

func (b *breaker) wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
