package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// routesPoll is how often a store looks after its routes, and goneFor how long one must have been registered and closed before the store gives up: it is
	// so for a moment whenever one closes.
	routesPoll = time.Second
	goneFor    = 5 * time.Second
)

// watchRoutes ends a store whose embedded server takes a closed route for an open one.
//
// A route that is closed at the very moment at which the server registers it stays registered (nats-server v2.15: addRoute after removeRoute; nothing
// removes it any more, and nothing is ever read from it). Every new connection to that store is then refused as a duplicate, and what goes
// over that route, heartbeats of all groups if it is the system account's, is lost for good: both stores stand for election for ever. It takes a machine that is so overloaded
// that handshakes time out. A store that starts anew has no such route, and the others have a quorum meanwhile.
func (s *Store) watchRoutes(ctx context.Context) {
	poll := time.NewTicker(routesPoll)
	defer poll.Stop()
	for gone := map[uint64]time.Time(nil); ; {
		select {
		case <-ctx.Done():
			return
		case now := <-poll.C:
			z, err := s.srv.Routez(nil)
			if err != nil {
				continue // for options alone
			}
			var dead *server.RouteInfo
			if gone, dead = closedRoutes(gone, z.Routes, now); dead != nil {
				s.fail(fmt.Errorf("the embedded server keeps a closed route to %s (account %q) and refuses new ones; the store has to start anew", dead.RemoteName, dead.Account))
				return
			}
		}
	}
}

// closedRoutes are those that are registered and closed, by id, with when that was seen first, and one that has been so for too long. A closed one has no
// address.
func closedRoutes(before map[uint64]time.Time, routes []*server.RouteInfo, now time.Time) (gone map[uint64]time.Time, dead *server.RouteInfo) {
	gone = map[uint64]time.Time{}
	for _, r := range routes {
		if r.Port != 0 {
			continue
		}
		since, known := before[r.Rid]
		if !known {
			since = now
		}
		gone[r.Rid] = since
		if now.Sub(since) >= goneFor {
			dead = r
		}
	}
	return gone, dead
}
