package live

import (
	"context"

	"github.com/chatfleet/chatfleet/simulator/internal/swarm"
	"github.com/chatfleet/chatfleet/simulator/internal/worker"
)

// Crowd is the sessions of a run, wherever they are: in worker processes, unless a test holds them itself.
type Crowd interface {
	// Start begins the connects.
	Start() error
	// Progress says how far the sessions are.
	Progress() swarm.Progress
	// Cut breaks the connections of a share of all sessions at once and returns how many were signed in.
	Cut(ctx context.Context, order int, share float64) (sessions int64, err error)
	// Wake lets the slow readers read like everybody, or slowly again.
	Wake(awake bool) error
	// Delay tells when far sessions are delayed.
	Delay(when swarm.Window) error
	// Settle waits until all sessions have what the logs hold, at most until ctx ends, and returns how many are behind.
	Settle(ctx context.Context, heads map[string]uint64) (behind int64, err error)
	// Finish closes the sessions and holds what they got against what the logs hold.
	Finish(ctx context.Context, lists []swarm.LogList) (swarm.Result, error)
	// Pids are the processes that hold the sessions, if they are not this one.
	Pids() []int
	// Lost names the workers that are gone, with why.
	Lost() []string
	// Close ends what still runs. It may be called after Finish, and in place of it.
	Close() error
}

// openCrowd starts a crowd in worker processes.
func openCrowd(ctx context.Context, c worker.Config) (Crowd, error) {
	pool, err := worker.Open(ctx, c)
	if err != nil {
		return nil, err // Not pool: a nil *Pool in an interface is not nil.
	}
	return pool, nil
}
