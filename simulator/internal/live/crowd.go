package live

import (
	"context"

	"github.com/chatfleet/chatfleet/simulator/internal/swarm"
)

// Crowd is the sessions of a run, wherever they are: in worker processes, in a real run.
type Crowd interface {
	// Start begins the connects.
	Start() error
	// Progress says how far the sessions are.
	Progress() swarm.Progress
	// Settle waits until all sessions have what the logs hold, at most until ctx ends, and returns how many are behind.
	Settle(ctx context.Context, heads map[string]uint64) (behind int64, err error)
	// Finish closes the sessions and holds what they got against what the logs hold.
	Finish(ctx context.Context, lists []swarm.LogList) (swarm.Result, error)
	// Lost names the workers that are gone, with why.
	Lost() []string
	// Close ends what still runs. It may be called after Finish, and in place of it.
	Close() error
}

// CrowdConfig says what a crowd is. How it is divided among processes is the crowd's own matter.
type CrowdConfig struct {
	// Without Token, FirstSession, Sessions and Loops.
	Swarm    swarm.Config
	Sessions int
	// The key that signs the sessions' tokens: PKCS#8 in PEM.
	TokenKeyFile string
	// Worker processes; 0 lets the crowd decide.
	Workers int
	// Local addresses to connect from, in turn; none lets the crowd decide.
	SourceAddresses []string
}
