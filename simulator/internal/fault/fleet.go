package fault

import (
	"context"
	"fmt"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/fleet"
)

// Fleet is what a fault is done to.
type Fleet interface {
	// Names are the processes, by what they do.
	Names() (stores, shards []string)
	// Roles says who leads what.
	Roles(ctx context.Context) (fleet.Roles, error)
	// Do does something to one process, and returns when it is done.
	Do(ctx context.Context, op Op, name string) error
	// SetClock has one process go by a clock that is so far ahead of the machine's, or behind it.
	SetClock(ctx context.Context, name string, offset time.Duration) error
	// Ready waits until the processes are ready.
	Ready(ctx context.Context, within time.Duration, names ...string) error
}

// Sessions is the crowd of subscribers, whose connections can be cut.
type Sessions interface {
	// Cut breaks the connections of a share of all sessions at once, drawn by order, and returns how many were signed in.
	Cut(ctx context.Context, order int, share float64) (sessions int64, err error)
	// Back waits until all sessions that have been signed in are so again.
	Back(ctx context.Context, within time.Duration) error
}

// Network is the way between some sessions and the fleet.
type Network interface {
	// Delay makes it longer from one moment to another, by the clock, and returns for how many sessions.
	Delay(fromNs, toNs int64, by, jitter time.Duration) (sessions int64, err error)
	// End ends a delay before its time.
	End()
}

// Op is something that can be done to a process.
type Op string

// What can be done to a process.
const (
	Kill      Op = "kill"
	Stop      Op = "stop"
	Continue  Op = "continue"
	Start     Op = "start"
	Terminate Op = "terminate"
)

// terminateWithin is how long an ordered end may take before it is a kill. A shard sends its sessions away in that time.
const terminateWithin = time.Minute

// Local is a local fleet as one that faults are done to.
func Local(f *fleet.Fleet) Fleet { return local{f} }

type local struct{ *fleet.Fleet }

func (l local) Names() (stores, shards []string) {
	for _, p := range l.Stores() {
		stores = append(stores, p.Name)
	}
	for _, p := range l.Shards() {
		shards = append(shards, p.Name)
	}
	return stores, shards
}

func (l local) Do(ctx context.Context, op Op, name string) error {
	p, err := l.Process(name)
	if err != nil {
		return err
	}
	switch op {
	case Kill:
		return p.Kill()
	case Stop:
		return p.Stop()
	case Continue:
		return p.Cont()
	case Start:
		return p.Start()
	case Terminate:
		return p.Terminate(ctx, terminateWithin)
	}
	return fmt.Errorf("%s %s: there is no such thing to do", op, name)
}

func (l local) SetClock(ctx context.Context, name string, offset time.Duration) error {
	p, err := l.Process(name)
	if err != nil {
		return err
	}
	return p.SetClock(ctx, offset)
}

func (l local) Ready(ctx context.Context, within time.Duration, names ...string) error {
	processes := make([]*fleet.Process, len(names))
	for i, name := range names {
		p, err := l.Process(name)
		if err != nil {
			return err
		}
		processes[i] = p
	}
	return l.WaitReady(ctx, within, processes...)
}
