package live

import (
	"fmt"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/schedule"
	"github.com/chatfleet/chatfleet/simulator/internal/swarm"
)

// maxAttachments bounds how the crowd's reading is described to each worker.
const maxAttachments = 1 << 18

// attachments says which sessions follow which channels: all the broadcast channel (0), and each session as many of the
// chatter's (1 and on) as the scenario says. User n reads channel n, counted round, and others at equal distances from it,
// so that every channel has as many readers as any other, give or take one a place and device. The first sessions are everybody's first
// device, then come the second ones.
func attachments(p v1alpha1.Population) ([]swarm.Attachment, error) {
	users, devices, channels, each := p.Subscribers, max(p.DevicesPerUser, 1), p.Channels, p.AttachPerSession
	out := []swarm.Attachment{{Log: 0, First: 0, Count: p.Sessions(), Step: 1}}
	if channels*each*devices > maxAttachments {
		return nil, fmt.Errorf("population: %d channels of which each session reads %d, on %d devices: at most %d of these can be laid out; lower one",
			channels, each, devices, maxAttachments)
	}
	for place := range each {
		distance := place * channels / each
		for channel := range channels {
			first := ((channel-distance)%channels + channels) % channels
			if first >= users {
				continue
			}
			for device := range devices {
				out = append(out, swarm.Attachment{Log: 1 + channel, First: device*users + first, Count: (users-first-1)/channels + 1, Step: channels})
			}
		}
	}
	return out, nil
}

// grouping is how the posts of a schedule are told apart in the crowd's figures.
type grouping struct {
	groups []swarm.Group
	posts  []swarm.PostRange
	// The groups of broadcasts, by number.
	broadcasts []int
	// The groups that are one block each to a confidence.
	blocks []int
}

// Groups of every run. Broadcasts follow, and what slices there are of the chatter.
const (
	groupOther = iota // warm-up, and what is no post of the schedule
	groupChatter
)

// group sorts the posts of a schedule into groups: the warm-up, the chatter, each broadcast. The chatter is cut into slices of
// time if a threshold claims more than this run.
func group(s *v1alpha1.Scenario, posts []schedule.Post) grouping {
	g := grouping{groups: []swarm.Group{{Name: "warm-up"}, {Name: "chatter", Measured: true}}}
	if s.Chatter != nil {
		g.groups[groupChatter].DeliverWithin = s.Chatter.DeliverWithin.Std()
	}
	warmup := s.Phases.Warmup.Std()
	slice, _ := schedule.ChatterSlices(s)
	chatter := map[int]int{0: groupChatter}
	for n, p := range posts {
		switch {
		case p.Broadcast != schedule.NoBroadcast:
			g.broadcasts = append(g.broadcasts, len(g.groups))
			g.groups = append(g.groups, swarm.Group{Name: fmt.Sprintf("broadcast %d", p.Broadcast), DeliverWithin: p.DeliverWithin, Measured: true})
			g.put(n, len(g.groups)-1)
		case p.Due < warmup:
			g.put(n, groupOther)
		default:
			at := int((p.Due - warmup) / slice)
			if _, ok := chatter[at]; !ok {
				chatter[at] = len(g.groups)
				g.groups = append(g.groups, swarm.Group{
					Name: fmt.Sprintf("chatter from %s", time.Duration(at)*slice), DeliverWithin: p.DeliverWithin, Measured: true,
				})
			}
			g.put(n, chatter[at])
		}
	}
	for i := groupChatter; i < len(g.groups); i++ {
		g.blocks = append(g.blocks, i)
	}
	return g
}

// put puts post n into a group. Neighbours of one group are one range.
func (g *grouping) put(n, group int) {
	if last := len(g.posts) - 1; last >= 0 && g.posts[last].Group == group {
		g.posts[last].Count++
		return
	}
	g.posts = append(g.posts, swarm.PostRange{First: uint32(n), Count: 1, Group: group})
}
