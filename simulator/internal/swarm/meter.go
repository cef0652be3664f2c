package swarm

import (
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/stamp"
)

// content is what a position held, as far as the accounting goes.
type content struct {
	post       uint32 // stamp.NoPost for what is no post of the run
	intendedNs int64
}

// contentOf reads a message's data. A damaged stamp is NoPost, which is not what the log has there.
func contentOf(data []byte, run uint64) content {
	s, err := stamp.Parse(data)
	if err != nil || s.Run != run {
		return content{post: stamp.NoPost}
	}
	return content{post: s.Post, intendedNs: s.IntendedNs}
}

// grouping says which group a post is in. It is shared by all loops and never written to.
type grouping struct {
	groups []Group
	of     []uint16 // by post number
}

func newGrouping(groups []Group, posts []PostRange) grouping {
	g := grouping{groups: groups}
	var end uint32
	for _, r := range posts {
		end = max(end, r.First+r.Count)
	}
	g.of = make([]uint16, end)
	for _, r := range posts {
		for p := r.First; p < r.First+r.Count; p++ {
			g.of[p] = uint16(r.Group)
		}
	}
	return g
}

func (g grouping) group(post uint32) int {
	if uint64(post) < uint64(len(g.of)) {
		return int(g.of[post])
	}
	return 0
}

// meter takes the time of deliveries, for one loop.
type meter struct {
	grouping
	startNs    int64
	latency    []measure.Histogram // by group
	exact      []groupExact
	heat       *measure.HeatMap
	deliveries *measure.Series
	peaks      *Peaks
	// shards are what was measured of the sessions that begin at each endpoint; nil where there are too many to tell apart.
	// shard is the one that delivers.
	shards []shardMeter
	shard  int
	// The deliveries are those of a slow reader, which are not timed: most of their time is its own.
	slow bool
	// far: of a session whose way can be made longer. windows is when it is, delays what was measured meanwhile, see delay.go.
	far     bool
	windows *[]Window
	delays  []DelayResult
}

// shardMeter is what is measured of one endpoint's sessions.
type shardMeter struct {
	latency    measure.Histogram
	deliveries *measure.Series
}

// maxShards bounds how many endpoints are told apart: each has a histogram in each loop.
const maxShards = 64

// groupExact is what a histogram rounds.
type groupExact struct {
	maxNs int64
	late  int64
}

func newMeter(g grouping, startNs int64, endpoints int) *meter {
	m := &meter{
		grouping:   g,
		startNs:    startNs,
		latency:    make([]measure.Histogram, len(g.groups)),
		exact:      make([]groupExact, len(g.groups)),
		heat:       measure.NewHeatMap(measure.DefaultWidth),
		deliveries: measure.NewSeries(measure.DefaultWidth),
		peaks:      NewPeaks(measure.DefaultWidth),
	}
	if endpoints <= maxShards {
		m.shards = make([]shardMeter, endpoints)
		for i := range m.shards {
			m.shards[i].deliveries = measure.NewSeries(measure.DefaultWidth)
		}
	}
	return m
}

// from says whose the next deliveries are.
func (m *meter) from(shard int, s *session) {
	m.shard, m.slow, m.far = shard, s.is(flagSlow), s.is(flagFar)
}

// delivered counts one delivery at now. What is no post has no intended moment, and so no latency.
func (m *meter) delivered(c content, now int64) {
	if m.slow {
		return
	}
	m.deliveries.Add(time.Duration(now-m.startNs), 1)
	if m.shards != nil {
		m.shards[m.shard].deliveries.Add(time.Duration(now-m.startNs), 1)
	}
	if c.post == stamp.NoPost {
		return
	}
	took := time.Duration(now - c.intendedNs)
	g := m.group(c.post)
	m.latency[g].Record(took)
	if m.shards != nil && m.groups[g].Measured {
		m.shards[m.shard].latency.Record(took)
	}
	if m.delays != nil && m.groups[g].Measured {
		m.apart(c.intendedNs, took)
	}
	e := &m.exact[g]
	e.maxNs = max(e.maxNs, int64(took))
	if within := m.groups[g].DeliverWithin; within > 0 && took > within {
		e.late++
	}
	intended := time.Duration(c.intendedNs - m.startNs)
	m.heat.Add(intended, took, 1)
	m.peaks.Add(intended, took)
}
