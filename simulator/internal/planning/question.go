package planning

import (
	"fmt"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/forecast"
	"github.com/chatfleet/chatfleet/simulator/internal/prices"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// Question is what a fleet is to bear. All of it must be valid; the command line sees to that.
type Question struct {
	// Sessions, all of them connected when a post comes: the worst case. 1 to MostSubscribers.
	Subscribers int64     `json:"subscribers"`
	Objective   Objective `json:"objective"`
	// Shards that may be lost at the same moment.
	Lose int `json:"lose"`
	// The share, from 0 and below 1, that is to be left over of everything: of time, of cores, of the network, of memory and of sockets.
	Headroom float64 `json:"headroom"`
	// The size of a post's content.
	MessageBytes int64 `json:"messageBytes"`
	// Posts to the whole audience, a second, day and night. Above 0.
	PostsPerSecond float64 `json:"postsPerSecond"`
	// Sign-ins that there always are, and by how much the audience may grow.
	SignInsPerMinute float64 `json:"signInsPerMinute"`
	GrowthPerMinute  float64 `json:"growthPerMinute"`
	// Until when those of lost shards have to be signed in again.
	BackWithin time.Duration `json:"backWithinNs"`
	// How long it takes until somebody, or an autoscaler, asks for more shards.
	ScaleAfter time.Duration `json:"scaleAfterNs"`
	// Where the audience is; none: beside the fleet, at no distance.
	Places []v1alpha1.Place `json:"places,omitempty"`
	Pod    Pod              `json:"pod"`
	// Plays, each with another seed, that the interval is over.
	Seeds   int     `json:"seeds"`
	Cluster Cluster `json:"cluster"`

	Calibration calibration.Calibration `json:"-"`
	Prices      prices.List             `json:"prices"`
	// Of the simulator, for what it writes.
	Version string `json:"-"`
}

// Pod is what a shard may have.
type Pod struct {
	Cores float64 `json:"cores"`
	// Bytes, and bytes a second.
	MemoryBytes      int64 `json:"memoryBytes"`
	NetworkPerSecond int64 `json:"networkPerSecond"`
	// chatd's limits.connections.
	Connections int64 `json:"connections"`
	// Sessions speak TLS to the shards.
	TLS bool `json:"tls"`
}

// Cluster is which ChatCluster the plan is for. With an image, a region and a volume's size it is a new one.
type Cluster struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Image     string `json:"image,omitempty"`
	Region    string `json:"region,omitempty"`
	Storage   string `json:"storage,omitempty"`
}

const (
	// MostSubscribers is how many a scenario may have, too.
	MostSubscribers = 10_000_000
	// MostShards is how many a ChatCluster may have (docs/chatcluster.md, shards.replicas).
	MostShards = 1000
	// UsualConnections is chatd's limits.connections (docs/configuration.md).
	UsualConnections = 18_000
)

// Objective is in what time a share of the audience has to have a post.
type Objective struct {
	// One of 50, 99, 99.9 and 100.
	Percentile float64       `json:"percentile"`
	Within     time.Duration `json:"withinNs"`
}

// figure is one percentile: what it is called here and in a forecast, and the threshold of a scenario that bounds it.
type figure struct {
	percentile                        float64
	text, says, answer, metric, among string
}

var figures = []figure{
	{50, "p50", "median of all deliveries", forecast.DeliveryMedian, "delivery", "median"},
	{99, "p99", "p99 of all deliveries", forecast.DeliveryP99, "delivery", "p99"},
	{99.9, "p99.9", "time to 99.9 %", forecast.TimeTo999, "timeTo999", "max"},
	{100, "last", "time to the last", forecast.TimeToLast, "timeToLast", "max"},
}

func (o Objective) figure() figure {
	for _, f := range figures {
		if f.percentile == o.Percentile {
			return f
		}
	}
	panic(fmt.Sprintf("planning: there is no percentile %g", o.Percentile))
}

// ObjectiveOf returns the objective of a percentile as people write it, "p99.9" or "last"; ok is false if there is no such one.
func ObjectiveOf(percentile string, within time.Duration) (o Objective, ok bool) {
	for _, f := range figures {
		if f.text == percentile || percentile == "p100" && f.percentile == 100 {
			return Objective{f.percentile, within}, true
		}
	}
	return Objective{}, false
}

func (o Objective) String() string { return fmt.Sprintf("%s < %s", o.figure().text, o.Within) }

// of is the time that is held against the objective: of broadcasts the slowest's, of deliveries that of all.
func (o Objective) of(m verdict.Measurements) time.Duration {
	if o.Percentile < 99.9 {
		return m.Deliveries.Latency.PercentileWithLost(o.Percentile, m.Deliveries.LostOfLatency)
	}
	var slowest time.Duration
	for _, b := range m.Broadcasts {
		slowest = max(slowest, b.TimeTo(o.Percentile))
	}
	return slowest
}

// spare is the share of everything that may be used.
func (q Question) spare() float64 { return 1 - q.Headroom }

// allowed is what is left of a time when the headroom is kept.
func (q Question) allowed(d time.Duration) time.Duration {
	return time.Duration(float64(d) * q.spare())
}
