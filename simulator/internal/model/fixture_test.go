package model

import (
	"testing"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration/calibrationtest"
)

func inputOf(t testing.TB, s *v1alpha1.Scenario) Input {
	t.Helper()
	c := calibrationtest.ByHand()
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
