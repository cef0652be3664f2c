package planning

import (
	"fmt"
	"math"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/model"
)

// Demand is one thing that a fleet has to have enough of, or be quick enough for.
type Demand struct {
	Name string `json:"name"`
	// What it alone would need, with the shards that may be lost; 0 if no number is enough.
	Shards int `json:"shards"`
	// What the plan's fleet uses of it when shards are lost, and the most that it could, the headroom included; in Unit, a shard.
	Used float64 `json:"used"`
	Most float64 `json:"most"`
	Unit string  `json:"unit"`
	// model, division, or bound: from above, by hand.
	By   string `json:"by"`
	Says string `json:"says"`

	// What all sessions use of it together; used by each shard besides, whoever is there.
	total, idle float64
}

const (
	byModel    = "model"
	byBound    = "bound"
	byDivision = "division"
	// processMemory is what a shard has without sessions. 64 MiB for the process are what the samples ask for (config/samples/chatcluster.yaml), which is assumed; recent
	// events take up to twice ring.totalBytes, 64 MiB, with the garbage collector's share (docs/configuration.md).
	processMemory = 64<<20 + 2*64<<20
)

// divisions are the demands that need as many shards as one bears a part of a sum.
func (q Question) divisions() []Demand {
	n := float64(q.Subscribers)
	memory := q.Calibration.SessionBytes(q.Pod.TLS)
	rate := max(q.PostsPerSecond, 1/q.Objective.Within.Seconds())
	signIns := (q.SignInsPerMinute + q.GrowthPerMinute) / 60
	return []Demand{
		{
			Name: "open files", Unit: "sockets", Most: float64(q.Pod.Connections), total: n,
			Says: "a socket a session, of limits.connections of a shard",
		}, {
			Name: "memory", Unit: "B", Most: float64(q.Pod.MemoryBytes), total: n * memory, idle: processMemory,
			Says: q.memorySays(),
		}, {
			Name: "processor, steady", Unit: "cores", Most: q.Pod.Cores,
			total: q.PostsPerSecond*(n*q.cost()+q.seconds(calibration.PostShard)) + signIns*q.seconds(calibration.SignIn) + q.pings(n),
			Says:  fmt.Sprintf("%g posts a second to everybody, %.3g µs a delivery, %.3g sign-ins a second, and a ping a session every %s", q.PostsPerSecond, 1e6*q.cost(), signIns, model.PingEvery),
		}, {
			Name: "processor, a broadcast", Unit: "cores", Most: q.Pod.Cores, total: n*q.cost()/q.Objective.Within.Seconds() + q.pings(n),
			Says: fmt.Sprintf("%.3g µs a delivery, all within %s, and pings", 1e6*q.cost(), q.Objective.Within),
		}, {
			Name: "network", Unit: "B/s", Most: float64(q.Pod.NetworkPerSecond), total: n * q.wireBytes() * rate,
			Says: fmt.Sprintf("%g B a delivery on the wire, %.3g a second to everybody", q.wireBytes(), rate),
		},
	}
}

// memorySays is what the bytes of a session are of.
func (q Question) memorySays() string {
	process, kernel := q.Calibration.Get(calibration.SessionMemory).Value, q.Calibration.Get(calibration.SocketMemory).Value
	parts := fmt.Sprintf("%s of the process", grouped(process))
	if q.Pod.TLS {
		parts += fmt.Sprintf(", %s for TLS", grouped(q.Calibration.Get(calibration.TLSMemory).Value))
	}
	return fmt.Sprintf("%s B a session (%s, %s of the kernel for an idle socket), and %d MiB without any", grouped(q.Calibration.SessionBytes(q.Pod.TLS)), parts, grouped(kernel), processMemory>>20)
}

// need is how many shards have to be left for a sum; 0 if one without any sessions has too much already.
func (q Question) need(d Demand) int {
	room := d.Most*q.spare() - d.idle
	if room <= 0 {
		return 0
	}
	return int(min(max(math.Ceil(rounded(d.total/room)), 1), 1e9))
}

// with is what one of so many shards uses.
func (d Demand) with(left int) float64 { return rounded(d.total/float64(left) + d.idle) }

// arriving is how long it takes until shards that are wanted are there: somebody asks for them, and the operator and the nodes make them.
func (q Question) arriving() time.Duration {
	return q.ScaleAfter + time.Duration(q.seconds(calibration.PodReplacement)*float64(time.Second))
}

// growth is the room for those who come before more shards are there. It may use what the headroom leaves, since that is what it is for.
func (q Question) growth() Demand {
	come := q.GrowthPerMinute * q.arriving().Minutes()
	return Demand{
		Name: "growth", Unit: "sessions", Most: q.roomOf(q.Pod.MemoryBytes), total: float64(q.Subscribers) + come, By: byDivision,
		Says: fmt.Sprintf("%s more in the %s until more shards are there", grouped(come), q.arriving().Round(100*time.Millisecond)),
	}
}

// roomOf is how many sessions a shard of so much memory takes when nothing is left to spare.
func (q Question) roomOf(memoryBytes int64) float64 {
	return max(min(float64(q.Pod.Connections), math.Floor((float64(memoryBytes)-processMemory)/q.Calibration.SessionBytes(q.Pod.TLS))), 0)
}

// demands are all of them, each with what it alone would need. quickest is the time with the most shards that make sense, if no number of them meets it.
func (q Question) demands() (all []Demand, quickest time.Duration, err error) {
	f := q.Objective.figure()
	left, quickest, err := q.shardsForTime()
	if err != nil {
		return nil, 0, err
	}
	inTime := Demand{Name: f.says, Unit: "ms", Most: milliseconds(q.Objective.Within), By: byModel, Says: "all sessions on the shards that are left"}
	if left > 0 {
		inTime.Shards = left + q.Lose
	}
	all = append(all, inTime)
	for _, d := range q.divisions() {
		d.By = byDivision
		if n := q.need(d); n > 0 {
			d.Shards = n + q.Lose
		}
		all = append(all, d)
	}
	if q.Lose > 0 {
		back := Demand{Name: "return", Unit: "ms", Most: milliseconds(q.BackWithin), By: byBound, Says: "until all of the lost shards are signed in again, at most; played, it is what a shard uses"}
		if left := q.shardsForReturn(); left > 0 {
			back.Shards = left + q.Lose
		}
		all = append(all, back)
	}
	if q.GrowthPerMinute > 0 {
		g := q.growth()
		if g.Most > 0 {
			g.Shards = int(min(math.Ceil(g.total/g.Most), 1e9)) + q.Lose
		}
		all = append(all, g)
	}
	return all, quickest, nil
}

func milliseconds(d time.Duration) float64 { return rounded(float64(d) / 1e6) }
