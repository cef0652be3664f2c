package v1alpha1

const (
	// APIVersion is the apiVersion of the scenarios that this package describes.
	APIVersion = "chatfleet.io/v1alpha1"
	// Kind is their kind.
	Kind = "Scenario"
)

// Scenario says what a simulated audience does, what breaks meanwhile, and what must hold.
type Scenario struct {
	// The version of this format.
	APIVersion string `json:"apiVersion" jsonschema:"required,enum=chatfleet.io/v1alpha1"`
	// What this document is.
	Kind string `json:"kind" jsonschema:"required,enum=Scenario"`
	// Names the scenario in reports: lower-case letters, digits, dashes and dots.
	Name string `json:"name" jsonschema:"required,pattern=^[a-z0-9]([a-z0-9.-]{0\\,61}[a-z0-9])?$"`
	// What the scenario shows, for people.
	Description string `json:"description,omitempty" jsonschema:"maxLength=2000"`
	// Where all that is random comes from. The same seed gives the same schedule of posts and faults. Default 0.
	Seed uint64 `json:"seed,omitempty"`
	// Which engine plays it: model, the calibrated model, which fields marked "model only" need; or any (default), both, with the same meaning.
	Engine Engine `json:"engine,omitempty" jsonschema:"enum=any,enum=model"`
	// What to run against where the command line names nothing.
	Target Target `json:"target,omitzero"`
	// Who listens.
	Population Population `json:"population" jsonschema:"required"`
	// How long each part of the run takes.
	Phases Phases `json:"phases" jsonschema:"required"`
	// Posts in the background, in the channels beside the broadcast one. They begin with the warm-up and end with the
	// measuring.
	Chatter *Chatter `json:"chatter,omitempty"`
	// Posts in the broadcast channel, which every session reads.
	Broadcasts []Broadcast `json:"broadcasts,omitempty" jsonschema:"maxItems=1000"`
	// A falsehood and its correction that spread from channel to channel, in place of chatter and broadcasts. Model only.
	Cascade *Cascade `json:"cascade,omitempty"`
	// What breaks, and when. Processes can be broken only in a local fleet, connections everywhere.
	Faults []Fault `json:"faults,omitempty" jsonschema:"maxItems=1000"`
	// What must hold. Unless they are given another bound, lost, duplicate, unordered and missingAcknowledged must be 0.
	Thresholds []Threshold `json:"thresholds" jsonschema:"required,minItems=1,maxItems=200"`
	// When memoryGrowth, goroutineGrowth and openFileGrowth look at what the fleet's processes hold. Default: in the second fifth of the
	// measure phase and in the last one.
	Growth *Growth `json:"growth,omitempty"`
	// The processes that hold the sessions.
	Workers Workers `json:"workers,omitzero"`
	// The files to write beside report.json. Default: all of them.
	Outputs []Output `json:"outputs,omitempty" jsonschema:"enum=html,enum=junit,enum=hlog,uniqueItems=true,maxItems=3"`
}

// Engine is what plays a scenario.
type Engine string

// The engines.
const (
	// Real sockets against a real fleet, or the model.
	AnyEngine Engine = "any"
	// The model alone.
	ModelEngine Engine = "model"
)

// Target is the fleet to run against where the command line names none.
type Target struct {
	// A fleet of real processes on this machine, started for the run and removed after it. The model plays it with all cores shared.
	Local *LocalFleet `json:"local,omitempty"`
	// The fleet that the model plays. Without it that is the local one.
	Model *ModelledFleet `json:"model,omitempty"`
}

// LocalFleet is the shape of a fleet on this machine.
type LocalFleet struct {
	// Processes that keep logs: 1, 3 or 5, since they decide by majority.
	Stores int `json:"stores" jsonschema:"required,enum=1,enum=3,enum=5"`
	// Processes that hold sessions.
	Shards int `json:"shards" jsonschema:"required,minimum=1,maximum=64"`
	// Streams that the logs are divided among. Default 16.
	Partitions int `json:"partitions,omitempty" jsonschema:"minimum=1,maximum=1024"`
	// Copies of each partition, at most one a store. Default 3, or 1 with one store.
	Replicas int `json:"replicas,omitempty" jsonschema:"enum=1,enum=3,enum=5"`
	// When a store acknowledges: Fsync, when a quorum has the post on disk (default), or Replicated, when a quorum has it
	// in memory.
	Durability string `json:"durability,omitempty" jsonschema:"enum=Fsync,enum=Replicated"`
}

// ModelledFleet is the fleet that the model plays: pods on cores of their own, unless they share some.
type ModelledFleet struct {
	// Pods that hold sessions, each with an equal part of them.
	Shards int `json:"shards" jsonschema:"required,minimum=1,maximum=10000"`
	// Pods that keep logs. Default 3.
	Stores int `json:"stores,omitempty" jsonschema:"enum=1,enum=3,enum=5"`
	// Streams that the logs are divided among. Default 16.
	Partitions int `json:"partitions,omitempty" jsonschema:"minimum=1,maximum=1024"`
	// Cores of each shard, with an event loop on each. Default 2.
	CoresPerShard float64 `json:"coresPerShard,omitempty" jsonschema:"minimum=0.1,maximum=256"`
	// Cores of each store. Default 2.
	CoresPerStore float64 `json:"coresPerStore,omitempty" jsonschema:"minimum=0.1,maximum=256"`
	// Cores of one machine that the whole fleet shares with what generates its load, as a local fleet does; then coresPerShard is what one
	// shard can use of them. Default: nothing is shared, and receiving costs the fleet nothing.
	SharedCores float64 `json:"sharedCores,omitempty" jsonschema:"minimum=0.1,maximum=1024"`
	// Failure domains that the pods are spread over evenly: pod N is in zone N modulo their number. Default 1.
	Zones int `json:"zones,omitempty" jsonschema:"minimum=1,maximum=64"`
	// What the network takes from each pod, a second. Default 1.25GB, which is 10 Gbit/s. On shared cores there is no such bound.
	NetworkPerSecond Size `json:"networkPerSecond,omitempty"`
	// Sessions speak TLS to the shards.
	TLS bool `json:"tls,omitempty"`
	// How long it takes until the operator has noticed that a pod is gone and another one is ready. Default: as long as the calibration says.
	PodReplacement Duration `json:"podReplacement,omitempty"`
	// So many fleets like this one, each with such an audience, that know nothing of each other: the model plays one, and counts what it
	// finds for all. Default 1.
	Cells int `json:"cells,omitempty" jsonschema:"minimum=1,maximum=100000"`
	// What things cost, for a sum; without it the report has amounts alone.
	Prices *Prices `json:"prices,omitempty"`
}

// Prices is what a provider asks, in one currency.
type Prices struct {
	// Names the currency, and where the prices are from.
	Source string `json:"source" jsonschema:"required,maxLength=200"`
	// For a core, an hour.
	CoreHour float64 `json:"coreHour" jsonschema:"required,minimum=0"`
	// For a GiB of memory, an hour.
	GiBHour float64 `json:"gibHour" jsonschema:"required,minimum=0"`
	// For a GiB that leaves the fleet to its sessions.
	EgressGiB float64 `json:"egressGiB" jsonschema:"required,minimum=0"`
}

// Place is where a part of the audience is, as far as it matters: how long the network takes.
type Place struct {
	// Names it in the report.
	Name string `json:"name" jsonschema:"required,maxLength=64"`
	// The share of all sessions, above 0 up to 1. Those of all places must sum to 1.
	Share float64 `json:"share" jsonschema:"required,exclusiveMinimum=0,maximum=1"`
	// There and back again, between a session and its shard: the median over sessions and moments.
	RoundTrip Duration `json:"roundTrip" jsonschema:"required"`
	// What 99 % of the round trips are below. They are taken to be log-normal. Default: three times the median.
	RoundTripP99 Duration `json:"roundTripP99,omitempty"`
}

// Population is who listens.
type Population struct {
	// Users who read the broadcast channel.
	Subscribers int `json:"subscribers" jsonschema:"required,minimum=1,maximum=10000000"`
	// Sessions that each user has at the same time, which all read the same channels. Default 1.
	DevicesPerUser int `json:"devicesPerUser,omitempty" jsonschema:"minimum=1,maximum=16"`
	// The share of these sessions, 0 to 1, that are connected; nobody else is in any count. Model only. Default 1.
	OnlineShare float64 `json:"onlineShare,omitempty" jsonschema:"exclusiveMinimum=0,maximum=1"`
	// Where they are, and how far that is. Model only. Default: beside the fleet, at no distance.
	Places []Place `json:"places,omitempty" jsonschema:"maxItems=32"`
	// Channels beside the broadcast one, for the chatter. More than 100,000: model only. Default 0.
	Channels int `json:"channels,omitempty" jsonschema:"minimum=0,maximum=1000000000"`
	// How many of the chatter's channels each session reads, besides the broadcast channel. Default 0.
	AttachPerSession int `json:"attachPerSession,omitempty" jsonschema:"minimum=0,maximum=1000"`
	// The share of sessions, 0 to 1, that speak JSON; the others speak protobuf. Default 0.
	JSONShare float64 `json:"jsonShare,omitempty" jsonschema:"minimum=0,maximum=1"`
	// Sessions that take little of what they are sent, or nothing.
	SlowReaders *SlowReaders `json:"slowReaders,omitempty"`
}

// SlowReaders are sessions that sign in and then read slowly. What they miss is no loss if they are told; they must not be noticed by
// the others. When nothing is posted any more, in the settle phase, they read like everybody, and must come to the same state.
type SlowReaders struct {
	// The share of sessions, above 0 up to 1.
	Share float64 `json:"share" jsonschema:"required,exclusiveMinimum=0,maximum=1"`
	// What each of them reads: 0, nothing at all (default), or 10 and more.
	ReadBytesPerSecond int `json:"readBytesPerSecond,omitempty" jsonschema:"minimum=0,maximum=1048576"`
	// Cuts the measure phase into blocks of this length, in which they read like everybody and slowly in turn: reading, slow, slow,
	// reading, and so on. Two blocks are a pair; the metrics slowReaderEffect compare the others' time to the last of the broadcasts in
	// the second half of each. Default: they are slow all the time, and nothing is compared.
	Alternate Duration `json:"alternate,omitempty"`
}

// Phases is how long each part of the run takes, in this order. What is thresholded is what was posted in measure.
type Phases struct {
	// Sessions connect and sign in.
	Connect Connect `json:"connect" jsonschema:"required"`
	// Chatter runs and is not measured. Default 0s.
	Warmup Duration `json:"warmup,omitempty"`
	// Chatter, broadcasts and faults, measured.
	Measure Duration `json:"measure" jsonschema:"required"`
	// Parts of the measure phase that are played, each standing for all the time until the next. Model only. Default: all of it.
	Windows *Windows `json:"windows,omitempty"`
	// Nothing new is posted, what is under way may arrive. Default 5s; a loaded scenario always has it.
	Settle *Duration `json:"settle,omitempty"`
}

// Windows is which parts of a long measure phase are played. In each all sessions are connected from its start, and a fifth of it runs before
// anything is counted.
type Windows struct {
	// From the start of one to the start of the next.
	Every Duration `json:"every" jsonschema:"required"`
	// How long each is.
	For Duration `json:"for" jsonschema:"required"`
}

// Connect is how fast sessions connect: exactly one of its fields.
type Connect struct {
	// Sessions that begin to connect, a second.
	RatePerSecond float64 `json:"ratePerSecond,omitempty" jsonschema:"exclusiveMinimum=0,maximum=1000000"`
	// The time over which all sessions begin to connect, evenly.
	Duration Duration `json:"duration,omitempty"`
}

// Chatter is the posts in the background. The channel of each is drawn at random.
type Chatter struct {
	// How posts follow each other: poisson, as those of many people who know nothing of each other (default), or
	// constant, all at the same distance.
	Arrivals Arrivals `json:"arrivals,omitempty" jsonschema:"enum=poisson,enum=constant"`
	// Posts a second, over all channels.
	RatePerSecond float64 `json:"ratePerSecond" jsonschema:"required,exclusiveMinimum=0,maximum=100000"`
	// How the rate, and with it the number of sessions that are connected, goes up and down over days and weeks. Model only, with
	// phases.windows.
	Shape *Shape `json:"shape,omitempty"`
	// How long it goes on, from the start of the warm-up. Default: to the end of the measure phase.
	For Duration `json:"for,omitempty"`
	// The size of a post's content, at least 32 bytes. Default 200B.
	MessageBytes Size `json:"messageBytes,omitempty"`
	// A delivery later than this after the intended moment of the post counts as late. Default: none is late.
	DeliverWithin Duration `json:"deliverWithin,omitempty"`
}

// Shape is factors of a rate, over time; they are scaled so that their mean over a week is 1.
type Shape struct {
	// For each hour of a day, from the start of the measure phase.
	Hours []float64 `json:"hours,omitempty" jsonschema:"minItems=24,maxItems=24"`
	// For each day of a week.
	Days []float64 `json:"days,omitempty" jsonschema:"minItems=7,maxItems=7"`
}

// Arrivals is how posts follow each other.
type Arrivals string

// The kinds of Arrivals.
const (
	Poisson  Arrivals = "poisson"
	Constant Arrivals = "constant"
)

// Schedule is when something happens: once at a moment, or count times from that moment on, one every so often. Moments
// count from the start of the measure phase.
type Schedule struct {
	// The moment of the first, from the start of the measure phase. Default 0s.
	At Duration `json:"at,omitempty"`
	// The time from one to the next.
	Every Duration `json:"every,omitempty"`
	// How many there are. Default 1.
	Count int `json:"count,omitempty" jsonschema:"minimum=1,maximum=10000"`
}

// Broadcast is one post, or several, in the channel that every session reads.
type Broadcast struct {
	Schedule `json:",inline" yaml:",inline"`
	// The size of a post's content, at least 32 bytes. Default 200B.
	MessageBytes Size `json:"messageBytes,omitempty"`
	// A delivery later than this after the intended moment of the post counts as late. Default 1s.
	DeliverWithin Duration `json:"deliverWithin,omitempty"`
}

// Fault is something that breaks, once or several times.
type Fault struct {
	// Names it for thresholds and the report. Default: the action and the target, as in "kill store-leading".
	Name     string `json:"name,omitempty" jsonschema:"maxLength=64"`
	Schedule `json:",inline" yaml:",inline"`
	// What is done to the process: kill (SIGKILL), stop (SIGSTOP, and on again after `for`), or restart (SIGTERM, which
	// drains it, and started again), or clock: the clock that the process goes by is set by `step`. Or to sessions: cut, they lose their connection, by a reset, and come back by the rule for clients;
	// delay, all that goes between them and their shards takes longer, both ways.
	Action Action `json:"action" jsonschema:"required,enum=kill,enum=stop,enum=restart,enum=clock,enum=cut,enum=delay"`
	// To which: store-leading (a store that owns partitions), meta-leader (the store that leads the stores' meta group),
	// shard (any one), all-stores (all at once), or store-N or shard-N, from 0. For cut and delay: sessions. Model only, and only killed:
	// zone-N, all pods of a failure domain of target.model.
	Target FaultTarget `json:"target" jsonschema:"required,pattern=^(store-leading|meta-leader|shard|all-stores|sessions|(store|shard|zone)-(0|[1-9][0-9]{0\\,2}))$"`
	// The share of all sessions that is cut or delayed, above 0 up to 1. Only for cut and delay, which need it. All delays of a scenario
	// are of the same sessions, and have the same share.
	Share float64 `json:"share,omitempty" jsonschema:"exclusiveMinimum=0,maximum=1"`
	// How long a stopped process stands still, or sessions are delayed, or a clock is wrong. Only for stop and delay, which need it, and
	// for clock, which without it stays wrong.
	For Duration `json:"for,omitempty"`
	// How long after its death a killed process is started again. Default for kill: it stays dead. Only for kill.
	RestartAfter Duration `json:"restartAfter,omitempty"`
	// How far the clock is set forward, or back if it begins with a minus: whole seconds, at most 12h. Only for clock, which needs it.
	Step Step `json:"step,omitempty"`
	// How much longer everything takes, one way. At most 4s. Only for delay, which needs it.
	Delay Duration `json:"delay,omitempty"`
	// Up to how much is added to that, drawn evenly anew for each piece that is passed on; what comes later does not overtake. Only for
	// delay. Default 0s.
	Jitter Duration `json:"jitter,omitempty"`
}

// Action is what a fault does to a process.
type Action string

// The actions.
const (
	Kill    Action = "kill"
	Stop    Action = "stop"
	Restart Action = "restart"
	Clock   Action = "clock"
	Cut     Action = "cut"
	Delay   Action = "delay"
)

// FaultTarget is the process, or processes, that a fault is done to: one of the constants, or store-N or shard-N.
type FaultTarget string

// The targets that are found when the fault is due.
const (
	StoreLeading FaultTarget = "store-leading"
	MetaLeader   FaultTarget = "meta-leader"
	AnyShard     FaultTarget = "shard"
	AllStores    FaultTarget = "all-stores"
	Sessions     FaultTarget = "sessions"
)

// Threshold is a bound that must hold. Times must stay below it, everything else may reach it.
type Threshold struct {
	// What is bounded; `simulator schema` lists the metrics. What was posted in the warm-up is not in them.
	Metric string `json:"metric" jsonschema:"required"`
	// Which figure of many values: max, mean, median, or a percentile such as p99.9. Default: the metric's own. Metrics
	// that are one number have none.
	Aggregation string `json:"aggregation,omitempty"`
	// Only the faults of this name; for the metrics of faults. Default: all faults.
	Fault string `json:"fault,omitempty"`
	// The bound: a time ("1s"), a size ("64KiB") or a number (0, 0.001), as the metric wants.
	Bound Bound `json:"bound" jsonschema:"required"`
	// With fewer samples than this the result is inconclusive. Default 1; never less.
	MinSamples int64 `json:"minSamples,omitempty" jsonschema:"minimum=1"`
	// Claims the bound for the next run too, at this confidence (0.95, say), from samples that are correlated within a
	// broadcast and shard. Only for percentiles of delivery. Default: the bound is for this run, of which every delivery
	// was counted.
	Confidence float64 `json:"confidence,omitempty" jsonschema:"minimum=0.5,maximum=0.9999"`
}

// Growth is two moments of the measure phase. What a process holds at one is the middle of what it held in the minute around it.
type Growth struct {
	// The moment that it is compared with, after which nothing should grow.
	From Duration `json:"from" jsonschema:"required"`
	// The moment that is compared with it.
	To Duration `json:"to" jsonschema:"required"`
}

// Workers is the processes that hold the sessions.
type Workers struct {
	// How many: a number, or auto (default): as many as this machine's limit of open files a process asks for.
	Count WorkerCount `json:"count,omitempty"`
	// Local addresses that sessions connect from, in turn. One has about 28,000 ports to each address of the target.
	// Default: spread over 127.0.0.0/8 for a local fleet, else the system's choice.
	SourceAddresses []string `json:"sourceAddresses,omitempty" jsonschema:"uniqueItems=true,maxItems=250"`
}

// Output is a file to write beside report.json.
type Output string

// The outputs.
const (
	// One page that works offline: report.html.
	HTML Output = "html"
	// One test case a threshold: junit.xml.
	JUnit Output = "junit"
	// HdrHistogram interval logs: latency.hlog.
	HLog Output = "hlog"
)
