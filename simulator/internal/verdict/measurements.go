package verdict

import (
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/measure"
)

// Measurements is everything that a run found out, as far as judging it needs. The live engine fills it; what could not be
// measured stays zero or nil, and the thresholds on it then have no samples. All moments are times since the start of the
// run; deliveries and posts are those of the measure phase unless said otherwise.
type Measurements struct {
	Sessions   Sessions
	Deliveries Deliveries
	Posts      Posts
	Broadcasts []Broadcast
	Faults     []Fault
	Slow       Slow
	// The deliveries once more, in groups that are taken to be independent of each other: by broadcast and shard, and
	// chatter by second and shard. Only thresholds with a confidence want them.
	Blocks    []Block
	Fleet     Fleet
	Generator Generator
	Clock     Clock

	// What times may be off by, up or down, as a share of them, by the name of their metric, and "" for all that are not named: the half width of the
	// prediction interval of what was modelled. nil for what was measured.
	ErrorShares map[string]float64
	// Why what was modelled cannot carry a pass, if it cannot: it is too far from what was measured, say.
	Indicative string

	// Why the run did not take place, if the fleet could not be reached or did not get ready.
	Unreachable string
	// The run was ended from outside before it was over.
	Interrupted bool
}

// Sessions counts sessions over the whole run.
type Sessions struct {
	// As the scenario wants.
	Wanted int64
	// Dials that were begun, with those again after a fault.
	Dialled int64
	// That had a WebSocket at least once.
	Established int64
	// That were signed in with all logs attached, at least once.
	SignedIn int64
	// Times that a session that was signed in lost its connection.
	Dropped int64
	// From the dial to being signed in, first time of each session.
	SignIn *measure.Histogram
	// From losing the connection to being signed in again, each time; slow readers are not in it.
	Return *measure.Histogram
	// Away are those that lost it and were not signed in again at the end.
	Away int64
	// Sign-ins, the first of a session and all others; those of them by a resume token; and those of the latter that are in Return.
	SignIns, Resumed, ReturnsResumed int64
	// Resume tokens that the fleet refused.
	ResumesRefused int64
}

// Slow is the account of the sessions that read slowly on purpose. What they were told that they will not get is in no other count;
// the rest of it is in Deliveries, and none of it in a latency.
type Slow struct {
	Sessions int64
	// As in Deliveries.
	Expected, Delivered, Lost int64
	// Of Expected: what the fleet told them that it leaves out.
	Told int64
	// Times that one of them lost its connection, and was told that it is too far behind.
	Dropped, TooLong int64
	// The others' times to the last, where slow readers read like everybody in half of the run.
	Pairs []SlowPair
}

// SlowPair is the others' time to the last of a broadcast in two blocks next to each other: while the slow readers read like everybody,
// and while they did not.
type SlowPair struct{ Reading, Slow time.Duration }

// Deliveries accounts for every event that a session that signed in should have got in the measure phase and after.
type Deliveries struct {
	// Over all sessions and attached logs: the log's head at the end less the position at which the session began.
	Expected int64
	// Distinct positions received, pushed or by difference.
	Delivered int64
	// Pushed again on the same connection, or one post found at two positions.
	Duplicate int64
	// Pushed below an earlier push on the same connection.
	Unordered int64
	// Expected and never delivered, those with other content than the log's included.
	Lost int64
	// Of Lost: delivered with other content than the log has at that position.
	Corrupt int64
	// Delivered later than the post's deliverWithin after its intended moment, with Clock.ErrorBound added.
	Late int64
	// Of Delivered: not by push but by asking for the difference, after a gap or a new connection.
	Healed int64
	// From the intended moment of the post to its arrival at the session. Its count may be below Delivered: only posts of
	// the measure phase are in it.
	Latency *measure.Histogram
	// Of Lost: those that belong to posts of the measure phase. They are infinite in the percentiles of Latency.
	LostOfLatency int64
}

// Posts counts posts of the measure phase.
type Posts struct {
	// In the schedule.
	Intended int64
	// Handed to the network.
	Sent int64
	// Acknowledged with a position.
	Acknowledged int64
	// Refused with an error, or without an answer until the deadline.
	Failed int64
	// What failed, by the kind of error.
	Errors map[string]int64
	// Acknowledged, and not in the log when it was read at the end, or there with other content.
	Missing int64
	// Of Acknowledged: those that the end's reading of the logs covered. Logs that could not be read are not in it.
	Checked int64
	// From the intended moment to being handed to the network.
	SendLag *measure.Histogram
	// From being handed to the network to the acknowledgement.
	Service *measure.Histogram
	// From the intended moment to the acknowledgement.
	Response *measure.Histogram
	// Of Intended: those without an acknowledgement. They are infinite in the percentiles of Service and Response.
	Unacknowledged int64
}

// Broadcast is what became of one post in the broadcast channel. One that is not in the log at the end is here too: lost for
// every session that was signed in.
type Broadcast struct {
	At            time.Duration
	DeliverWithin time.Duration
	// Deliveries expected.
	Recipients int64
	Late       int64
	Lost       int64
	// From the intended moment of the post. Recipients = Latency.Count() + Lost.
	Latency *measure.Histogram
}

// TimeTo returns how long it took until p percent of the recipients had it; Never if they did not all get it.
func (b Broadcast) TimeTo(p float64) time.Duration { return b.Latency.PercentileWithLost(p, b.Lost) }

// Fault is one thing that was broken on purpose.
type Fault struct {
	// The title of the scenario's fault that this is one of.
	Name   string
	Action string
	// As the scenario names it.
	Target string
	// The processes that it was done to.
	Processes []string
	// What they were at that moment, such as "store, leads 6 of 16 partitions".
	Role string
	At   time.Duration
	// When the process ran again; 0 if it did not, or need not.
	BackAt time.Duration
	// The longest waits, from the intended moment, of posts that were under way when the fault struck or came until the
	// next one; Never if one is not over.
	LongestAckWait      time.Duration
	LongestDeliveryWait time.Duration
	// Posts and deliveries that those are the longest of. With none there is no sample.
	Posts      int64
	Deliveries int64
	// Sessions that lost their connection from then until the next fault; slow readers are not counted. The longest time until one
	// of them was signed in again; Never if one was not.
	Sessions      int64
	LongestReturn time.Duration
	// Sign-ins by a resume token until then.
	Resumed int64
	// Sign-ins in the busiest second; and for a cut those a second until the last was back, and the processor time of the whole
	// fleet in that time, with all else that it did, a sign-in; and without what it had used anyway, by the two seconds before. 0 if not known.
	PeakSignInsPerSecond, SignInsPerSecond float64
	CPUPerSignIn, AddedCPUPerSignIn        time.Duration
	// For a delay, what it did to whom; nil if not known.
	Delay *Delay
	// Why it could not be done, if it could not. Then it is no sample.
	Error string
}

// Delay is what became of deliveries while the way between some sessions and the fleet was longer. Those that never came are in the
// account of all deliveries alone.
type Delay struct {
	// How much longer, one way, and up to how much more.
	By, Jitter time.Duration
	// Whose way it was.
	Sessions int64
	// Of posts that were intended meanwhile: to those sessions, and to all others but slow readers.
	Far, Others *measure.Histogram
	// Of posts at other times of the measure phase, a second and more before and after, when the same sessions went through the same proxy without a delay.
	FarElse, OthersElse *measure.Histogram
}

// Block is a group of deliveries that belong together (one broadcast at one shard) and may share their luck.
type Block struct {
	Name    string
	Latency *measure.Histogram
	Lost    int64
}

// Fleet is what the fleet looked like and used.
type Fleet struct {
	// Resident memory of the shards with all sessions signed in, less that before, a session; 0 if not known.
	RSSBytesPerSession float64
	// Processor time of all fleet processes in the measure phase, a delivery; 0 if not known.
	CPUPerDelivery time.Duration
	// How what the processes of each role of a local fleet hold together has grown in the measure phase; roles with too few samples
	// are not in it. The roles are "store" and "shard".
	Growth map[string]Growth
	// Processes that ended though nobody asked them to, as "shard-1: exit status 2".
	Exits []string
}

// Growth compares what processes held in the last fifth of the measure phase with the second fifth: 1 is none.
type Growth struct{ Memory, Goroutines, OpenFiles float64 }

// Generator is how well the generator itself did.
type Generator struct {
	// From when a probe that does nothing wanted to run to when it did, over all processes of the generator that send or
	// receive, in the measure phase.
	Hiccup *measure.Histogram
	// Bounds of the generator that were reached: "poster: all 256 connections in use", for one.
	CapsReached []string
	// Worker processes that died or did not answer, with why.
	LostWorkers []string
	// The fleet ran on the same cores.
	SharesCores bool
	// There is none: the figures are modelled, and nothing had to be generated.
	Modelled bool
}

// Clock is how far moments that were taken in different places can be compared.
type Clock struct {
	// Such as "CLOCK_MONOTONIC of one host".
	Source string
	// The clocks of all ends can be compared, within ErrorBound.
	Trusted bool
	// Half the width of the interval in which the offset between two ends lies; 0 with one clock.
	ErrorBound time.Duration
	// The wall clock or an end's clock jumped during the run, by this much.
	Step time.Duration
}
