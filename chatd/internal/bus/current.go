package bus

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/chatfleet/chatfleet/chatd/internal/election"
)

const (
	// currentLag is how many entries a copy may lack and still count as current: under posts there are always some on the way.
	currentLag = 256
	// unheardFor is how long a copy may be silent; its store says something several times a second.
	unheardFor = time.Second
	// currentTries and currentPause: who lags for a moment is asked again, under posts nobody is current at every moment.
	currentTries, currentPause = 5, 10 * time.Millisecond
)

// Behind is a group of copies that is not current, and why.
type Behind struct{ Group, Why string }

// Groups says of how many groups the store has a copy, the metadata group among them, how many of these it leads, and which are not current
// as far as it knows: of a group that it leads it knows all copies, of the others its own, and whether somebody leads. So it takes all
// stores' answers to know that a fleet is current.
func (s *Store) Groups() (total, leads int, behind []Behind) {
	if !s.made.Load() {
		return 0, 0, []Behind{{"all", "the partitions' streams are not there yet"}}
	}
	if s.alone() {
		n := s.cfg.Partitions + s.layout().streams(s.cfg.Partitions) + 1
		return n, n, nil
	}
	for try := 0; ; try++ {
		if total, leads, behind = s.lookAtGroups(); len(behind) == 0 || try == currentTries {
			slices.SortFunc(behind, func(a, b Behind) int { return strings.Compare(a.Group, b.Group) })
			return total, leads, behind
		}
		time.Sleep(currentPause)
	}
}

func (s *Store) lookAtGroups() (total, leads int, behind []Behind) {
	info, err := s.srv.Jsz(&server.JSzOptions{Accounts: true, Streams: true})
	if err != nil || info.Disabled {
		return 0, 0, []Behind{{"all", "the embedded server keeps no streams; it is starting, stopping, or broken"}}
	}
	raft := s.groups()
	look := func(name, group, leader string, copies []*server.PeerInfo) {
		total++
		if leader == s.cfg.Name {
			leads++
		}
		if why := s.whyBehind(raft[group], leader, copies); why != "" {
			behind = append(behind, Behind{name, why})
		}
	}
	for _, a := range info.AccountDetails {
		for _, stream := range a.Streams {
			if c := stream.Cluster; c != nil && c.RaftGroup != "" {
				look(stream.Name, c.RaftGroup, c.Leader, c.Replicas)
			}
		}
	}
	if m := info.Meta; m != nil {
		look("the metadata group", election.MetadataGroup, m.Leader, m.Replicas)
	}
	return total, leads, behind
}

// whyBehind is empty for a group that is current.
func (s *Store) whyBehind(own server.RaftzGroup, leader string, copies []*server.PeerInfo) string {
	switch {
	case leader == "":
		return "it has no leader"
	case own.CatchingUp:
		return "this store's copy is catching up"
	case own.Committed > own.Applied+currentLag:
		return fmt.Sprintf("this store's copy is %d entries behind what it has", own.Committed-own.Applied)
	case leader != s.cfg.Name:
		return ""
	}
	for _, c := range copies {
		switch {
		case c.Offline:
			return c.Name + " is not there"
		case c.Pending:
			return c.Name + " has not joined it yet"
		case c.Active > unheardFor:
			return fmt.Sprintf("%s has not been heard of for %v", c.Name, c.Active.Round(time.Millisecond))
		case c.Lag > currentLag:
			return fmt.Sprintf("%s is %d entries behind", c.Name, c.Lag)
		}
	}
	return ""
}
