package model

import (
	"strings"
	"testing"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/scenario"
)

// small is a scenario of some thousand sessions on a modelled fleet.
const small = `apiVersion: chatfleet.io/v1alpha1
kind: Scenario
name: small
engine: model
seed: 5
target:
  model: {shards: 4, coresPerShard: 2}
population:
  subscribers: 4000
phases:
  connect: {duration: 5s}
  measure: 20s
broadcasts:
  - {at: 1s, every: 4s, count: 4}
thresholds:
  - {metric: delivery, bound: 1s}
`

// read reads a scenario that is small, with some parts replaced.
func read(t testing.TB, replace ...string) *v1alpha1.Scenario {
	t.Helper()
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(small, replace[i]) {
			t.Fatalf("the small scenario has no %q", replace[i])
		}
	}
	s, err := scenario.Read("small", strings.NewReader(strings.NewReplacer(replace...).Replace(small)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func inputOf(t testing.TB, s *v1alpha1.Scenario) Input {
	t.Helper()
	c := calibration.Default()
	f, ok := FleetOf(s, c)
	if !ok {
		t.Fatal("no fleet")
	}
	return Input{Scenario: s, Fleet: f, Calibration: c, Seed: s.Seed}
}

func play(t testing.TB, in Input) Outcome {
	t.Helper()
	out, err := Play(in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// certain has all that is drawn come out at its median, or at nothing.
func certain(c calibration.Calibration) calibration.Calibration {
	spread := c.Get(calibration.AcknowledgeSpread)
	return c.Moved(calibration.AcknowledgeSpread, (1-spread.Value)/spread.StandardError)
}
