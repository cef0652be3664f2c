package scenario

import (
	"slices"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
)

const (
	defaultSettle        = 5 * time.Second
	defaultMessageBytes  = 200
	defaultDeliverWithin = time.Second
	defaultPartitions    = 16
	defaultStores        = 3
	defaultCores         = 2
	defaultNetwork       = 1_250_000_000
	defaultSpread        = 3
	defaultCascadeSeeds  = 20
)

// alwaysZero must be 0 in every run, unless a scenario gives them another bound: a run that lost something, or that fewer
// sessions took part in, shows nothing by its latency.
var alwaysZero = []string{"lost", "duplicate", "unordered", "missingAcknowledged", "missingSessions"}

// fillDefaults writes the defaults into a scenario that is valid.
func fillDefaults(s *v1alpha1.Scenario) {
	if l := s.Target.Local; l != nil {
		setDefault(&l.Partitions, defaultPartitions)
		setDefault(&l.Replicas, min(3, l.Stores))
		setDefault(&l.Durability, "Fsync")
	}
	if m := s.Target.Model; m != nil {
		setDefault(&m.Partitions, defaultPartitions)
		setDefault(&m.Stores, defaultStores)
		setDefault(&m.CoresPerShard, defaultCores)
		setDefault(&m.CoresPerStore, defaultCores)
		setDefault(&m.NetworkPerSecond, defaultNetwork)
		setDefault(&m.Cells, 1)
		setDefault(&m.Zones, 1)
	}
	setDefault(&s.Population.DevicesPerUser, 1)
	for i := range s.Population.Places {
		p := &s.Population.Places[i]
		setDefault(&p.RoundTripP99, defaultSpread*p.RoundTrip)
	}
	setDefault(&s.Phases.Settle, new(v1alpha1.Duration(defaultSettle)))
	if c := s.Chatter; c != nil {
		setDefault(&c.Arrivals, v1alpha1.Poisson)
		setDefault(&c.MessageBytes, defaultMessageBytes)
	}
	for i := range s.Broadcasts {
		b := &s.Broadcasts[i]
		setDefault(&b.Count, 1)
		setDefault(&b.MessageBytes, defaultMessageBytes)
		setDefault(&b.DeliverWithin, v1alpha1.Duration(defaultDeliverWithin))
	}
	if c := s.Cascade; c != nil {
		setDefault(&c.Seeds, defaultCascadeSeeds)
		setDefault(&c.MessageBytes, defaultMessageBytes)
		setDefault(&c.DeliverWithin, v1alpha1.Duration(defaultDeliverWithin))
	}
	for i := range s.Faults {
		f := &s.Faults[i]
		setDefault(&f.Count, 1)
		setDefault(&f.Name, f.Title())
	}
	fillThresholds(s)
	if s.Outputs == nil {
		s.Outputs = []v1alpha1.Output{v1alpha1.HTML, v1alpha1.JUnit, v1alpha1.HLog}
	}
}

func fillThresholds(s *v1alpha1.Scenario) {
	var implied []v1alpha1.Threshold
	for _, metric := range alwaysZero {
		given := slices.ContainsFunc(s.Thresholds, func(t v1alpha1.Threshold) bool { return t.Metric == metric })
		if !given {
			implied = append(implied, v1alpha1.Threshold{Metric: metric, Bound: v1alpha1.NumberBound(0)})
		}
	}
	s.Thresholds = append(implied, s.Thresholds...)
	for i := range s.Thresholds {
		setDefault(&s.Thresholds[i].MinSamples, 1)
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
