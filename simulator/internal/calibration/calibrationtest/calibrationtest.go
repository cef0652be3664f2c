// Package calibrationtest is the calibration that tests compute with, so that the one that ships can be made anew without changing what they expect.
package calibrationtest

import (
	_ "embed"

	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
)

//go:embed hand.yaml
var hand []byte

// ByHand is a calibration that was put together by hand and held against no run.
func ByHand() calibration.Calibration {
	c, err := calibration.Parse("hand.yaml", hand)
	if err != nil {
		panic(err)
	}
	return c
}
