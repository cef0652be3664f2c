package planning

import (
	"fmt"
	"math"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
)

// Hand is what a broadcast takes at the least, by two divisions that anybody can do again. A model that is quicker is wrong.
type Hand struct {
	// Until the objective's share of the sessions has it: by the shards' cores, and by their network.
	Cores   time.Duration `json:"coresNs"`
	Network time.Duration `json:"networkNs"`
	Says    []string      `json:"says"`
}

// byHand is that for so many shards.
func (q Question) byHand(left int) Hand {
	share := q.Objective.Percentile / 100
	n := float64(q.Subscribers) * share
	coreSeconds, cores := n*q.cost(), float64(left)*q.Pod.Cores
	bytes, network := n*q.wireBytes(), float64(left)*float64(q.Pod.NetworkPerSecond)
	h := Hand{Cores: time.Duration(rounded(coreSeconds/cores) * 1e9), Network: time.Duration(rounded(bytes/network) * 1e9)}
	h.Says = []string{
		fmt.Sprintf("processors: %s deliveries × %.4g µs = %.3g core-seconds, on %d × %g cores: %s", grouped(math.Round(n)), 1e6*q.cost(), coreSeconds, left, q.Pod.Cores, inTime(h.Cores)),
		fmt.Sprintf("network: %s deliveries × %g B = %.4g MB, at %d × %.4g MB/s: %s", grouped(math.Round(n)), q.wireBytes(), bytes/1e6, left, float64(q.Pod.NetworkPerSecond)/1e6, inTime(h.Network)),
	}
	return h
}

// monthHours is a twelfth of a year of 365 days.
const monthHours = 730

// Cost is what the fleet costs in a month of 730 hours, in the currency of the prices.
type Cost struct {
	Cores  float64 `json:"cores"`
	Memory float64 `json:"memory"`
	Egress float64 `json:"egress"`
	Total  float64 `json:"total"`
}

// cost730 is that. Volumes, load balancers and the Kubernetes cluster itself are not in it.
func (q Question) cost730(f Fleet) Cost {
	c := Cost{
		Cores: rounded(f.TotalCores * q.Prices.CoreHour * monthHours), Memory: rounded(f.TotalMemoryGiB * q.Prices.GiBHour * monthHours),
		Egress: rounded(f.EgressGBMonthly * q.Prices.EgressGB),
	}
	c.Total = rounded(c.Cores + c.Memory + c.Egress)
	return c
}

// Growth is how fast the audience may grow so that shards that are asked for when it does are there in time.
type Growth struct {
	// Until they are.
	Arriving time.Duration `json:"arrivingNs"`
	// Sessions a minute: what fits into the room that is left until then, what the shards can sign in, and the lesser of the two.
	ByRoom    float64 `json:"byRoomPerMinute"`
	BySignIns float64 `json:"bySignInsPerMinute"`
	PerMinute float64 `json:"perMinute"`
	// More sessions than the fleet has room for beside those that it is for, when nothing is left to spare.
	Room int64 `json:"room"`
}

// growing is that of a fleet whose time of the objective is known. The room ends where sockets, memory or the objective do.
func (q Question) growing(f Fleet, takes time.Duration) Growth {
	most := q.roomOf(f.MemoryBytes)
	share := q.Objective.Percentile / 100
	ramp := float64(f.SessionsIfLost) * q.each(float64(f.SessionsIfLost)) * share
	// All but the ramp stays as it is when more sessions come.
	fixed := takes.Seconds() - ramp
	most = min(most, math.Floor(q.within(q.Objective.Within.Seconds()-fixed, share)))
	room := max(most*float64(f.Left)-float64(q.Subscribers), 0)
	g := Growth{Arriving: q.arriving(), Room: int64(room)}
	g.ByRoom = math.Floor(room / g.Arriving.Minutes())
	busy := q.PostsPerSecond*(float64(q.Subscribers)*q.cost()+q.seconds(calibration.PostShard)) + q.SignInsPerMinute/60*q.seconds(calibration.SignIn) + q.pings(float64(q.Subscribers))
	free := max(float64(f.Left)*q.Pod.Cores*q.spare()-busy, 0)
	g.BySignIns = math.Floor(60 * free / q.seconds(calibration.SignIn))
	g.PerMinute = min(g.ByRoom, g.BySignIns)
	return g
}

// within is how many sessions of a shard a broadcast can have reached a share of in so many seconds: the other way round of each, whose pace hangs on their number.
func (q Question) within(seconds, share float64) float64 {
	work, cores := q.cost()*share, q.Pod.Cores
	byCores := max(seconds*cores/(work+seconds*q.pings(1)), seconds*cores/2/work)
	return min(byCores, seconds*float64(q.Pod.NetworkPerSecond)/(q.wireBytes()*share))
}
