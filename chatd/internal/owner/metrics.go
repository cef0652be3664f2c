package owner

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chatfleet/chatfleet/chatd/internal/wire"
)

// Metrics of all owners of a store.
type Metrics struct {
	requests    *prometheus.CounterVec
	takeOvers   prometheus.Histogram
	termsEnded  prometheus.Counter
	voids       prometheus.Counter
	events      prometheus.Counter
	loads       prometheus.Counter
	reads       prometheus.Counter
	checkpoints prometheus.Counter
	snapshots   prometheus.Counter
	dropped     prometheus.Counter
	relays      *prometheus.CounterVec

	purged, purgesFailed prometheus.Counter

	// What is read off the terms when somebody asks.
	mu    sync.Mutex
	terms map[*term]struct{}
}

// NewMetrics makes the owners' metrics and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "chatd", Subsystem: "owner", Name: name, Help: help})
	}
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "chatd", Subsystem: "owner", Name: "requests_total",
			Help: "Requests answered, by kind and outcome: done, repeated, or the code of the error."}, []string{"kind", "outcome"}),
		takeOvers: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "chatd", Subsystem: "owner", Name: "take_over_seconds",
			Help: "From the begin of a take-over until requests are taken.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14)}),
		termsEnded:  counter("terms_ended_total", "Terms ended by an outcome that was not the expected one."),
		voids:       counter("void_events_total", "Messages passed over in take-overs, because they were written out of turn."),
		events:      counter("events_total", "Events acknowledged by the stream."),
		loads:       counter("loads_total", "States loaded from the state stream."),
		reads:       counter("reads_total", "Events read one by one from the log stream, for fetches and late repeats."),
		checkpoints: counter("checkpoints_total", "Checkpoints written."),
		snapshots:   counter("snapshots_total", "Snapshots written."),
		dropped:     counter("requests_dropped_total", "Requests not taken because too many waited; shards repeat them."),
	}
	r.MustRegister(m.requests, m.takeOvers, m.termsEnded, m.voids, m.events, m.loads, m.reads, m.checkpoints, m.snapshots, m.dropped)
	m.relays = prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "chatd", Subsystem: "owner", Name: "relays_total",
		Help: "Requests by which an owner told another one of tallies and bans, by outcome: answered or unanswered."}, []string{"outcome"})
	r.MustRegister(m.relays)
	for _, outcome := range []string{"answered", "unanswered"} {
		m.relays.WithLabelValues(outcome)
	}
	m.purged = counter("purged_events_total", "Events that have gone by retention, counted by the owner.")
	m.purgesFailed = counter("purges_failed_total", "Purges that did not come about, and are tried again a minute later.")
	r.MustRegister(m.purged, m.purgesFailed)
	m.terms = make(map[*term]struct{})
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "chatd", Subsystem: "owner", Name: "oldest_event_seconds",
		Help: "Age of the oldest event that is kept, at the owner that keeps the oldest; 0 where nothing goes by retention."}, func() float64 { return m.of((*term).oldestFor) }))
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "chatd", Subsystem: "owner", Name: "untold",
		Help: "Channels and bans that wait to be told to other partitions, or to be kept there for good, at the owner for whom most do."}, m.mostUntold))
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "chatd", Subsystem: "owner", Name: "untold_seconds",
		Help: "Since when the oldest of them waits."}, m.longestUntold))
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "chatd", Subsystem: "owner", Name: "queue_length",
		Help: "Requests that wait for the owner for whom most do; 4,096 fit, and what does not is dropped and repeated by the shard."}, m.longestQueue))
	return m
}

// watch has a term's queue counted until what it returns is called.
func (m *Metrics) watch(t *term) (forget func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.terms[t] = struct{}{}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.terms, t)
	}
}

// longestQueue is how many requests wait for the owner for whom most do.
func (m *Metrics) longestQueue() (longest float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for t := range m.terms {
		longest = max(longest, float64(len(t.requests)))
	}
	return longest
}

// of is the largest figure of the terms.
func (m *Metrics) of(figure func(*term) float64) (most float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for t := range m.terms {
		most = max(most, figure(t))
	}
	return most
}

func (m *Metrics) mostUntold() float64 {
	return m.of(func(t *term) float64 { return float64(t.untold.Load()) })
}

func (m *Metrics) longestUntold() float64 {
	return m.of(func(t *term) float64 { return time.Duration(t.untoldFor.Load()).Seconds() })
}

func (m *Metrics) takeOver(d time.Duration) { m.takeOvers.Observe(d.Seconds()) }

func (m *Metrics) answered(kind string, r *wire.OwnerReply) {
	outcome := "done"
	if r.Error != nil {
		outcome = r.Error.Code.String()
	} else if r.Repeated {
		outcome = "repeated"
	}
	m.requests.WithLabelValues(kind, outcome).Inc()
}
