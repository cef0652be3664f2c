// Package election sets how fast the stores elect a new leader when one is lost.
//
// The embedded NATS server elects after 4 to 9 seconds without a heartbeat and has no option for it: the times are variables
// of its package. This package sets them by go:linkname, all in proportion, before the first server starts; Stand finds a server's
// groups in the same way. It is the one place that reaches into another module. Set refuses to go on if what it finds there is
// not what it knows, so a NATS release that renames or retunes them does not link, or is an error at start and a failing test
// here, never a silent nine seconds.
//
// The times hold for all stores of a region, since a follower that waits less than the leader's heartbeat would elect for ever.
package election

import (
	"fmt"
	"sync"
	"time"
	_ "unsafe" // go:linkname

	"github.com/nats-io/nats-server/v2/server"
)

// Timing of leader elections among the stores.
type Timing struct {
	// MinElection and MaxElection bound the silence after which a follower stands for election.
	MinElection, MaxElection time.Duration
	// Heartbeat is how often a leader with nothing to say speaks: all that a server leads at once, see Pulse.
	Heartbeat time.Duration
	// Lone is how often each does so by itself.
	Lone time.Duration
	// MinCampaign and MaxCampaign bound how long a candidate waits before it asks again.
	MinCampaign, MaxCampaign time.Duration
}

// Fast is for stores a few milliseconds apart: a hanging leader costs under two seconds. A dead one costs less, see Stand. At half of
// it, a disk flooded by syncs leads to elections that nobody asked for.
var Fast = Timing{
	MinElection: 600 * time.Millisecond, MaxElection: 1200 * time.Millisecond,
	Heartbeat:   150 * time.Millisecond,
	Lone:        time.Second,
	MinCampaign: 12 * time.Millisecond, MaxCampaign: 100 * time.Millisecond,
}

// upstream are the times that nats-server ships with.
var upstream = Timing{
	MinElection: 4 * time.Second, MaxElection: 9 * time.Second,
	Lone:        time.Second,
	MinCampaign: 100 * time.Millisecond, MaxCampaign: 800 * time.Millisecond,
}

//go:linkname minElectionTimeout github.com/nats-io/nats-server/v2/server.minElectionTimeout
var minElectionTimeout time.Duration

//go:linkname maxElectionTimeout github.com/nats-io/nats-server/v2/server.maxElectionTimeout
var maxElectionTimeout time.Duration

//go:linkname hbInterval github.com/nats-io/nats-server/v2/server.hbInterval
var hbInterval time.Duration

//go:linkname minCampaignTimeout github.com/nats-io/nats-server/v2/server.minCampaignTimeout
var minCampaignTimeout time.Duration

//go:linkname maxCampaignTimeout github.com/nats-io/nats-server/v2/server.maxCampaignTimeout
var maxCampaignTimeout time.Duration

//go:linkname lostQuorumInterval github.com/nats-io/nats-server/v2/server.lostQuorumInterval
var lostQuorumInterval time.Duration

//go:linkname lostQuorumCheck github.com/nats-io/nats-server/v2/server.lostQuorumCheck
var lostQuorumCheck time.Duration

//go:linkname lookupRaftNode github.com/nats-io/nats-server/v2/server.(*Server).lookupRaftNode
func lookupRaftNode(s *server.Server, group string) server.RaftNode

// Stand makes a server stand for election in a group of its own, after MinCampaign to MaxCampaign, if the group still has the leader
// that the caller knows to be lost, or none. It reports whether that was so.
func Stand(s *server.Server, group, lost string) bool {
	node := lookupRaftNode(s, group)
	if node == nil || node.IsObserver() {
		return false
	}
	if leader := node.GroupLeader(); leader != "" && leader != lost {
		return false
	}
	return node.Campaign() == nil // fails only for the leader
}

var (
	once   sync.Once
	setErr error
)

// Set puts Fast in force for every server that this process starts afterwards. It may be called more than once.
func Set() error {
	once.Do(func() {
		if found := inForce(); found != upstream {
			setErr = fmt.Errorf("the embedded NATS server has the election times %+v, expected %+v: it is another release than this program was made for", found, upstream)
			return
		}
		minElectionTimeout, maxElectionTimeout = Fast.MinElection, Fast.MaxElection
		hbInterval = Fast.Lone
		minCampaignTimeout, maxCampaignTimeout = Fast.MinCampaign, Fast.MaxCampaign
		// As upstream: a leader gives up after ten heartbeats without a quorum.
		lostQuorumInterval, lostQuorumCheck = 10*Fast.Heartbeat, 10*Fast.Heartbeat
	})
	return setErr
}

func inForce() Timing {
	return Timing{
		MinElection: minElectionTimeout, MaxElection: maxElectionTimeout, Lone: hbInterval, MinCampaign: minCampaignTimeout, MaxCampaign: maxCampaignTimeout,
	}
}
