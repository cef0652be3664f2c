package model

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
)

// What a play does with each field of a scenario: it plays it, it says that it does not (Unmodelled, which its own test has), or the field is of runs,
// files and machines alone. A field that is in none of these fails here, so that nobody adds one that is left out in silence.
const (
	played = `seed engine name
		target.local.stores target.local.shards target.local.partitions
		target.model.shards target.model.stores target.model.partitions target.model.coresPerShard target.model.coresPerStore target.model.sharedCores
		target.model.networkPerSecond target.model.tls target.model.podReplacement target.model.cells target.model.zones
		target.model.prices.source target.model.prices.coreHour target.model.prices.gibHour target.model.prices.egressGiB
		population.subscribers population.devicesPerUser population.channels population.attachPerSession population.onlineShare
		population.places.name population.places.share population.places.roundTrip population.places.roundTripP99
		phases.connect.ratePerSecond phases.connect.duration phases.warmup phases.measure phases.settle phases.windows.every phases.windows.for
		chatter.arrivals chatter.ratePerSecond chatter.for chatter.messageBytes chatter.deliverWithin chatter.shape.hours chatter.shape.days
		cascade.communities cascade.coalition.channels cascade.coalition.subscriptions cascade.outside.channels cascade.outside.subscriptions
		cascade.sizeExponent cascade.sizeRatio cascade.onlineByHabit cascade.forwardShare cascade.falseFactor cascade.forewarnedFactor cascade.insideShare
		cascade.reaction.median cascade.reaction.sigma cascade.delays cascade.seeds cascade.messageBytes cascade.deliverWithin
		broadcasts.at broadcasts.every broadcasts.count broadcasts.messageBytes broadcasts.deliverWithin
		faults.name faults.at faults.every faults.count faults.action faults.target faults.share faults.for faults.restartAfter faults.delay faults.jitter
		thresholds.metric thresholds.aggregation thresholds.fault thresholds.bound thresholds.minSamples thresholds.confidence`
	named = `target.local.replicas target.local.durability population.jsonShare
		population.slowReaders.share population.slowReaders.readBytesPerSecond population.slowReaders.alternate faults.step growth.from growth.to`
	ofRuns = `apiVersion kind description workers.count workers.sourceAddresses outputs`
)

func TestEveryFieldIsPlayedOrNamed(t *testing.T) {
	known := strings.Fields(played + " " + named + " " + ofRuns)
	fields := fieldsOf(reflect.TypeFor[v1alpha1.Scenario](), "")
	for _, f := range fields {
		if !slices.Contains(known, f) {
			t.Errorf("%s: play it, or name it in Unmodelled", f)
		}
	}
	for _, f := range known {
		if !slices.Contains(fields, f) {
			t.Errorf("there is no %s", f)
		}
	}
}

// fieldsOf are the paths of all fields that hold a value.
func fieldsOf(t reflect.Type, path string) (out []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[v1alpha1.Bound]() {
		return []string{path}
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "" && f.Anonymous:
			out = append(out, fieldsOf(f.Type, path)...)
		case path == "":
			out = append(out, fieldsOf(f.Type, name)...)
		default:
			out = append(out, fieldsOf(f.Type, path+"."+name)...)
		}
	}
	return out
}
