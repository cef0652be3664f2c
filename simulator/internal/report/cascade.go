package report

import (
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/cascade"
)

// Cascade is what came of a falsehood and its correction: what follows from the assumptions about people, and, by the model, what that takes of the
// fleet. Intervals are 95 % of a mean over seeds.
type Cascade struct {
	// What people are assumed to do and what it comes to. None of it was measured, and no time in it is a fleet's.
	Study cascade.Result `json:"study"`
	// In the order of the study's cells.
	Cases []CascadeCase `json:"cases"`
	// The 99.9th percentile of the fleet's deliveries, over all cases: what every delivery took where people acted once more.
	DeliveryMs cascade.Interval `json:"deliveryMs"`
}

// CascadeCase is an arm and a delay as the fleet has it, by the model.
type CascadeCase struct {
	Arm     cascade.Arm   `json:"arm"`
	DelayNs time.Duration `json:"delayNs"`
	// The most deliveries within a second.
	BusiestSecond cascade.Interval `json:"busiestSecond"`
	// From a post to a session that is online, of all posts.
	DeliveryP50Ms  cascade.Interval `json:"deliveryP50Ms"`
	DeliveryP999Ms cascade.Interval `json:"deliveryP999Ms"`
	// Until so many of those who are online had the hub's correction, in whatever channel; absent where there is no hub.
	HubTo50Ms   *cascade.Interval `json:"hubTo50Ms,omitempty"`
	HubTo999Ms  *cascade.Interval `json:"hubTo999Ms,omitempty"`
	HubToLastMs *cascade.Interval `json:"hubToLastMs,omitempty"`
	// What becomes of the study's shares when every delivery takes DeliveryMs, seed by seed.
	WithDelivery cascade.Change `json:"withDelivery"`
}
