package live

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/delay"
	"github.com/chatfleet/chatfleet/simulator/internal/swarm"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// network is the way of those sessions that the scenario delays.
type network struct {
	proxies  *delay.Proxies
	sessions int64
	crowd    Crowd
	// Delays that the crowd was told of.
	told int
}

// openNetwork puts proxies between the fleet and the sessions that the scenario delays, if it does. They are there during the whole run,
// so that these sessions can be compared with themselves.
func (e *engine) openNetwork(s *swarm.Config) error {
	share := e.Scenario.Delayed()
	if share == 0 {
		return nil
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	sessions := int(share * float64(s.Sessions))
	if room := delay.RoomFor(limit.Cur); sessions > room {
		return fmt.Errorf("%d sessions are to be delayed, each by two connections of this process, which may open %d files: at most %d fit; raise the limit (ulimit -n), or delay a smaller share",
			sessions, limit.Cur, room)
	}
	proxies, err := delay.Open(s.Endpoints)
	if err != nil {
		return err
	}
	e.far = &network{proxies: proxies, sessions: int64(sessions)}
	s.FarShare, s.Far = share, proxies.Addresses()
	return nil
}

// doubt is how long a post may be on its way to a proxy.
const doubt = time.Second

// Delay tells the crowd first, which measures apart what is delayed.
func (n *network) Delay(fromNs, toNs int64, by, jitter time.Duration) (sessions int64, err error) {
	n.told++
	// A post that is intended shortly before the end may come to a proxy after it. And what comes then waits for what came before.
	edge := min((toNs-fromNs)/10, int64(doubt))
	when := swarm.Window{BeforeNs: fromNs - int64(doubt), FromNs: fromNs, ToNs: toNs - edge, AfterNs: toNs + int64(by+jitter+doubt)}
	if err := n.crowd.Delay(when); err != nil {
		return 0, err
	}
	n.proxies.Delay(fromNs, toNs, by, jitter)
	return n.sessions, nil
}

func (n *network) End() { n.proxies.End() }

// delays fills in what the delays did to the sessions that were delayed and, at the same time, to the others. The crowd's figures are in
// the order in which it was told of them, after those of the rest of the time.
func (e *engine) delays(faults []verdict.Fault) {
	if !e.verified || e.far == nil || len(e.result.Delays) != 1+e.far.told {
		return
	}
	next := 1
	for i, r := range e.faults {
		if r.Action != v1alpha1.Delay || r.BeganNs == 0 {
			continue
		}
		d := e.result.Delays[next]
		next++
		faults[i].Delay = &verdict.Delay{
			By: r.Delay.Std(), Jitter: r.Jitter.Std(), Sessions: r.Sessions, Far: d.Far, Others: d.Others, FarElse: e.result.Delays[0].Far,
			OthersElse: e.result.Delays[0].Others,
		}
	}
}
