package election

import (
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// MetadataGroup is the name of the group that places streams.
const MetadataGroup = "_meta_"

// Heirs are the other members of a group that this server leads, by id, that have been heard of lately and lack at most so many
// entries: one of them may lead in its place.
func Heirs(s *server.Server, group string, lag uint64) (ids []string) {
	node := lookupRaftNode(s, group)
	if node == nil || !node.Leader() {
		return nil
	}
	for _, p := range node.Peers() {
		if p.ID != node.ID() && p.Lag <= lag && time.Since(p.Last) < 3*Fast.Heartbeat {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// HandOver has a group that this server leads led by another member, which stands for election at once. It reports whether it was led from here.
func HandOver(s *server.Server, group, heir string) bool {
	node := lookupRaftNode(s, group)
	return node != nil && node.StepDown(heir) == nil // fails only where this server does not lead
}

// Abstain keeps a server from leading a group, or lets it lead again. It goes on voting and keeping what is written.
func Abstain(s *server.Server, group string, abstain bool) {
	if node := lookupRaftNode(s, group); node != nil && node.IsObserver() != abstain {
		node.SetObserver(abstain)
	}
}
