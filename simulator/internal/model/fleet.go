package model

import (
	"math"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/des"
)

// Fleet is what is played: pods, and what they have.
type Fleet struct {
	Shards, Stores, Partitions int
	// Failure domains; pod N is in the one of number N modulo theirs.
	Zones int
	// Of each shard and store, and of the one machine that all share; the latter is 0 if nothing is shared.
	CoresPerShard, CoresPerStore, SharedCores float64
	// Threads of the generator that read what sessions get; counts where cores are shared.
	Readers int
	// Bytes a second of each pod; 0: no bound.
	Network int64
	TLS     bool
	// Until a pod that is gone is replaced.
	PodReplacement time.Duration
	// So many fleets like this one.
	Cells int
}

// FleetOf returns the fleet that a scenario is to be played with: the one for the model, else the local one on the calibration's machine.
// ok is false if the scenario names neither.
func FleetOf(s *v1alpha1.Scenario, c calibration.Calibration) (f Fleet, ok bool) {
	replaced := milliseconds(c.Get(calibration.PodReplacement))
	if m := s.Target.Model; m != nil {
		if m.PodReplacement > 0 {
			replaced = m.PodReplacement.Std()
		}
		f = Fleet{
			Shards: m.Shards, Stores: m.Stores, Partitions: m.Partitions, Zones: max(m.Zones, 1), Cells: max(m.Cells, 1),
			CoresPerShard: m.CoresPerShard, CoresPerStore: m.CoresPerStore, SharedCores: m.SharedCores,
			Network: int64(m.NetworkPerSecond), TLS: m.TLS, PodReplacement: replaced,
		}
		if f.SharedCores > 0 {
			f.Network, f.Readers = 0, readersOf(s)
		}
		return f, true
	}
	if l := s.Target.Local; l != nil {
		cores := c.Machine.Cores
		return Fleet{
			Shards: l.Shards, Stores: l.Stores, Partitions: l.Partitions, Zones: 1, Cells: 1, CoresPerShard: cores, CoresPerStore: cores, SharedCores: cores,
			Readers: readersOf(s),
		}, true
	}
	return Fleet{}, false
}

// costs are the coefficients in the form in which the engine computes.
type costs struct {
	write, along, signIn, postShard, postStore, publish time.Duration
	// Of the generator; 0 where cores are not shared.
	receive     time.Duration
	receiveByte float64
	// What waking up waits for each thread in line, and what a shard takes to begin with an event.
	wake, begin time.Duration
	// Nanoseconds a byte beyond those of the posts that were measured.
	perByte float64
	// What a session's pings take of a shard, and of the generator where cores are shared; and what they take besides of one who has no other work, and is
	// woken for each.
	ping, pingRead, rouse, rouseRead session
	// What each process takes of shared cores for being there. Cores.
	idleShard, idleReader, idleStore, idlePoster float64
	// How much dearer each thread in line makes everything.
	switches   float64
	postAuthor time.Duration

	hop, takeOver, silence, link, replacement, starts time.Duration
	quorum                                            logNormal
	frame                                             int64
}

// PingEvery is how often a session pings (simulator/internal/swarm, and the client library).
const PingEvery = 20 * time.Second

// measuredBytes is the size of the posts that a write was measured with.
const measuredBytes = 200

func costsOf(f Fleet, c calibration.Calibration) costs {
	us := func(name calibration.Name) time.Duration { return time.Duration(1000 * c.Get(name).Value) }
	k := costs{
		write: us(calibration.Write), along: us(calibration.Along), signIn: us(calibration.SignIn),
		postShard: us(calibration.PostShard), postStore: us(calibration.PostStore), publish: us(calibration.Copy),
		perByte: c.Get(calibration.Byte).Value,
		begin:   milliseconds(c.Get(calibration.Begin)),
		hop:     milliseconds(c.Get(calibration.Hop)), takeOver: milliseconds(c.Get(calibration.TakeOver)),
		silence: milliseconds(c.Get(calibration.Silence)), link: milliseconds(c.Get(calibration.Link)),
		starts: milliseconds(c.Get(calibration.ProcessStart)), replacement: f.PodReplacement,
		frame: int64(c.Get(calibration.Frame).Value),
	}
	if f.TLS {
		k.write = time.Duration(float64(k.write) * c.Get(calibration.TLS).Value)
	}
	pings := 1e-6 / PingEvery.Seconds()
	k.ping = session(pings * c.Get(calibration.Ping).Value)
	if f.SharedCores > 0 {
		k.pingRead = session(pings * c.Get(calibration.PingRead).Value)
		k.rouse, k.rouseRead = session(pings*c.Get(calibration.Rouse).Value), session(pings*c.Get(calibration.RouseRead).Value)
		k.receive = us(calibration.Receive)
		k.receiveByte = c.Get(calibration.ReceiveByte).Value
		k.signIn += us(calibration.Dial)
		one := func(name calibration.Name) float64 { return c.Get(name).Value }
		k.switches = one(calibration.Switch)
		k.idleShard, k.idleReader, k.idleStore, k.idlePoster = one(calibration.ShardIdle), one(calibration.ReaderIdle), one(calibration.StoreIdle), one(calibration.PosterIdle)
		k.postAuthor = us(calibration.PostAuthor)
		k.wake = milliseconds(c.Get(calibration.Wake))
	}
	// The calibration has the whole way of a post; the parts that are played by themselves are no part of the draw.
	median := milliseconds(c.Get(calibration.Acknowledge)) - 2*k.hop - k.postShard - k.postStore
	k.quorum = newLogNormal(max(median, 100*time.Microsecond), c.Get(calibration.AcknowledgeSpread).Value)
	return k
}

func milliseconds(c calibration.Coefficient) time.Duration {
	return time.Duration(c.Value * float64(time.Millisecond))
}

// logNormal is a distribution of times.
type logNormal struct {
	median time.Duration
	sigma  float64
}

// z99 is the 99th percentile of the standard normal distribution.
const z99 = 2.3263478740408408

// newLogNormal has a median, and a 99th percentile of so many medians.
func newLogNormal(median time.Duration, spread float64) logNormal {
	return logNormal{median, des.Ln(max(spread, 1)) / z99}
}

func (l logNormal) at(z float64) time.Duration {
	return time.Duration(float64(l.median) * des.Exp(float64(l.sigma*z)))
}

// places draws how long the network takes from a shard to a session.
type places struct {
	// The places' shares, summed up to 2^32.
	upTo []uint64
	ways []ways
}

// ways is the distribution of one way, by quantiles: drawing is a look into a table, the last cell of which has a table of its own, since of millions
// of deliveries it is the tail that is the last.
type ways struct{ most, tail [cells]time.Duration }

const cells = 1 << 12

func placesOf(s *v1alpha1.Scenario) places {
	var p places
	sum := 0.0
	for _, place := range s.Population.Places {
		sum += place.Share
		p.upTo = append(p.upTo, uint64(math.Round(float64(sum*(1<<32)))))
		one := newLogNormal(place.RoundTrip.Std()/2, float64(place.RoundTripP99)/float64(place.RoundTrip))
		var w ways
		for i := range cells {
			at := float64((float64(i) + 0.5) / cells)
			w.most[i] = one.at(des.NormalQuantile(at))
			w.tail[i] = one.at(-des.NormalQuantile((1 - at) / cells)) // the upper end, by its mirror image
		}
		p.ways = append(p.ways, w)
	}
	return p
}

// draw is one way of one delivery.
func (p *places) draw(bits uint64) time.Duration {
	if len(p.ways) == 0 {
		return 0
	}
	k := 0
	for k < len(p.ways)-1 && bits>>32 >= p.upTo[k] {
		k++
	}
	i := bits & (cells - 1)
	if i < cells-1 {
		return p.ways[k].most[i]
	}
	return p.ways[k].tail[bits>>12&(cells-1)]
}
