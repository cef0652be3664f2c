package model

import (
	"fmt"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/schedule"
)

// Series is what happened when, over the whole play.
type Series struct {
	Wanted, Established, SignedIn, SignIns, Resumed *measure.Series
	Offered, Sent, Acknowledged, Delivered          *measure.Series
	Heat                                            *measure.HeatMap
}

// Shard is what the sessions of one shard saw.
type Shard struct {
	Name      string
	Sessions  int64
	Latency   *measure.Histogram
	Delivered *measure.Series
}

// Use is what the fleet spent in the measure phase.
type Use struct {
	// Processor time of all shards and of all stores, and bytes that left for sessions.
	Shards, Stores time.Duration
	Bytes          int64
	// Of the generator, where cores are shared. There what processes take for being there is in all of them.
	Generator time.Duration
	// Deliveries.
	Delivered int64
	// In so much time.
	Over time.Duration
	// The largest share of what its cores could do that a shard or a store was busy for, and the same of a shard's network.
	BusiestShard, BusiestStore, BusiestNetwork float64
}

// tally is the figures of one kind of posts: the warm-up, a part of the chatter, one broadcast.
type tally struct {
	name     string
	within   time.Duration
	measured bool
	latency  *measure.Histogram
	late     int64
}

// book is what is counted while it is played.
type book struct {
	brief bool
	// It is of a window, of whose warm-up nothing counts.
	windowed bool
	// Every count stands for so many.
	weight int64
	events int64
	series Series
	// A moment of this play is so much later in the whole.
	shift time.Duration

	tallies  []tally
	of       []int32 // by post
	latency  *measure.Histogram
	shards   []Shard
	service  *measure.Histogram
	zero     *measure.Histogram // how late the posts were sent: never
	signIn   *measure.Histogram
	returned *measure.Histogram

	// By tenths of a second, to find the busiest one; nil where nobody asks for it.
	rate rate

	dials, ins, backs, drops int64
	// Of the measure phase.
	offers, acks int64
	use          Use
	healing      int64
}

// mostShards is how many shards have figures of their own.
const mostShards = 32

func newBook(in Input, width time.Duration) *book {
	b := &book{
		brief: in.Brief, weight: 1, latency: measure.NewHistogram(), service: measure.NewHistogram(), zero: measure.NewHistogram(),
		signIn: measure.NewHistogram(), returned: measure.NewHistogram(),
	}
	if in.Brief {
		return b
	}
	one := func() *measure.Series { return measure.NewSeries(width) }
	b.series = Series{one(), one(), one(), one(), one(), one(), one(), one(), one(), measure.NewHeatMap(width)}
	if n := in.Fleet.Shards; n <= mostShards {
		for s := range n {
			b.shards = append(b.shards, Shard{Name: fmt.Sprintf("shard-%d", s), Latency: measure.NewHistogram(), Delivered: one()})
		}
	}
	return b
}

// lay sorts posts into kinds, as a run does.
func (b *book) lay(s *v1alpha1.Scenario, posts []schedule.Post) {
	warmup := s.Phases.Warmup.Std()
	slice, _ := schedule.ChatterSlices(s)
	b.tallies = []tally{{name: "warm-up", latency: measure.NewHistogram()}}
	b.of = make([]int32, len(posts))
	parts, broadcasts := map[int]int32{}, map[int]int32{}
	add := func(name string, p schedule.Post) int32 {
		b.tallies = append(b.tallies, tally{name: name, within: p.DeliverWithin, measured: true, latency: measure.NewHistogram()})
		return int32(len(b.tallies) - 1)
	}
	for i, p := range posts {
		switch {
		case p.Broadcast != schedule.NoBroadcast: // In many channels at once it is one all the same.
			if _, ok := broadcasts[p.Broadcast]; !ok {
				broadcasts[p.Broadcast] = add(fmt.Sprintf("broadcast %d", p.Broadcast), p)
			}
			b.of[i] = broadcasts[p.Broadcast]
		case p.Due >= warmup:
			part := int((p.Due - warmup) / slice)
			if _, ok := parts[part]; !ok {
				parts[part] = add(fmt.Sprintf("chatter from %s", time.Duration(part)*slice), p)
			}
			b.of[i] = parts[part]
		}
	}
}

// recorder counts the deliveries of one post at one shard.
type recorder struct {
	b      *book
	t      *tally
	shard  *Shard
	due    time.Duration
	weight int64
	// The measure phase.
	from, to time.Duration
}

func (b *book) recorder(e *engine, i, s int32) recorder {
	r := recorder{b: b, t: &b.tallies[b.of[i]], due: e.dueAt(i) + b.shift, weight: b.weight, from: e.measureAt, to: e.settleAt}
	if r.t.measured && len(b.shards) > 0 {
		r.shard = &b.shards[s]
	}
	return r
}

func (r *recorder) record(latency time.Duration) { r.recordN(latency, 1) }

func (r *recorder) recordN(latency time.Duration, n int64) {
	n *= r.weight
	if at := r.due + latency - r.b.shift; at >= r.from && at < r.to {
		r.b.use.Delivered += n
	}
	r.t.latency.RecordN(latency, n)
	if r.t.within > 0 && latency > r.t.within {
		r.t.late += n
	}
	r.b.rate.add(r.due+latency, n)
	if r.b.brief {
		return
	}
	r.b.series.Delivered.Add(r.due+latency, n)
	if !r.t.measured {
		return
	}
	r.b.series.Heat.Add(r.due, latency, n)
	if r.shard != nil {
		r.shard.Latency.RecordN(latency, n)
		r.shard.Delivered.Add(r.due+latency, n)
	}
}

// healed counts what came to sessions that had been away.
func (b *book) healed(e *engine, i, s int32, latency time.Duration, n int64) {
	r := b.recorder(e, i, s)
	r.recordN(latency, n)
	b.healing += n * b.weight
}

func (b *book) count(s *measure.Series, at time.Duration, n int64) {
	if s != nil {
		s.Add(at+b.shift, n*b.weight)
	}
}

func (b *book) offered(e *engine, i int32) {
	at := e.dueAt(i)
	b.count(b.series.Offered, at, 1)
	b.count(b.series.Sent, at, 1)
	if e.measured(e.posts[i]) {
		b.offers += b.weight
		b.zero.RecordN(0, b.weight)
	}
}

func (b *book) acknowledged(e *engine, i int32) {
	at := e.lives[i].acked
	b.count(b.series.Acknowledged, at, 1)
	if e.measured(e.posts[i]) {
		b.acks += b.weight
		b.service.RecordN(at-e.dueAt(i), b.weight)
	}
}

func (b *book) dialled(e *engine, g *group) {
	b.dials += g.n
	if !g.back && g.attempt == 0 {
		b.count(b.series.Wanted, e.q.Now(), g.n)
		b.count(b.series.Established, e.q.Now(), g.n)
	}
	if g.back && g.attempt == 0 {
		b.count(b.series.Established, e.q.Now(), g.n)
	}
}

func (b *book) signedIn(e *engine, g *group, at time.Duration) {
	b.ins += g.n
	b.count(b.series.SignedIn, at, g.n)
	b.count(b.series.SignIns, at, g.n)
	took := at - g.since
	if !g.back {
		b.signIn.RecordN(took, g.n*b.weight)
		return
	}
	b.backs += g.n
	b.count(b.series.Resumed, at, g.n)
	b.returned.RecordN(took, g.n*b.weight)
	if g.fault != noFault {
		f := &e.faults[g.fault]
		f.back += g.n
		f.longestReturn = max(f.longestReturn, took)
	}
}

func (b *book) lost(e *engine, fault int32, n int64) {
	b.drops += n
	b.count(b.series.SignedIn, e.q.Now(), -n)
	b.count(b.series.Established, e.q.Now(), -n)
	if fault != noFault {
		e.faults[fault].sessions += n
	}
}

// used counts what the fleet spends while it is measured. sh is nil where it is not a shard's.
func (b *book) used(e *engine, sh *shard, spent time.Duration, bytes int64) {
	if now := e.q.Now(); e.settleAt == 0 || now < e.measureAt || now >= e.settleAt {
		return
	}
	b.use.Bytes += bytes
	if sh == nil {
		b.use.Stores += spent
		return
	}
	spent = time.Duration(float64(spent) * e.dearer())
	b.use.Shards += spent
	sh.busy += spent
}

// read counts what the generator spends while it is measured.
func (b *book) read(e *engine, spent time.Duration) {
	if now := e.q.Now(); e.settleAt != 0 && now >= e.measureAt && now < e.settleAt {
		b.use.Generator += time.Duration(float64(spent) * e.dearer())
	}
}

// neverCame counts deliveries that had not come when all was over.
func (b *book) neverCame(e *engine, i int32, n int64) {
	if b.series.Heat != nil && e.measured(e.posts[i]) {
		b.series.Heat.Add(e.dueAt(i)+b.shift, measure.Never, n)
	}
}
