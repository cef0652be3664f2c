package model

import (
	"testing"

	"github.com/chatfleet/chatfleet/simulator/internal/calibration/calibrationtest"
	"github.com/chatfleet/chatfleet/simulator/internal/scenario"
)

// One play of 2.5 million sessions and a broadcast to them, and one of a month; in brief, as most plays of a forecast are.
func BenchmarkPlay(b *testing.B) {
	for _, name := range []string{"broadcast-2.5m", "trillion-month"} {
		for label, brief := range map[string]bool{"whole": false, "brief": true} {
			b.Run(name+"/"+label, func(b *testing.B) {
				s, err := scenario.Load("../../../scenarios/" + name + ".yaml")
				if err != nil {
					b.Fatal(err)
				}
				c := calibrationtest.ByHand()
				f, _ := FleetOf(s, c)
				b.ReportAllocs()
				var deliveries, events int64
				for b.Loop() {
					out, err := Play(Input{Scenario: s, Fleet: f, Calibration: c, Seed: s.Seed, Brief: brief})
					if err != nil {
						b.Fatal(err)
					}
					deliveries, events = out.Measurements.Deliveries.Delivered, out.Events
				}
				b.ReportMetric(float64(events), "events/op")
				b.ReportMetric(float64(deliveries), "deliveries/op")
			})
		}
	}
}
