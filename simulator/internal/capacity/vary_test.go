package capacity

import (
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/scenario"
)

// Every scenario that can be played live still is one with another load, and nothing but the load and what follows from it has changed.
func TestEveryScenarioCanBeVaried(t *testing.T) {
	files, err := filepath.Glob("../../../scenarios/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		s, err := scenario.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		if s.Engine == v1alpha1.ModelEngine {
			continue
		}
		for _, d := range Dimensions() {
			own, err := d.Of(s)
			if err != nil {
				if d != Rate || s.Chatter != nil {
					t.Errorf("%s: %v", file, err)
				}
				continue
			}
			for _, factor := range []float64{0.5, 1, 2} {
				load := math.Ceil(own * factor)
				with, err := d.With(s, load, 0)
				if err != nil {
					t.Errorf("%s: %v", file, err)
					continue
				}
				if got, _ := d.Of(with); got != load {
					t.Errorf("%s: %g %s, want %g", file, got, d.Unit(), load)
				}
				if got, _ := d.Of(s); got != own {
					t.Fatalf("%s: the scenario itself was changed, from %g to %g", file, own, got)
				}
				if len(with.Thresholds) != len(s.Thresholds) || len(with.Faults) != len(s.Faults) || with.Phases.Measure != s.Phases.Measure || with.Name != s.Name || with.Seed != s.Seed {
					t.Errorf("%s: more than the load has changed", file)
				}
				for i := range with.Thresholds {
					if before, now := s.Thresholds[i].MinSamples, with.Thresholds[i].MinSamples; now > before || load >= own && now != before || now < 1 {
						t.Errorf("%s: %s demands %d samples, and %d with a load of %g in place of %g", file, s.Thresholds[i].Metric, before, now, load, own)
					}
				}
			}
		}
	}
}

// More subscribers come at the same pace, so that it is not that which is varied.
func TestSubscribersComeAtTheScenariosPace(t *testing.T) {
	s := shipped(t, "capacity")
	with, err := Subscribers.With(s, 20_000, 0)
	if err != nil {
		t.Fatal(err)
	}
	if over := with.Phases.Connect.ConnectsOver(with.Population.Sessions()); over != 32*time.Second {
		t.Errorf("20,000 come over %s, and 5,000 over %s", over, s.Phases.Connect.Duration)
	}
	if got := DeliveriesPerSecond(with) / DeliveriesPerSecond(s); math.Abs(got-4) > 0.01 {
		t.Errorf("%.2f times the deliveries", got)
	}
}

// A load that is held is the same load for longer: broadcasts go on, and what is left after the last one stays.
func TestHoldIsTheSameForLonger(t *testing.T) {
	s := shipped(t, "broadcast-20k")
	moments := s.Broadcasts[0].Moments()
	rest := s.Phases.Measure.Std() - moments[len(moments)-1]
	hold := s.Phases.Measure.Std() + 3*s.Broadcasts[0].Every.Std()
	with, err := Subscribers.With(s, float64(s.Population.Subscribers), hold)
	if err != nil {
		t.Fatal(err)
	}
	longer := with.Broadcasts[0].Moments()
	if len(longer) != len(moments)+3 || with.Phases.Measure.Std()-longer[len(longer)-1] != rest {
		t.Errorf("%d broadcasts, %s left after the last; want %d, %s", len(longer), with.Phases.Measure.Std()-longer[len(longer)-1], len(moments)+3, rest)
	}
}

func TestWhatCannotBeSearched(t *testing.T) {
	quiet := shipped(t, "broadcast-20k")
	quiet.Chatter = nil
	for _, tt := range []struct {
		name   string
		change func(c *Config)
		says   string
	}{
		{"no chatter", func(c *Config) { c.Scenario = quiet }, "has no chatter"},
		{"no such dimension", func(c *Config) { c.Vary = "colour" }, "cannot be varied"},
		{"a shorter hold", func(c *Config) { c.Hold = time.Second }, "not held for longer by 1s"},
		{"no repeats", func(c *Config) { c.Repeats = 0 }, "0 repeats"},
		{"half a subscriber", func(c *Config) { c.Vary, c.From = Subscribers, 10.5 }, "whole numbers"},
		{"more than a scenario may have", func(c *Config) { c.To = 1e6 }, "with 1e+06 posts a second: chatter.ratePerSecond"},
		{"less than it begins with", func(c *Config) { c.From, c.To = 100, 50 }, "not from"},
		{"no tolerance", func(c *Config) { c.Tolerance = 0.001 }, "tolerance"},
	} {
		c := (&fake{}).config(shipped(t, "capacity"))
		tt.change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.says)
		}
	}
}
