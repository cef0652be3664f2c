package election

import (
	"context"
	"sync/atomic"
	_ "unsafe" // go:linkname

	"github.com/nats-io/nats-server/v2/server"

	"github.com/chatfleet/chatfleet/chatd/internal/clock"
)

// lookEvery is how often Pulse asks which groups there are, besides whenever their number has changed.
const lookEvery = 64

//go:linkname numRaftNodes github.com/nats-io/nats-server/v2/server.(*Server).numRaftNodes
func numRaftNodes(s *server.Server) int

// Pulse sends the heartbeats of all groups that a server leads, every Fast.Heartbeat until ctx ends; names are its groups. Each group has a clock
// of its own for that in nats-server, and what one says wakes three servers; together they cost little more than one does: the server
// gathers what is said at once into one write to each other server, and so do those for their answers. A group that Pulse does not know yet
// still speaks every Fast.Lone.
func Pulse(ctx context.Context, s *server.Server, names func() []string) {
	tick := clock.NewTicker(Fast.Heartbeat)
	defer tick.Stop()
	var groups pulses
	for count, looked := 0, -1; ; count++ {
		if n := numRaftNodes(s); n != looked || count%lookEvery == 0 {
			groups, looked = groups.of(names()), n
		}
		for group, busy := range groups {
			if node := lookupRaftNode(s, group); node != nil && node.Leader() {
				beat(node, busy)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// pulses are a server's groups; true for those whose heartbeat is on its way.
type pulses map[string]*atomic.Bool

// of are the pulses of these groups, those that are known already among them.
func (p pulses) of(names []string) pulses {
	all := make(pulses, len(names))
	for _, name := range names {
		if all[name] = p[name]; all[name] == nil {
			all[name] = new(atomic.Bool)
		}
	}
	return all
}

// speaker is a group as far as Pulse knows it.
type speaker interface{ SendHeartbeat() }

// beat has a group's leader speak, unless it is about to: it waits while the group writes to its disk, and no other group shall wait with it.
func beat(group speaker, busy *atomic.Bool) {
	if busy.Swap(true) {
		return
	}
	go func() {
		defer busy.Store(false)
		group.SendHeartbeat()
	}()
}
