package bus

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

func TestClosedRoutesAreNoticed(t *testing.T) {
	open := &server.RouteInfo{Rid: 1, RemoteName: "b", Port: 6222}
	closed := &server.RouteInfo{Rid: 2, RemoteName: "c", Account: "$SYS"}
	for name, c := range map[string]struct {
		looks [][]*server.RouteInfo // one a second
		dead  bool
	}{
		"all are open":                    {looks: [][]*server.RouteInfo{{open}, {open}, {open}, {open}, {open}, {open}, {open}}},
		"one closes, and is gone":         {looks: [][]*server.RouteInfo{{open, closed}, {open}, {open}, {open}, {open}, {open}, {open}}},
		"one after the other":             {looks: [][]*server.RouteInfo{{closed}, {closed}, {{Rid: 3}}, {{Rid: 3}}, {{Rid: 4}}, {{Rid: 4}}, {{Rid: 5}}}},
		"one is closed, and stays":        {looks: [][]*server.RouteInfo{{open, closed}, {closed}, {closed}, {closed, open}, {closed}, {closed}}, dead: true},
		"not long enough":                 {looks: [][]*server.RouteInfo{{closed}, {closed}, {closed}, {closed}, {closed}}},
		"it was gone for a moment, again": {looks: [][]*server.RouteInfo{{closed}, {closed}, {closed}, {}, {closed}, {closed}, {closed}}},
	} {
		var gone map[uint64]time.Time
		var dead *server.RouteInfo
		for i, routes := range c.looks {
			gone, dead = closedRoutes(gone, routes, time.Unix(int64(i), 0))
			if dead != nil && i < len(c.looks)-1 {
				t.Errorf("%s: noticed after %d s already", name, i)
			}
		}
		if (dead != nil) != c.dead {
			t.Errorf("%s: %v", name, dead)
		}
	}
}
