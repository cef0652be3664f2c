package bus

import (
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/prometheus/client_golang/prometheus"
)

// gauges are read when somebody asks: a Collector of them costs nothing in between.
type gauges struct {
	descs []*prometheus.Desc
	read  func(emit func(i int, value float64, labels ...string))
}

func (g *gauges) add(name, help string, labels ...string) {
	g.descs = append(g.descs, prometheus.NewDesc("chatd_"+name, help, labels, nil))
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range g.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	g.read(func(i int, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(g.descs[i], prometheus.GaugeValue, value, labels...)
	})
}

// Collector measures what a shard's side of the bus holds.
func (s *Shard) Collector() prometheus.Collector {
	g := new(gauges)
	g.add("link_up", "1 while the shard is linked to a store; in one process with it, always.")
	g.add("live_queue_length", "Live events and digests that have come and are not yet taken; 65,536 fit, and what does not is lost and healed later.")
	g.add("owner_asks_waiting", "Requests of this shard that wait for an owner's answer.")
	g.add("followed_logs", "Logs whose live events this shard asks the stores for.")
	g.read = func(emit func(int, float64, ...string)) {
		s.mu.Lock()
		asks, follows := len(s.tries), len(s.follows)
		s.mu.Unlock()
		emit(0, oneIf(s.linked()))
		emit(1, float64(len(s.incoming)))
		emit(2, float64(asks))
		emit(3, float64(follows))
	}
	return g
}

// Collector measures what a store keeps, and the volume that it keeps it on.
func (s *Store) Collector() prometheus.Collector {
	g := new(gauges)
	g.add("stream_bytes", "Bytes that this store keeps, by kind of stream: log, the events; state, the snapshots.", "stream")
	g.add("stream_messages", "Messages that this store keeps, by kind of stream.", "stream")
	g.add("streams", "Streams that this store has a copy of, by kind: a log a partition, and a state for several partitions.", "stream")
	g.add("volume_size_bytes", "Size of the volume that the data directory is on.")
	g.add("volume_free_bytes", "Bytes that are free on it.")
	g.add("store_reads_in_flight", "Reads of streams under way, by lane: loads, for states; fetches, for events. At most 16 each.", "lane")
	g.add("store_ready", "1 while the store keeps up and every partition has an owner that answers.")
	g.add("volume_full", "1 while this store's volume is too full for posts, which are then refused in the whole region.")
	g.add("posts_refused_full", "1 while this store's owners refuse posts, since its own volume or another store's is full.")
	g.read = func(emit func(int, float64, ...string)) {
		for kind, use := range s.streamUse() {
			emit(0, float64(use.bytes), kind)
			emit(1, float64(use.messages), kind)
			emit(2, float64(use.streams), kind)
		}
		if size, free, err := volume(s.cfg.Dir); err == nil {
			emit(3, float64(size))
			emit(4, float64(free))
		}
		emit(5, float64(cap(s.loads.slots)-len(s.loads.slots)), "loads")
		emit(5, float64(cap(s.fetches.slots)-len(s.fetches.slots)), "fetches")
		emit(6, oneIf(s.Ready() == nil))
		emit(7, oneIf(s.room.own.full.Load()))
		emit(8, oneIf(s.room.Full() != ""))
	}
	return g
}

type streamUse struct{ bytes, messages, streams uint64 }

// streamUse is what this store's copies of the streams hold, by kind.
func (s *Store) streamUse() map[string]streamUse {
	use := map[string]streamUse{"log": {}, "state": {}}
	info, err := s.srv.Jsz(&server.JSzOptions{Accounts: true, Streams: true, Limit: 1})
	if err != nil {
		return nil // JetStream is starting, or stopping
	}
	for _, a := range info.AccountDetails {
		for _, stream := range a.Streams {
			kind := "log"
			if strings.HasPrefix(stream.Name, "STATE-") {
				kind = "state"
			}
			u := use[kind]
			u.bytes, u.messages, u.streams = u.bytes+stream.State.Bytes, u.messages+stream.State.Msgs, u.streams+1
			use[kind] = u
		}
	}
	return use
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
