package forecast

import (
	"fmt"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/model"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
)

// runOf is a play in the form in which runs are judged and reported. Nothing in it is of the machine that played it.
func runOf(c Config, f model.Fleet, o model.Outcome) report.Run {
	s := o.Series
	run := report.Run{
		Scenario: c.Scenario, Measurements: o.Measurements, Duration: o.Lasted, Judged: model.Judged(c.Scenario),
		Fleet: report.Fleet{Where: "modelled", Stores: f.Stores, Shards: f.Shards, Partitions: f.Partitions, Replicas: min(3, f.Stores), Durability: "Fsync"},
		Series: report.Series{
			Wanted: s.Wanted, Established: s.Established, SignedIn: s.SignedIn, SignIns: s.SignIns, Resumed: s.Resumed,
			Offered: s.Offered, Sent: s.Sent, Acknowledged: s.Acknowledged, Delivered: s.Delivered, Heat: s.Heat,
		},
		Simulator: report.Simulator{Version: c.Version},
		Model:     &report.Model{Use: useOf(c, f, o)},
	}
	for _, p := range o.Phases {
		run.Phases = append(run.Phases, report.MakePhase(p.Name, p.From, p.To))
	}
	for _, sh := range o.Shards {
		run.Shards = append(run.Shards, report.Shard{Name: sh.Name, Sessions: sh.Sessions, Latency: sh.Latency, Delivered: sh.Delivered})
	}
	return run
}

const gib = 1 << 30

// useOf is what the fleet has and used, all cells together.
func useOf(c Config, f model.Fleet, o model.Outcome) report.ModelUse {
	cells := float64(f.Cells)
	u := report.ModelUse{
		Cells: f.Cells, Shards: f.Shards * f.Cells, Stores: f.Stores * f.Cells,
		Cores:       cells * (float64(float64(f.Shards)*f.CoresPerShard) + float64(float64(f.Stores)*f.CoresPerStore)),
		MemoryBytes: float64(o.Measurements.Sessions.Wanted) * c.Calibration.SessionBytes(f.TLS),
		// What was played stands for all of the measure phase.
		EgressBytes:  float64(o.Use.Bytes) * cells * float64(c.Scenario.Phases.Measure.Std()) / max(float64(o.Use.Over), 1),
		BusiestShard: o.Use.BusiestShard, BusiestStore: o.Use.BusiestStore, BusiestNetwork: o.Use.BusiestNetwork,
	}
	if f.SharedCores > 0 {
		u.Cores = f.SharedCores
	}
	if posts := o.Measurements.Posts.Acknowledged; posts > 0 {
		u.DeliveriesPer = float64(o.Measurements.Deliveries.Latency.Count()) / float64(posts)
	}
	u.Binding = binding(u)
	if m := c.Scenario.Target.Model; m != nil && m.Prices != nil {
		u.Cost = costOf(*m.Prices, u, c.Scenario.Phases.Measure.Std())
	}
	return u
}

func binding(u report.ModelUse) string {
	most := report.MostUsed(
		report.Used{Name: "the shards’ processors", Share: u.BusiestShard}, report.Used{Name: "the stores’ processors", Share: u.BusiestStore},
		report.Used{Name: "the shards’ network", Share: u.BusiestNetwork},
	)
	return fmt.Sprintf("%s, %.1f %% used", most.Name, 100*most.Share)
}

func costOf(p v1alpha1.Prices, u report.ModelUse, over time.Duration) *report.Cost {
	hours := over.Hours()
	c := &report.Cost{
		Source: p.Source, Cores: float64(u.Cores * p.CoreHour * hours), Memory: float64(u.MemoryBytes / gib * p.GiBHour * hours), Egress: float64(u.EgressBytes / gib * p.EgressGiB),
	}
	c.Total = float64(c.Cores) + float64(c.Memory) + float64(c.Egress)
	return c
}
