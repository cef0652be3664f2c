// Package modeltest is the small scenario that tests of the model, and of what is made of it, play.
package modeltest

import (
	"strings"
	"testing"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/scenario"
)

// small is some thousand sessions on a modelled fleet.
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
  - {metric: timeTo999, bound: 1s}
`

// Cascade, in place of the small scenario's broadcasts, is a falsehood among its subscribers, and a correction after two delays; their phase is to measure
// 2h.
const Cascade = `cascade:
  communities: 2
  coalition: {channels: 20, subscriptions: 6000}
  outside: {channels: 20, subscriptions: 6000}
  sizeExponent: 1.2
  sizeRatio: 20
  onlineByHabit: 0.5
  forwardShare: 0.02
  falseFactor: 1.7
  forewarnedFactor: 0.3
  insideShare: 0.85
  reaction: {median: 5m, sigma: 1.2}
  delays: [1m, 15m]
  seeds: 3`

// Broadcasts are the small scenario's.
const Broadcasts = "broadcasts:\n  - {at: 1s, every: 4s, count: 4}"

// Small reads the scenario with some parts replaced, in pairs of old and new. An old part that it does not have fails the test.
func Small(t testing.TB, replace ...string) *v1alpha1.Scenario {
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
