package model

import (
	"fmt"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/schedule"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// Outcome is what came of a play.
type Outcome struct {
	Measurements verdict.Measurements
	Series       Series
	// Of fleets with few shards.
	Shards []Shard
	Phases []Phase
	Use    Use
	// The moment at which it was over, and the events that it took.
	Lasted time.Duration
	Events int64
	// Of each case, where there are any.
	Cases []CaseOutcome
}

// Phase is a part of the play.
type Phase struct {
	Name     string
	From, To time.Duration
}

// Play plays a scenario. The same input gives the same outcome, to the bit.
func Play(in Input) (Outcome, error) {
	if in.Fleet.Shards < 1 || in.Fleet.Stores < 1 || in.Fleet.Partitions < 1 {
		return Outcome{}, fmt.Errorf("a fleet of %d shards, %d stores and %d partitions cannot be played", in.Fleet.Shards, in.Fleet.Stores, in.Fleet.Partitions)
	}
	if in.Scenario.Phases.Windows != nil {
		return playWindows(in), nil
	}
	if len(in.Cases) > 0 {
		return playCases(in), nil
	}
	seeded := *in.Scenario
	seeded.Seed = in.Seed
	return playPosts(in, newBook(in, 0), schedule.Posts(&seeded)), nil
}

// playPosts connects all sessions, and then plays some posts.
func playPosts(in Input, b *book, posts []schedule.Post) Outcome {
	s := in.Scenario
	b.weight = int64(max(in.Fleet.Cells, 1))
	e := newEngine(in, b)
	e.connect()
	connected := e.q.Now()
	b.lay(s, posts)
	e.load(connected+headStart, posts)
	e.run(e.endAt, nil)
	e.account(e.endAt)
	b.use.Over = s.Phases.Measure.Std()
	e.busiest()
	out := e.outcome()
	out.Phases = []Phase{{"connect", 0, connected}, {"warmup", e.origin, e.measureAt}, {"measure", e.measureAt, e.settleAt}, {"settle", e.settleAt, e.endAt}}
	if s.Phases.Warmup == 0 {
		out.Phases = append(out.Phases[:1], out.Phases[2:]...)
	}
	return out
}

// busiest finds how much of its share the busiest shard and store used.
func (e *engine) busiest() {
	u := &e.book.use
	f := e.in.Fleet
	over := max(float64(u.Over), 1)
	for s := range e.shards {
		u.BusiestShard = max(u.BusiestShard, float64(e.shards[s].busy)/(over*f.CoresPerShard))
	}
	u.BusiestStore = float64(u.Stores) / (float64(f.Stores) * over * f.CoresPerStore) // All replicas work alike.
	if f.Network > 0 {
		u.BusiestNetwork = float64(u.Bytes) / float64(f.Shards) / (over / float64(time.Second)) / float64(f.Network)
	}
}

// outcome puts what was counted into the form in which it is judged.
func (e *engine) outcome() Outcome {
	b, w := e.book, e.book.weight
	sessions := int64(e.s.Population.Sessions())
	signedIn := e.signedIn
	m := verdict.Measurements{
		Sessions: verdict.Sessions{
			Wanted: sessions * w, Dialled: b.dials * w, Established: signedIn * w, SignedIn: signedIn * w, Dropped: b.drops * w, SignIn: b.signIn,
			Return: b.returned, Away: e.away * w, SignIns: b.ins * w, Resumed: b.backs * w, ReturnsResumed: b.backs * w,
		},
		Posts: verdict.Posts{
			Intended: b.offers, Sent: b.offers, Acknowledged: b.acks, Failed: b.offers - b.acks, Unacknowledged: b.offers - b.acks,
			SendLag: b.zero, Service: b.service, Response: b.service,
		},
		Generator: verdict.Generator{Modelled: true},
		Clock:     verdict.Clock{Source: "simulated time", Trusted: true},
		Faults:    e.faultsFound(),
	}
	e.deliveries(&m)
	out := Outcome{Series: b.series, Shards: b.shards, Use: b.use, Lasted: e.endAt, Events: b.events}
	if d := b.latency.Count() / w; d > 0 {
		m.Fleet.CPUPerDelivery = (b.use.Shards + b.use.Stores) / time.Duration(d)
	}
	m.Fleet.RSSBytesPerSession = e.in.Calibration.Get(calibration.SessionMemory).Value
	for s := range out.Shards {
		n := int64(len(e.shards))
		out.Shards[s].Sessions = sessions*int64(s+1)/n - sessions*int64(s)/n
	}
	out.Measurements = m
	return out
}

// deliveries adds up what became of all posts.
func (e *engine) deliveries(m *verdict.Measurements) {
	b, w := e.book, e.book.weight
	lostOf := make([]int64, len(b.tallies))
	readersOf := make([]int64, len(b.tallies))
	for i, l := range e.lives {
		if b.windowed && !e.measured(e.posts[i]) {
			continue
		}
		expected := l.expected
		if l.stored == 0 && e.dueAt(int32(i)) < e.settleAt {
			expected = 0 // It is in no log, so nobody was to get it; that it was not acknowledged is counted.
		}
		m.Deliveries.Expected += expected * w
		m.Deliveries.Delivered += l.delivered * w
		if lost := max(expected-l.delivered, 0) * w; lost > 0 {
			lostOf[b.of[i]] += lost
			b.neverCame(e, int32(i), lost)
		}
		readersOf[b.of[i]] += expected * w
	}
	m.Deliveries.Healed = b.healing
	for k := range b.tallies {
		t := &b.tallies[k]
		m.Deliveries.Lost += lostOf[k]
		if !t.measured {
			continue
		}
		m.Deliveries.Late += t.late
		m.Deliveries.LostOfLatency += lostOf[k]
		b.latency.Merge(t.latency)
		m.Blocks = append(m.Blocks, verdict.Block{Name: t.name, Latency: t.latency, Lost: lostOf[k]})
	}
	m.Deliveries.Latency = b.latency
	counted := map[int]bool{}
	for i, p := range e.posts {
		if p.Broadcast == schedule.NoBroadcast || counted[p.Broadcast] {
			continue
		}
		counted[p.Broadcast] = true
		k := b.of[i]
		m.Broadcasts = append(m.Broadcasts, verdict.Broadcast{
			At: e.dueAt(int32(i)), DeliverWithin: p.DeliverWithin, Recipients: readersOf[k], Late: b.tallies[k].late, Lost: lostOf[k], Latency: b.tallies[k].latency,
		})
	}
}

// mergeWindow adds what came of one window to what came of those before.
func (o *Outcome) mergeWindow(w Outcome) {
	m, n := &o.Measurements, w.Measurements
	d := &m.Deliveries
	d.Expected += n.Deliveries.Expected
	d.Delivered += n.Deliveries.Delivered
	d.Lost += n.Deliveries.Lost
	d.LostOfLatency += n.Deliveries.LostOfLatency
	d.Late += n.Deliveries.Late
	d.Latency.Merge(n.Deliveries.Latency)
	p := &m.Posts
	p.Intended += n.Posts.Intended
	p.Sent += n.Posts.Sent
	p.Acknowledged += n.Posts.Acknowledged
	p.Failed += n.Posts.Failed
	p.Unacknowledged += n.Posts.Unacknowledged
	for _, h := range []struct{ into, from *measure.Histogram }{{p.SendLag, n.Posts.SendLag}, {p.Service, n.Posts.Service}} {
		h.into.Merge(h.from)
	}
	u, v := &o.Use, w.Use
	u.Shards += v.Shards
	u.Stores += v.Stores
	u.Bytes += v.Bytes
	u.Over += v.Over
	u.BusiestShard, u.BusiestStore, u.BusiestNetwork = max(u.BusiestShard, v.BusiestShard), max(u.BusiestStore, v.BusiestStore), max(u.BusiestNetwork, v.BusiestNetwork)
	o.Events += w.Events
}
