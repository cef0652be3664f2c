package scenario

import (
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/chatfleet/chatfleet/simulator/internal/cascade"
)

// Each case changes the smallest scenario in one way and says what must be in the error: where, which field, what to do.
func TestWhatIsWrongIsSaid(t *testing.T) {
	tests := []struct {
		name     string
		old, new string // "" as old appends
		want     string
	}{
		// Structure.
		{"another version", "v1alpha1", "v2", `1:13: apiVersion: "chatfleet.io/v2" is not one of chatfleet.io/v1alpha1`},
		{"another kind", "kind: Scenario", "kind: Scenrio", `did you mean Scenario?`},
		{"a name that is no name", "name: small", "name: Not Small", `3:7: name: "Not Small" does not have the form`},
		{"a number for a name", "name: small", "name: 12", `name: want text, found 12; put it in quotes`},
		{"no name", "name: small\n", "", `name: it is missing`},
		{"an unknown key with no neighbour", "name: small", "name: small\nmotor: live", `4:1: motor: unknown key; known are apiVersion,`},
		{"a key twice", "name: small", "name: small\nname: large", `4:1: mapping key "name" already defined`},
		{"a text for a number", "subscribers: 10", "subscribers: many", `5:16: population.subscribers: want a number, found the text "many"`},
		{"a fraction for a whole number", "subscribers: 10", "subscribers: 10.5", `10.5 is not a whole decimal number`},
		{"too few", "subscribers: 10", "subscribers: 0", `0 is too small; it must be at least 1`},
		{"too many", "subscribers: 10", "subscribers: 99999999", `at most 10000000`},
		{"not above", "ratePerSecond: 5", "ratePerSecond: 0", `it must be above 0`},
		{"a negative seed", "name: small", "name: small\nseed: -1", `seed: -1 is not a whole decimal number of at least 0`},
		{"an infinite rate", "ratePerSecond: 5", "ratePerSecond: .inf", `want a number, found .inf`},
		{"a duration without its unit", "at: 1s", "at: 1", `11:9: broadcasts[0].at: "1" is not a duration`},
		{"a negative duration", "at: 1s", "at: -1s", `"-1s" is not a duration`},
		{"a list for a mapping", "  subscribers: 10", "  - 10", `want keys and values, found a list`},
		{"a mapping for a list", "  - at: 1s", "  at: 1s", `broadcasts: want a list, found keys and values`},
		{"an empty list", "  - metric: delivery\n    bound: 1s\n", "  []\n", `thresholds: the list is empty; it needs at least 1`},
		{"nothing for something", "subscribers: 10", "subscribers:", `it is empty; give it a value or remove it`},
		{"an anchor", "subscribers: 10", "subscribers: &n 10", `anchors, aliases and tags are not allowed`},
		{"a tag", "subscribers: 10", "subscribers: !!int 10", `anchors, aliases and tags are not allowed`},
		{"a merge key", "  subscribers: 10", "  <<: {subscribers: 10}", `anchors, aliases and tags are not allowed`},
		{"an output twice", "", "outputs: [html, html]\n", `outputs[1]: "html" is given twice`},
		{"an unknown output", "", "outputs: [pdf]\n", `outputs[0]: "pdf" is not one of html, junit, hlog`},

		// What fields may not say together.
		{"a target of nothing", "", "target: {}\n", `target: it says nothing`},
		{"copies without stores", "", "target: {local: {stores: 1, shards: 1, replicas: 3}}\n", `target.local.replicas: 3 copies do not fit in 1 stores`},
		{"two stores", "", "target: {local: {stores: 2, shards: 1}}\n", `2 is not one of 1, 3, 5`},
		{"more channels read than there are", "subscribers: 10", "subscribers: 10\n  attachPerSession: 3", `a session cannot read 3 of 0 channels`},
		{"too many sessions", "subscribers: 10", "subscribers: 9000000\n  devicesPerUser: 16", `144000000 sessions; at most 10000000`},
		{"slow readers that are none", "subscribers: 10", "subscribers: 10\n  slowReaders: {share: 0.05}", `population.slowReaders.share: 0.05 of 10 sessions is none`},
		{"slow readers without a share", "subscribers: 10", "subscribers: 10\n  slowReaders: {readBytesPerSecond: 100}", `population.slowReaders.share: it is missing`},
		{"slow readers that are too slow", "subscribers: 10", "subscribers: 10\n  slowReaders: {share: 0.5, readBytesPerSecond: 3}", `3 is too few`},
		{"two speeds", "ratePerSecond: 5", "ratePerSecond: 5\n    duration: 1s", `contradict each other`},
		{"no speed", "    ratePerSecond: 5", "    duration: 0s", `say how fast sessions connect`},
		{"an endless connect", "ratePerSecond: 5", "ratePerSecond: 0.0000000000000000001", `takes longer than 24h`},
		{"no measuring", "measure: 10s", "measure: 0s", `phases.measure: it must be above 0s`},
		{"a phase of days", "measure: 10s", "measure: 100h", `100h0m0s is too long`},
		{"nothing to measure", "broadcasts:\n  - at: 1s\n", "", `nothing is posted`},
		{"chatter nowhere", "", "chatter: {ratePerSecond: 5}\n", `chatter: there is no channel for it`},
		{"chatter beyond the end", "  subscribers: 10\n", "  subscribers: 10\n  channels: 2\n  attachPerSession: 1\nchatter: {ratePerSecond: 5, for: 1h}\n", `chatter.for: 1h0m0s is longer than warm-up and measure phase together`},
		{"chatter for nobody", "broadcasts:\n  - at: 1s\n", "chatter: {ratePerSecond: 0.05}\n", `there is no channel`},
		{"chatter that nobody reads", "  subscribers: 10\nphases:\n  connect:\n    ratePerSecond: 5\n  measure: 10s\nbroadcasts:\n  - at: 1s\n",
			"  subscribers: 10\n  channels: 2\nphases:\n  connect:\n    ratePerSecond: 5\n  measure: 10s\nchatter: {ratePerSecond: 5}\n", `nobody reads what is posted`},
		{"too many posts", "subscribers: 10\nphases:", "subscribers: 10\n  channels: 1\nchatter: {ratePerSecond: 90000}\nphases:\n  warmup: 24h", `a run keeps account of at most`},
		{"a post too small", "at: 1s", "at: 1s\n    messageBytes: 8", `8B is out of range; a simulated post has 32 to 65536 bytes`},
		{"a size that is none", "at: 1s", "at: 1s\n    messageBytes: 1 kilo", `"1 kilo" is not a size`},
		{"no time to deliver", "at: 1s", "at: 1s\n    deliverWithin: 0s", `nothing is delivered within 0s`},
		{"settling too short", "at: 1s", "at: 1s\n    deliverWithin: 6s", `raise phases.settle to at least 6s`},
		{"a broadcast after the measuring", "at: 1s", "at: 10s", `11:5: broadcasts[0]: the last one is at 10s, after the measure phase of 10s`},
		{"the last after the measuring", "at: 1s", "at: 1s\n    every: 3s\n    count: 4", `the last one is at 10s`},
		{"count without every", "at: 1s", "at: 1s\n    count: 3", `broadcasts[0].count: 3 times need every`},
		{"every without count", "at: 1s", "at: 1s\n    every: 3s", `broadcasts[0].every: it needs count`},
		{"a schedule that overflows", "at: 1s", "at: 1s\n    every: 2000000h\n    count: 9999", `after the measure phase`},

		{"more broadcasts than have figures", "measure: 10s\nbroadcasts:\n  - at: 1s", "measure: 5000s\nbroadcasts:\n  - at: 1s\n    every: 1s\n    count: 4095", `broadcasts[0].count: with it there are 4095 broadcasts or more, each with figures of its own, and a run keeps those of 4094`},
		{"so many in two entries", "measure: 10s\nbroadcasts:\n  - at: 1s", "measure: 5000s\nbroadcasts:\n  - at: 1s\n    every: 1s\n    count: 4094\n  - at: 2s", `14:5: broadcasts[1].count: with it there are 4095 broadcasts`},
		{"so many beside slices of the chatter", "measure: 10s\nbroadcasts:\n  - at: 1s\nthresholds:\n  - metric: delivery\n    bound: 1s",
			"measure: 5000s\nbroadcasts:\n  - at: 1s\n    every: 1s\n    count: 4090\nthresholds:\n  - metric: delivery\n    bound: 1s\n    confidence: 0.95", `and a run keeps those of 4064`},

		// Faults.
		{"a stop without an end", "", "faults: [{action: stop, target: shard}]\n", `stop needs for`},
		{"a kill with an end", "", "faults: [{action: kill, target: shard, for: 1s}]\n", `faults[0].for: it belongs to stop, delay and clock, not to kill`},
		{"a restart twice", "", "faults: [{action: restart, target: shard, restartAfter: 1s}]\n", `it belongs to kill, not to restart`},
		{"all dead for good", "", "faults: [{action: kill, target: all-stores}]\n", `without restartAfter no store ever comes back`},
		{"killed again while dead", "", "faults: [{action: kill, target: shard, every: 1s, count: 3}]\n", `killed 3 times, it needs restartAfter`},
		{"struck again too soon", "", "faults: [{action: kill, target: shard, restartAfter: 2s, every: 2s, count: 3}]\n", `faults[0].every: the next one comes before`},
		{"over too late", "", "faults: [{action: kill, target: shard, restartAfter: 2s, at: 9s}]\n", `over at 11s, after the measure phase`},
		{"one name for two", "", "faults: [{action: kill, target: shard}, {action: kill, target: shard, at: 1s}]\n", `the same name, "kill shard", as faults[0]`},
		{"an unknown target", "", "faults: [{action: kill, target: store-leader}]\n", `faults[0].target: "store-leader" does not have the form`},
		{"a store that is not there", "", "target: {local: {stores: 3, shards: 1}}\nfaults: [{action: kill, target: store-3}]\n", `there is no store-3; target.local has store-0 to store-2`},

		{"a cut of a process", "", "faults: [{action: cut, target: shard, share: 1}]\n", `faults[0].target: cut is done to sessions, not to shard`},
		{"sessions that are killed", "", "faults: [{action: kill, target: sessions}]\n", `sessions can only be cut or delayed`},
		{"a cut of nobody", "", "faults: [{action: cut, target: sessions}]\n", `cut needs share`},
		{"a cut of more than all", "", "faults: [{action: cut, target: sessions, share: 1.5}]\n", `faults[0].share: 1.5 is too large; it must be at most 1`},
		{"a share of a process", "", "faults: [{action: kill, target: shard, share: 0.5}]\n", `faults[0].share: it belongs to cut and delay, not to kill`},
		{"a clock by nothing", "", "faults: [{action: clock, target: shard}]\n", `clock needs step`},
		{"a clock by no time", "", "faults: [{action: clock, target: shard, step: 0s}]\n", `clock needs step`},
		{"a clock by half a second", "", "faults: [{action: clock, target: shard, step: 1500ms}]\n", `faults[0].step: 1.5s is not whole seconds`},
		{"a clock by a day", "", "faults: [{action: clock, target: shard, step: -24h}]\n", `faults[0].step: -24h0m0s is too far; at most 12h0m0s`},
		{"a clock by a number", "", "faults: [{action: clock, target: shard, step: 3600}]\n", `"3600" is not a step`},
		{"a clock of sessions", "", "faults: [{action: clock, target: sessions, step: 1h}]\n", `sessions can only be cut or delayed`},
		{"a clock right too late", "", "faults: [{action: clock, target: shard, step: 1h, at: 5s, for: 6s}]\n", `over at 11s, after the measure phase`},
		{"a step of a kill", "", "faults: [{action: kill, target: shard, step: 1h}]\n", `faults[0].step: it belongs to clock, not to kill`},
		{"a delay of a process", "", "faults: [{action: delay, target: shard, share: 0.5, delay: 1s, for: 2s}]\n", `15:34: faults[0].target: delay is done to sessions, not to shard`},
		{"a delay of nobody", "", "faults: [{action: delay, target: sessions, delay: 1s, for: 2s}]\n", `delay needs share`},
		{"a delay of no session", "", "faults: [{action: delay, target: sessions, share: 0.05, delay: 1s, for: 2s}]\n", `faults[0].share: 0.05 of 10 sessions is none`},
		{"a delay by nothing", "", "faults: [{action: delay, target: sessions, share: 0.5, jitter: 1s, for: 2s}]\n", `delay needs delay: how much longer`},
		{"a delay for no time", "", "faults: [{action: delay, target: sessions, share: 0.5, delay: 1s}]\n", `delay needs for`},
		{"a delay too long", "", "faults: [{action: delay, target: sessions, share: 0.5, delay: 3s, jitter: 2s, for: 2s}]\n", `faults[0].delay: 5s, with its jitter, is too long`},
		{"a delay that ends too late", "", "faults: [{action: delay, target: sessions, share: 0.5, delay: 1s, at: 5s, for: 6s}]\n", `over at 11s, after the measure phase`},
		{"a delay in a delay", "", "faults: [{action: delay, target: sessions, share: 0.5, delay: 1s, for: 2s, every: 2s, count: 2}]\n", `faults[0].every: the next one comes before`},
		{"delays of different sessions", "", "faults: [{action: delay, target: sessions, share: 0.5, delay: 1s, for: 2s}, {name: b, action: delay, target: sessions, share: 0.2, delay: 1s, at: 5s, for: 2s}]\n",
			`faults[1].share: all delays are of the same sessions; give it the share of faults[0], 0.5`},
		{"a delayed cut", "", "faults: [{action: cut, target: sessions, share: 0.5, delay: 1s}]\n", `faults[0].delay: it belongs to delay, not to cut`},
		{"a jittery cut", "", "faults: [{action: cut, target: sessions, share: 0.5, jitter: 1s}]\n", `faults[0].jitter: it belongs to delay, not to cut`},
		{"a delay that must not be seen", "", "  - {metric: delayedDelivery, bound: 1s}\nfaults: [{action: delay, target: sessions, share: 0.5, delay: 1s, for: 2s}]\n", `makes every delivery to these sessions 1s later; the bound cannot be met`},
		{"delayed by nobody", "", "  - {metric: delayedDelivery, bound: 1s}\n", `the scenario gives it no samples: it has no faults that delay`},

		// Slow readers, and what grows.
		{"blocks too short", "subscribers: 10\n", "subscribers: 10\n  slowReaders: {share: 0.5, alternate: 10ms}\n", `10ms is too short for buffers to fill; at least 1s`},
		{"blocks too long", "subscribers: 10\n", "subscribers: 10\n  slowReaders: {share: 0.5, alternate: 6s}\n", `a measure phase of 10s has no two blocks of 6s`},
		{"blocks without broadcasts", "subscribers: 10\n", "subscribers: 10\n  slowReaders: {share: 0.5, alternate: 2s}\n", `no broadcast is in the second half of the block from`},
		{"an effect of nothing", "", "  - {metric: slowReaderEffect, bound: 0.02}\n", `it has no pairs of blocks (population.slowReaders.alternate)`},
		{"growth in no time", "", "growth: {from: 2s, to: 5s}\n", `growth.to: 5s is less than 1m0s after from, 2s`},
		{"growth after the end", "", "growth: {from: 2s, to: 10m}\n", `growth.to: 10m0s is after the end of the measure phase, which is 10s long`},

		// What only the model plays.
		{"an engine that is none", "name: small", "name: small\nengine: life", `engine: "life" is not one of any, model`},
		{"places for real sockets", "subscribers: 10", "subscribers: 10\n  places: [{name: a, share: 1, roundTrip: 1s}]", `population.places: only the model plays it; say engine: model`},
		{"absent sessions for real sockets", "subscribers: 10", "subscribers: 10\n  onlineShare: 0.5", `6:16: population.onlineShare: only the model plays it`},
		{"too many channels for real sockets", "subscribers: 10", "subscribers: 10\n  channels: 200000", `population.channels: more than 100000: only the model plays it`},
		{"windows for real sockets", "measure: 10s", "measure: 10s\n  windows: {every: 5s, for: 1s}", `phases.windows: only the model plays it`},
		{"places that are not all", "name: small\npopulation:\n  subscribers: 10", "name: small\nengine: model\npopulation:\n  subscribers: 10\n  places: [{name: a, share: 0.5, roundTrip: 1s}]", `population.places: their shares sum to 0.5, not to 1`},
		{"a place twice", "name: small\npopulation:\n  subscribers: 10", "name: small\nengine: model\npopulation:\n  subscribers: 10\n  places: [{name: a, share: 0.5, roundTrip: 1s}, {name: a, share: 0.5, roundTrip: 1s}]", `population.places[1].name: "a" is given twice`},
		{"a place at no distance", "name: small\npopulation:\n  subscribers: 10", "name: small\nengine: model\npopulation:\n  subscribers: 10\n  places: [{name: a, share: 1, roundTrip: 0s}]", `population.places[0].roundTrip: it must be above 0s`},
		{"a p99 below the median", "name: small\npopulation:\n  subscribers: 10", "name: small\nengine: model\npopulation:\n  subscribers: 10\n  places: [{name: a, share: 1, roundTrip: 1s, roundTripP99: 1s}]", `roundTripP99: 1s is not above the median, 1s`},
		{"windows that overlap", "measure: 10s", "measure: 10s\n  windows: {every: 5s, for: 6s}\nengine: model", `phases.windows.for: 6s is longer than every, 5s`},
		{"windows of nothing", "measure: 10s", "measure: 10s\n  windows: {every: 5s, for: 1ms}\nengine: model", `phases.windows.for: 1ms is too short`},
		{"windows and broadcasts", "measure: 10s", "measure: 10s\n  windows: {every: 5s, for: 1s}\nengine: model\nchatter: {ratePerSecond: 1}", `phases.windows: between windows nothing is played, so they are for chatter alone; remove broadcasts and faults`},
		{"windows without chatter", "measure: 10s", "measure: 10s\n  windows: {every: 5s, for: 1s}\nengine: model", `phases.windows: there is no chatter to play in them`},
		{"windows and chatter that ends", "measure: 10s", "measure: 10s\n  windows: {every: 5s, for: 1s}\nengine: model\nchatter: {ratePerSecond: 1, for: 2s}", `chatter.for: with phases.windows the chatter goes on to the end`},
		{"a shape without windows", "", "engine: model\nchatter: {ratePerSecond: 1, shape: {days: [1, 1, 1, 1, 1, 1, 1]}}\n", `chatter.shape: it needs phases.windows`},
		{"a day of three hours", "", "engine: model\nchatter: {ratePerSecond: 1, shape: {hours: [1, 2, 3]}}\n", `chatter.shape.hours: 3 entries; it needs at least 24`},
		{"a week without a day", "", "engine: model\nchatter: {ratePerSecond: 1, shape: {days: [0, 0, 0, 0, 0, 0, 0]}}\n", `chatter.shape.days: factors must be at least 0, and some above`},
		{"a cascade for real sockets", "broadcasts:\n  - at: 1s\n", cascadeOf(), `10:1: cascade: only the model plays it; say engine: model`},
		{"a cascade without a word", "broadcasts:\n  - at: 1s\n", cascadeOf("  forwardShare: 0.1\n", "") + "engine: model\n", `11:3: cascade.forwardShare: it is missing`},
		{"a cascade with an unknown key", "broadcasts:\n  - at: 1s\n", cascadeOf("insideShare", "insideShares"), `20:3: cascade.insideShares: unknown key; did you mean insideShare?`},
		{"a cascade beside broadcasts", "", "engine: model\n" + cascadeOf(), `10:1: broadcasts: the posts and channels of this scenario are the cascade's; remove it`},
		{"a share above all", "broadcasts:\n  - at: 1s\n", cascadeOf("forwardShare: 0.1", "forwardShare: 1.1"), `cascade.forwardShare: 1.1 is too large; it must be at most 1`},
		{"a probability above all", "broadcasts:\n  - at: 1s\n", cascadeOf("falseFactor: 2", "falseFactor: 11") + "engine: model\n", `18:16: cascade.falseFactor: 11 times forwardShare, 0.1, is no probability`},
		{"channels larger than communities", "broadcasts:\n  - at: 1s\n", cascadeOf("subscriptions: 8}", "subscriptions: 10}") + "engine: model\n", `12:43: cascade.coalition.subscriptions: that is 5 a channel, and a channel has at most the 5 people of its community`},
		{"channels of nobody", "broadcasts:\n  - at: 1s\n", cascadeOf("subscriptions: 8}", "subscriptions: 1}") + "engine: model\n", `cascade.coalition.subscriptions: 1 in 2 channels; each has one at least`},
		{"communities of nobody", "broadcasts:\n  - at: 1s\n", cascadeOf("communities: 2", "communities: 11") + "engine: model\n", `cascade.communities: 10 people in 11 communities`},
		{"a reaction in no time", "broadcasts:\n  - at: 1s\n", cascadeOf("median: 1s", "median: 0s") + "engine: model\n", `cascade.reaction.median: it must be above 0s`},
		{"delays out of order", "broadcasts:\n  - at: 1s\n", cascadeOf("delays: [1s]", "delays: [2s, 1s]") + "engine: model\n", `cascade.delays[1]: 1s is not after 2s; name them ascending`},
		{"a delay after the end", "broadcasts:\n  - at: 1s\n", cascadeOf("delays: [1s]", "delays: [10s]") + "engine: model\n", `cascade.delays[0]: 10s is after the measure phase, which is 10s long`},
		{"devices in a cascade", "  subscribers: 10\nphases:\n  connect:\n    ratePerSecond: 5\n  measure: 10s\nbroadcasts:\n  - at: 1s\n",
			"  subscribers: 10\n  devicesPerUser: 2\nphases:\n  connect:\n    ratePerSecond: 5\n  measure: 10s\n" + cascadeOf() + "engine: model\n", `population.devicesPerUser: in a cascade a person is one session`},
		{"a cascade in many fleets", "broadcasts:\n  - at: 1s\n", cascadeOf() + "engine: model\ntarget: {model: {shards: 1, cells: 2}}\n", `target.model.cells: a cascade is of one fleet`},
		{"a cascade of a single seed", "broadcasts:\n  - at: 1s\n", cascadeOf("delays", "seeds: 1\n  delays"), `cascade.seeds: 1 is too small; it must be at least 2`},

		{"a modelled fleet of nothing", "", "target: {model: {stores: 3}}\n", `target.model.shards: it is missing`},
		{"TLS as a word", "", "target: {model: {shards: 1, tls: sure}}\n", `target.model.tls: want true or false, found the text "sure"`},
		{"a network of nothing", "", "target: {model: {shards: 1, networkPerSecond: 0}}\n", `target.model.networkPerSecond: 0B a second is no network`},
		{"a zone of processes", "", "faults: [{action: kill, target: zone-0}]\n", `faults[0].target: only the model plays the loss of a zone`},
		{"a zone that stands still", "", "engine: model\ntarget: {model: {shards: 1}}\nfaults: [{action: stop, target: zone-0, for: 1s}]\n", `a zone can only be killed`},
		{"a zone too many", "", "engine: model\ntarget: {model: {shards: 3, zones: 3}}\nfaults: [{action: kill, target: zone-3}]\n", `there is no zone-3; target.model has 3 (zones)`},
		{"a store that the modelled fleet has not", "", "target: {model: {shards: 1}}\nfaults: [{action: kill, target: store-3}]\n", `there is no store-3; target.model has store-0 to store-2`},

		// Thresholds.
		{"an unknown metric", "metric: delivery", "metric: delivrey", `13:13: thresholds[0].metric: there is no metric "delivrey"; did you mean delivery?`},
		{"a number for a time", "bound: 1s", "bound: 1", `thresholds[0].bound: delivery wants a time, such as 1s, not 1`},
		{"a time for a number", "", "  - {metric: late, bound: 1s}\n", `late wants a number`},
		{"a bound that cannot be met", "bound: 1s", "bound: 0s", `no time is below 0s; the bound cannot be met`},
		{"a bound that cannot be missed", "", "  - {metric: lateShare, bound: 1.5}\n", `a share is never above 1`},
		{"a bound beyond what is measured", "bound: 1s", "bound: 1h", `at most 10m0s is measured`},
		{"a negative bound", "bound: 1s", "bound: -1", `"-1" is not a bound`},
		{"the same twice", "", "  - {metric: delivery, bound: 2s}\n", `thresholds[0] bounds the same; keep one`},
		{"an aggregation that is none", "bound: 1s", "bound: 1s\n    aggregation: p101", `"p101" is not an aggregation`},
		{"an aggregation of one number", "", "  - {metric: late, aggregation: max, bound: 0}\n", `late is one number and has none`},
		{"a fault for a delivery", "bound: 1s", "bound: 1s\n    fault: x", `delivery is not about faults`},
		{"a fault that is not there", "", "  - {metric: faultAckWait, fault: kill shrad, bound: 1s}\nfaults: [{action: kill, target: shard}]\n", `there is no fault "kill shrad"; did you mean kill shard?`},
		{"no faults at all", "", "  - {metric: faultAckWait, bound: 1s}\n", `the scenario gives it no samples: it has no faults`},
		{"a wait shorter than the outage", "", "  - {metric: faultAckWait, bound: 1s}\nfaults: [{action: kill, target: all-stores, restartAfter: 1s}]\n", `leaves no store for 1s, so no wait after it is below 1s`},
		{"more samples than there will be", "bound: 1s", "bound: 1s\n    minSamples: 11", `the scenario gives 10 samples (deliveries), not 11`},
		{"confidence without samples", "bound: 1s", "bound: 1s\n    confidence: 0.95", `p99.9 at 0.95 takes 2995 samples; the scenario gives 10`},
		{"confidence in a maximum", "bound: 1s", "bound: 1s\n    aggregation: max\n    confidence: 0.95", `it is for percentiles, not for the max`},
		{"confidence in a count", "", "  - {metric: late, bound: 0, confidence: 0.95}\n", `only delivery has it`},

		{"a number of workers that is none", "", "workers: {count: lots}\n", `"lots" is neither auto nor a number from 1 to 256`},
		{"an address that is none", "", "workers: {sourceAddresses: [localhost]}\n", `workers.sourceAddresses[0]: "localhost" is not an IP address`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := base + tt.new
			if tt.old != "" {
				if !strings.Contains(base, tt.old) {
					t.Fatalf("the smallest scenario has no %q", tt.old)
				}
				text = strings.Replace(base, tt.old, tt.new, 1)
			}
			_, err := Read("f", strings.NewReader(text))
			if err == nil {
				t.Fatalf("it was accepted:\n%s", text)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got\n%v\nwant %q in it", err, tt.want)
			}
			for line := range strings.Lines(err.Error()) {
				if !strings.HasPrefix(line, "f:") || strings.HasPrefix(line, "f:0") {
					t.Errorf("%q does not say where", line)
				}
			}
		})
	}
}

// cascadeOf is a cascade among ten people, with some parts replaced.
func cascadeOf(replace ...string) string {
	return strings.NewReplacer(replace...).Replace(`cascade:
  communities: 2
  coalition: {channels: 2, subscriptions: 8}
  outside: {channels: 2, subscriptions: 6}
  sizeExponent: 1.2
  sizeRatio: 20
  onlineByHabit: 0.5
  forwardShare: 0.1
  falseFactor: 2
  forewarnedFactor: 0.3
  insideShare: 0.85
  reaction: {median: 1s, sigma: 1}
  delays: [1s]
`)
}

// What is accepted can be studied, whatever it is.
func TestACascadeThatIsRightCanBeStudied(t *testing.T) {
	accepted := 0
	rapid.Check(t, func(rt *rapid.T) {
		n := func(name string, low, high int) string { return strconv.Itoa(rapid.IntRange(low, high).Draw(rt, name)) }
		share := func(name string) string {
			return strconv.FormatFloat(rapid.SampledFrom([]float64{0, 0.001, 0.3, 0.5, 1}).Draw(rt, name), 'f', -1, 64)
		}
		text := strings.Replace(base, "broadcasts:\n  - at: 1s\n", "engine: model\n"+cascadeOf("communities: 2", "communities: "+n("communities", 1, 12), "channels: 2", "channels: "+n("channels", 1, 12),
			"subscriptions: 8", "subscriptions: "+n("subscriptions", 1, 40), "forwardShare: 0.1", "forwardShare: "+share("forward"), "falseFactor: 2", "falseFactor: "+n("factor", 0, 12),
			"insideShare: 0.85", "insideShare: "+share("inside"), "onlineByHabit: 0.5", "onlineByHabit: "+share("habit")), 1)
		s, err := Read("f", strings.NewReader(text))
		if err != nil {
			if strings.Contains(err.Error(), "cascade: cascade:") {
				rt.Fatalf("only the study says what is wrong, without saying where:\n%v", err)
			}
			return
		}
		accepted++
		if err := cascade.ParamsOf(s).Check(); err != nil {
			rt.Fatalf("it was accepted, and cannot be studied: %v\n%s", err, text)
		}
	})
	if accepted == 0 {
		t.Error("none was accepted")
	}
}

func TestLongListsOfProblemsAreCut(t *testing.T) {
	_, err := Read("f", strings.NewReader(base+strings.Repeat("  - {metric: nothing, bound: 1s}\n", 50)))
	if err == nil || !strings.HasSuffix(err.Error(), "f: and 30 more problems") {
		t.Errorf("got %v", err)
	}
}

func TestDidYouMean(t *testing.T) {
	known := []string{"subscribers", "channels", "every", "at"}
	for word, want := range map[string]string{
		"subscriber": "subscribers", "chanels": "channels", "Every": "every", "evrey": "every", "ta": "at", "zebra": "", strings.Repeat("x", 999): "",
	} {
		got := didYouMean(word, known)
		if want == "" && got != "" || want != "" && got != "; did you mean "+want+"?" {
			t.Errorf("%s: %q, want %q", word, got, want)
		}
	}
}
