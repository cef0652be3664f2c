package report

import (
	"encoding/json"
	"math"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// Schema names the format of report.json. A change that a reader could stumble over gets a new name.
const Schema = "chatfleet.io/report/v1"

// Report is the whole of what a run found out: report.json. Times are milliseconds; moments count from the start of the run, at
// which the first session was dialled.
type Report struct {
	Schema   string          `json:"schema"`
	Verdict  verdict.Verdict `json:"verdict"`
	ExitCode int             `json:"exitCode"`
	// Why it is no pass, the most important first.
	Reasons []string `json:"reasons"`
	// Its name; the whole of it is in Spec.
	Scenario string `json:"scenario"`
	// How the figures came about: measured, modelled or extrapolated.
	Label string `json:"label"`
	// The year 1 for what was not run: it has no moment.
	StartedAt  time.Time `json:"startedAt"`
	DurationMs Millis    `json:"durationMs"`
	// The threshold with the least of its bound left; nil if none has a margin.
	WorstMargin *WorstMargin `json:"worstMargin"`

	Thresholds []Threshold `json:"thresholds"`
	Deliveries Deliveries  `json:"deliveries"`
	// From the intended moment of a post to its arrival at a session, of the posts of the measure phase.
	LatencyMs  Latency     `json:"latencyMs"`
	Broadcasts []Broadcast `json:"broadcasts"`
	Sessions   Sessions    `json:"sessions"`
	// absent: nobody read slowly on purpose.
	SlowReaders *SlowReaders `json:"slowReaders,omitempty"`
	Posts       Posts        `json:"posts"`
	Faults      []Fault      `json:"faults"`
	Generator   Generator    `json:"generator"`
	Clock       Clock        `json:"clock"`
	Fleet       Fleet        `json:"fleet"`
	Shards      []Shard      `json:"shards"`
	Phases      []Phase      `json:"phases"`
	// absent: not known.
	Machine *Machine `json:"machine,omitempty"`

	// absent: the figures were measured.
	Model *Model `json:"model,omitempty"`
	// absent: the scenario has none.
	Cascade *Cascade `json:"cascade,omitempty"`

	Spectrum   []SpectrumPoint `json:"spectrum"`
	Histograms Histograms      `json:"histograms"`
	Series     Series          `json:"series"`
	// What the run was asked to be, defaults filled in.
	Spec *v1alpha1.Scenario `json:"spec"`
	// Program that made this, and on what.
	Simulator Simulator `json:"simulator"`
	// absent: not known, or nothing was measured.
	Processors *Processors `json:"processors,omitempty"`
}

// Processors is what the processors of the generator's machine were used for in the measure phase, in seconds of one core. A local fleet's part
// stands in Fleet.Processes.
type Processors struct {
	GeneratorSeconds float64 `json:"generatorSeconds"`
	// All processes of the machine, the generator's and the fleet's among them, less the interrupts that came while they ran. (What a process says that it
	// used has these in it.)
	BusySeconds      float64 `json:"busySeconds"`
	InterruptSeconds float64 `json:"interruptSeconds"`
	// A hypervisor gave it to other machines.
	StolenSeconds float64 `json:"stolenSeconds"`
	IdleSeconds   float64 `json:"idleSeconds"`
}

// Share is how much of them was used, 0 to 1. What a hypervisor gave to others counts as used, since nobody here could have it.
func (p *Processors) Share() float64 {
	used := p.BusySeconds + p.InterruptSeconds + p.StolenSeconds
	return used / max(used+p.IdleSeconds, 0.01)
}

// WorstMargin is the threshold with the least of its bound left.
type WorstMargin struct {
	Title string `json:"title"`
	// The share of the bound that is left; below 0 when it was missed, null when it was missed without end.
	Share Millis `json:"share"`
}

// Threshold is what became of a threshold.
type Threshold struct {
	Metric      string `json:"metric"`
	Aggregation string `json:"aggregation,omitempty"`
	Fault       string `json:"fault,omitempty"`
	// As in "delivery p99.9 < 1s".
	Title string `json:"title"`
	// What Bound, Value and Error are counted in: ms, bytes, or "" for numbers.
	Unit  string  `json:"unit"`
	Bound float64 `json:"bound"`
	// null: never, that is, infinite. 0 where there are no samples.
	Value Millis `json:"value"`
	// The true value is at most this far from Value.
	Error   float64 `json:"error"`
	Samples int64   `json:"samples"`
	// The fewest that say anything.
	MinSamples int64 `json:"minSamples"`
	// The claim on the next run, if one is made, and over how many blocks.
	Confidence float64         `json:"confidence,omitempty"`
	Blocks     int             `json:"blocks,omitempty"`
	Verdict    verdict.Verdict `json:"verdict"`
	Reason     string          `json:"reason,omitempty"`
	// The share of the bound that is left; absent where the bound is 0 or nothing was measured.
	Margin *Millis `json:"margin,omitempty"`
}

// Deliveries accounts for every event that every session should have got.
type Deliveries struct {
	Expected  int64 `json:"expected"`
	Delivered int64 `json:"delivered"`
	Duplicate int64 `json:"duplicate"`
	Late      int64 `json:"late"`
	Lost      int64 `json:"lost"`
	Unordered int64 `json:"unordered"`
	// Of lost: with other content than the log has.
	Corrupt int64 `json:"corrupt"`
	// Of delivered: by asking for the difference, not by push.
	Healed int64 `json:"healed"`
}

// Latency is the figures of a histogram, lost ones counted as infinite (null).
type Latency struct {
	P50   Millis `json:"p50"`
	P90   Millis `json:"p90"`
	P99   Millis `json:"p99"`
	P999  Millis `json:"p999"`
	P9999 Millis `json:"p9999"`
	Max   Millis `json:"max"`
	Mean  Millis `json:"mean"`
	Count int64  `json:"count"`
	Lost  int64  `json:"lost"`
	// Below zero, so that two clocks disagree; counted as 0.
	Negative int64 `json:"negative,omitempty"`
}

// Broadcast is what became of one post in the broadcast channel.
type Broadcast struct {
	AtMs            Millis `json:"atMs"`
	DeliverWithinMs Millis `json:"deliverWithinMs"`
	Recipients      int64  `json:"recipients"`
	Delivered       int64  `json:"delivered"`
	Late            int64  `json:"late"`
	Lost            int64  `json:"lost"`
	TimeTo50Ms      Millis `json:"timeTo50Ms"`
	TimeTo99Ms      Millis `json:"timeTo99Ms"`
	// null: not that many ever got it.
	TimeTo999Ms  Millis             `json:"timeTo999Ms"`
	TimeToLastMs Millis             `json:"timeToLastMs"`
	Latency      *measure.Histogram `json:"latency"`
}

// Sessions counts sessions, over the whole run.
type Sessions struct {
	Wanted      int64 `json:"wanted"`
	Dialled     int64 `json:"dialled"`
	Established int64 `json:"established"`
	SignedIn    int64 `json:"signedIn"`
	// Times that one that was signed in lost its connection.
	Dropped int64 `json:"dropped"`
	// From the dial to being signed in.
	SignInMs Latency `json:"signInMs"`
	// From losing the connection to being signed in again, each time; away are those that never were.
	ReconnectMs Latency `json:"reconnectMs"`
	Away        int64   `json:"away"`
	// Sign-ins, the first of a session and all others; those of them by a resume token; and resume tokens that were refused.
	SignIns        int64 `json:"signIns"`
	Resumed        int64 `json:"resumed"`
	ResumesRefused int64 `json:"resumesRefused"`
}

// SlowReaders is the account of the sessions that read slowly on purpose. What was lost of it is in Deliveries as well.
type SlowReaders struct {
	Sessions int64 `json:"sessions"`
	// What the logs held for them, and what came of it: what came, what the fleet told them that it leaves out, and neither.
	Expected  int64 `json:"expected"`
	Delivered int64 `json:"delivered"`
	Told      int64 `json:"told"`
	Lost      int64 `json:"lost"`
	// Times that one of them lost its connection, and that one was told to be too far behind.
	Dropped int64 `json:"dropped"`
	TooLong int64 `json:"tooLong"`
	// What they do to the others' time to the last; absent where they were slow all the time.
	Effect *Effect `json:"effect,omitempty"`
}

// Effect is how much one thing changes another: 0.02 is 2 % more. Low to High is the 95 % interval over the pairs.
type Effect struct {
	Pairs  int     `json:"pairs"`
	Change float64 `json:"change"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	// Each pair: the time to the last while they read like everybody, and while they did not.
	PairsMs [][2]Millis `json:"pairsMs,omitempty"`
}

// Posts counts posts of the measure phase.
type Posts struct {
	Intended       int64 `json:"intended"`
	Sent           int64 `json:"sent"`
	Acknowledged   int64 `json:"acknowledged"`
	Unacknowledged int64 `json:"unacknowledged"`
	Failed         int64 `json:"failed"`
	// Acknowledged and not in the log, of how many that were looked for.
	MissingAcknowledged int64            `json:"missingAcknowledged"`
	Checked             int64            `json:"checked"`
	Errors              map[string]int64 `json:"errors,omitempty"`
	// From the intended moment to the acknowledgement; null if one was never acknowledged.
	LongestWaitMs Millis `json:"longestWaitMs"`
	// From the intended moment to being sent; from there to the acknowledgement; and both together.
	SendLagMs  Latency `json:"sendLagMs"`
	ServiceMs  Latency `json:"serviceMs"`
	ResponseMs Latency `json:"responseMs"`
}

// Fault is one thing that was broken on purpose.
type Fault struct {
	What      string   `json:"what"`
	Action    string   `json:"action"`
	Target    string   `json:"target"`
	Processes []string `json:"processes"`
	Role      string   `json:"role"`
	AtMs      Millis   `json:"atMs"`
	// When the process ran again; absent if it did not.
	BackAtMs              *Millis `json:"backAtMs,omitempty"`
	LongestAckWaitMs      Millis  `json:"longestAckWaitMs"`
	LongestDeliveryWaitMs Millis  `json:"longestDeliveryWaitMs"`
	Posts                 int64   `json:"posts"`
	Deliveries            int64   `json:"deliveries"`
	// Sessions that lost their connection until the next fault, and how they came back; absent if there were none.
	Reconnects *Reconnects `json:"reconnects,omitempty"`
	// What a delay did to the sessions that it was of, and to the others; absent for other faults.
	Delay *Delay `json:"delay,omitempty"`
	Error string `json:"error,omitempty"`
}

// Delay is the latencies of deliveries while the way between some sessions and the fleet was longer, of posts that were intended meanwhile,
// and of all others.
type Delay struct {
	ByMs     Millis `json:"byMs"`
	JitterMs Millis `json:"jitterMs"`
	Sessions int64  `json:"sessions"`
	// To the sessions that were delayed, and to the others.
	DelayedMs Latency `json:"delayedMs"`
	OthersMs  Latency `json:"othersMs"`
	// To the same at times when nobody was delayed, a second and more before and after.
	DelayedElseMs Latency `json:"delayedElseMs"`
	OthersElseMs  Latency `json:"othersElseMs"`
}

// Reconnects is what became of the sessions that a fault disconnected.
type Reconnects struct {
	Sessions int64 `json:"sessions"`
	// Those that came back by a resume token, without showing their token again.
	Resumed int64 `json:"resumed"`
	// Until the last of them was signed in again; null: one was not.
	AllBackMs Millis `json:"allBackMs"`
	// Sign-ins a second: for a cut on average until then, and in the busiest second.
	SignInsPerSecond     float64 `json:"signInsPerSecond,omitempty"`
	PeakSignInsPerSecond float64 `json:"peakSignInsPerSecond"`
	// Processor time of all processes of the fleet until then, a sign-in; absent if not known.
	CPUMicrosPerSignIn float64 `json:"cpuMicrosPerSignIn,omitempty"`
	// The same less what they had used anyway, by the two seconds before; absent if not known.
	AddedCPUMicrosPerSignIn float64 `json:"addedCPUMicrosPerSignIn,omitempty"`
}

// Generator is how well the generator itself did.
type Generator struct {
	Healthy bool     `json:"healthy"`
	Reasons []string `json:"reasons"`
	// What of its health was not measured.
	Unknown              []string `json:"unknown,omitempty"`
	SharesCoresWithFleet bool     `json:"sharesCoresWithFleet"`
	// What that adds to the error of each latency.
	SharedCoresErrorMs Millis `json:"sharedCoresErrorMs"`
	// The bound that the limits are shares of; 0 if the run has no time bound.
	TightestBoundMs Millis   `json:"tightestBoundMs"`
	SendLagP999Ms   Millis   `json:"sendLagP999Ms"`
	SendLagLimitMs  Millis   `json:"sendLagLimitMs"`
	HiccupP999Ms    Millis   `json:"hiccupP999Ms"`
	HiccupLimitMs   Millis   `json:"hiccupLimitMs"`
	CapsReached     []string `json:"capsReached"`
	LostWorkers     []string `json:"lostWorkers"`
	Workers         int      `json:"workers"`
	// Memory of the workers, a session.
	RSSBytesPerSession float64 `json:"rssBytesPerSession"`
	// What the workers keep for a session, counted and not measured, and the part of it that resume tokens take.
	BytesPerSubscriber       int `json:"bytesPerSubscriber,omitempty"`
	ResumeBytesPerSubscriber int `json:"resumeBytesPerSubscriber,omitempty"`
}

// Clock is how far moments taken in different places can be compared.
type Clock struct {
	Source  string `json:"source"`
	Trusted bool   `json:"trusted"`
	ErrorMs Millis `json:"errorMs"`
	// How far one jumped during the run.
	StepMs Millis `json:"stepMs"`
}

// Fleet is what the run was against.
type Fleet struct {
	// Such as "local" for one that the simulator started, else where it is.
	Where      string `json:"where"`
	Version    string `json:"version,omitempty"`
	Stores     int    `json:"stores"`
	Shards     int    `json:"shards"`
	Partitions int    `json:"partitions"`
	Replicas   int    `json:"replicas"`
	Durability string `json:"durability"`
	// Memory of the shards with all sessions, less that before, a session; 0 if not known.
	RSSBytesPerSession float64 `json:"rssBytesPerSession"`
	// Processor time of all processes in the measure phase, a delivery; 0 if not known.
	CPUMicrosPerDelivery float64   `json:"cpuMicrosPerDelivery"`
	Processes            []Process `json:"processes,omitempty"`
	// Processes that ended though nobody asked them to, and how.
	Exits []string `json:"exits,omitempty"`
}

// Process is one process of the fleet.
type Process struct {
	Name string `json:"name"`
	Role string `json:"role"`
	// Largest resident memory that was seen, and processor time in the measure phase.
	RSSBytes   int64   `json:"rssBytes"`
	CPUSeconds float64 `json:"cpuSeconds"`
	// absent: too few samples.
	Growth *Growth `json:"growth,omitempty"`
}

// Growth is what a process held in the last fifth of the measure phase as a multiple of what it held in the second fifth.
type Growth struct {
	Memory     float64 `json:"memory"`
	Goroutines float64 `json:"goroutines"`
	OpenFiles  float64 `json:"openFiles"`
}

// Shard is what the sessions of one shard saw.
type Shard struct {
	Name string `json:"name"`
	// Sessions that begin there and signed in, there or, if it was lost, elsewhere.
	Sessions int64 `json:"sessions"`
	// Lost are their deliveries that never came or were left out.
	Lost int64 `json:"lost"`
	// As Report.Histograms.Delivery, of its sessions.
	Latency   *measure.Histogram `json:"latency"`
	Delivered *measure.Series    `json:"delivered,omitempty"`
}

// Names of the phases, as scenarios have them.
const (
	PhaseConnect = "connect"
	PhaseWarmup  = "warmup"
	PhaseMeasure = "measure"
	PhaseSettle  = "settle"
)

// Phase is a part of the run.
type Phase struct {
	Name   string `json:"name"`
	FromMs Millis `json:"fromMs"`
	ToMs   Millis `json:"toMs"`
}

// SpectrumPoint says by when a share of the deliveries had come.
type SpectrumPoint struct {
	Percentile float64 `json:"percentile"`
	// null: never.
	Ms Millis `json:"ms"`
}

// Histograms is what the percentiles are of.
type Histograms struct {
	Delivery *measure.Histogram `json:"delivery"`
	SendLag  *measure.Histogram `json:"sendLag"`
	Service  *measure.Histogram `json:"service"`
	Response *measure.Histogram `json:"response"`
	Hiccup   *measure.Histogram `json:"hiccup"`
	SignIn   *measure.Histogram `json:"signIn"`
	// absent: no session lost its connection.
	Reconnect *measure.Histogram `json:"reconnect,omitempty"`
}

// Series is what happened when, over the whole run. Any may be absent.
type Series struct {
	// Changes of a level, +1 and -1: how many sessions should be there, have a WebSocket, are signed in.
	Wanted      *measure.Series `json:"wanted,omitempty"`
	Established *measure.Series `json:"established,omitempty"`
	SignedIn    *measure.Series `json:"signedIn,omitempty"`
	// Sign-ins by when they were, the first of a session and all others.
	SignIns *measure.Series `json:"signIns,omitempty"`
	// Of them, those by a resume token.
	Resumed *measure.Series `json:"resumed,omitempty"`
	// Posts by their intended moment, by when they were sent, by when they were acknowledged.
	Offered      *measure.Series `json:"offered,omitempty"`
	Sent         *measure.Series `json:"sent,omitempty"`
	Acknowledged *measure.Series `json:"acknowledged,omitempty"`
	// Deliveries by when they came.
	Delivered *measure.Series `json:"delivered,omitempty"`
	// Processor time of all processes of a local fleet in the measure phase, in microseconds, by when they used it.
	CPUMicros *measure.Series `json:"cpuMicros,omitempty"`
	// Deliveries by the intended moment of their post and their latency; lost ones at Never.
	Heat *measure.HeatMap `json:"heat,omitempty"`
}

// Simulator is what made a report, and on what.
type Simulator struct {
	Version string `json:"version"`
	// Such as linux/amd64.
	Platform string `json:"platform"`
	Cores    int    `json:"cores"`
	// The processor as it calls itself, such as "AMD EPYC 7B13", and the kernel's release; absent where the system does not say.
	CPU    string `json:"cpu,omitempty"`
	Kernel string `json:"kernel,omitempty"`
}

// Millis is a time in milliseconds, or a share; what is infinite is null in JSON.
type Millis float64

// Infinite says whether it is never.
func (m Millis) Infinite() bool { return math.IsInf(float64(m), 0) }

// MarshalJSON writes a number of at most six decimals, or null.
func (m Millis) MarshalJSON() ([]byte, error) {
	if m.Infinite() || math.IsNaN(float64(m)) {
		return []byte("null"), nil
	}
	return json.Marshal(math.Round(float64(m)*1e6) / 1e6)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (m *Millis) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*m = Millis(math.Inf(1))
		return nil
	}
	return json.Unmarshal(data, (*float64)(m))
}

func millis(d time.Duration) Millis {
	if d == measure.Never {
		return Millis(math.Inf(1))
	}
	return Millis(float64(d) / float64(time.Millisecond))
}
