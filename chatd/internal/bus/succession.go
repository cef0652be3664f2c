package bus

import (
	"context"
	"hash/fnv"
	"io"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/chatfleet/chatfleet/chatd/internal/clock"
	"github.com/chatfleet/chatfleet/chatd/internal/election"
)

const (
	// routePoll is how often a store looks whether a connection to another has closed, by their number; every routeLooks-th time, and where that has
	// changed, it looks at who they are, which costs more.
	routePoll  = 20 * time.Millisecond
	routeLooks = 25
	// standApart is the time between the first and the next store that stands for election in a group: enough for a vote, so
	// that two do not split it.
	standApart = 200 * time.Millisecond
	// standMost is how often a store stands in a group that stays without a leader; then the group's own patience is over too.
	standMost = 20
)

// succession makes this store stand for election at once in the groups of a store that dies. The kernel closes a dead process's
// connections; the groups themselves only notice that its heartbeats stay away, each for itself, after a time that must be long
// enough for a busy disk. That remains for a store that hangs.
//
// It is a hint and no part of what makes elections safe: votes are the groups' own. If two stores only lost sight of each other, a
// group may get another leader for nothing.
type succession struct{ srv *server.Server }

// watch looks after the other stores until ctx ends.
func (s succession) watch(ctx context.Context) {
	poll := clock.NewTicker(routePoll)
	defer poll.Stop()
	before, routes := map[string]bool(nil), -1
	for look := 0; ; look++ {
		if n := s.srv.NumRoutes(); n != routes || look%routeLooks == 0 {
			now := s.linked()
			for store := range before {
				if !now[store] {
					s.succeed(ctx, store)
				}
			}
			before, routes = now, n
		}
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
	}
}

// linked are the names of the stores that have a route to this one.
func (s succession) linked() map[string]bool {
	names := map[string]bool{}
	if z, err := s.srv.Routez(nil); err == nil { // fails only for options
		for _, r := range z.Routes {
			names[r.RemoteName] = true
		}
	}
	return names
}

// succeed stands in the groups that the lost store led.
func (s succession) succeed(ctx context.Context, lost string) {
	for _, account := range []string{account, s.srv.SystemAccount().GetName()} {
		for _, groups := range *s.srv.Raftz(&server.RaftzOptions{AccountFilter: account}) {
			for group, g := range groups {
				if id, ok := member(g, lost); ok && (g.Leader == "" || g.Leader == id) {
					g.Leader = id
					s.stand(ctx, group, g, time.Duration(turn(group, g))*standApart, standMost)
				}
			}
		}
	}
}

// stand stands in a group after a while, and again in this store's turn while the group stays without a leader: a vote may be lost with the
// connections that broke, or be refused to one that knows less than another.
func (s succession) stand(ctx context.Context, group string, g server.RaftzGroup, after time.Duration, most int) {
	time.AfterFunc(after, func() {
		if ctx.Err() == nil && election.Stand(s.srv, group, g.Leader) && most > 1 {
			s.stand(ctx, group, g, time.Duration(len(g.Peers))*standApart, most-1)
		}
	})
}

// member finds a store among the other members of a group.
func member(g server.RaftzGroup, store string) (id string, ok bool) {
	for id, peer := range g.Peers {
		if peer.Name == store {
			return id, true
		}
	}
	return "", false
}

// turn is this store's place in the order in which a group's members stand when its leader is lost. It differs from group to group, so
// that a lost store's groups are spread.
func turn(group string, g server.RaftzGroup) int {
	weight := func(peer string) uint64 {
		h := fnv.New64a()
		_, _ = io.WriteString(h, group+" "+peer) // never fails
		return h.Sum64()
	}
	mine, before := weight(g.ID), 0
	for peer := range g.Peers {
		if peer != g.Leader && weight(peer) < mine {
			before++
		}
	}
	return before
}
