package calibration

import "slices"

// Unit is what a coefficient is counted in.
type Unit string

// The units.
const (
	Microseconds Unit = "µs"
	Nanoseconds  Unit = "ns"
	Milliseconds Unit = "ms"
	Bytes        Unit = "B"
	Cores        Unit = "cores"
	Ratio        Unit = "ratio"
)

// Name names a coefficient.
type Name string

// The coefficients, by what they are of.
const (
	// Processor time.
	Write       Name = "write"
	Along       Name = "along"
	Byte        Name = "byte"
	TLS         Name = "tls"
	Receive     Name = "receive"
	ReceiveByte Name = "receiveByte"
	Ping        Name = "ping"
	PingRead    Name = "pingRead"
	Rouse       Name = "rouse"
	RouseRead   Name = "rouseRead"
	SignIn      Name = "signIn"
	Dial        Name = "dial"
	PostShard   Name = "postShard"
	PostStore   Name = "postStore"
	PostAuthor  Name = "postAuthor"
	Copy        Name = "copy"
	StoreIdle   Name = "storeIdle"
	ShardIdle   Name = "shardIdle"
	ReaderIdle  Name = "readerIdle"
	PosterIdle  Name = "posterIdle"
	Switch      Name = "switch"
	// Times.
	Acknowledge       Name = "acknowledge"
	AcknowledgeSpread Name = "acknowledgeSpread"
	Begin             Name = "begin"
	Wake              Name = "wake"
	Hop               Name = "hop"
	TakeOver          Name = "takeOver"
	Silence           Name = "silence"
	Link              Name = "link"
	PodReplacement    Name = "podReplacement"
	ProcessStart      Name = "processStart"
	// Sizes.
	Frame         Name = "frame"
	SessionMemory Name = "sessionMemory"
	TLSMemory     Name = "tlsMemory"
	SocketMemory  Name = "socketMemory"
)

// Term is what a coefficient means.
type Term struct {
	Name Name
	Unit Unit
	// One line for people.
	Help string
}

// Terms are all coefficients, in the order in which people should meet them.
func Terms() []Term {
	return []Term{
		{Write, Microseconds, "processor time of a shard to write one event to one session"},
		{Along, Microseconds, "processor time of a shard for each further event that goes along in the same write"},
		{Byte, Nanoseconds, "processor time of a shard for each byte of an event beyond 200, a session"},
		{TLS, Ratio, "how many times as much a write costs over TLS"},
		{Receive, Microseconds, "processor time of the generator to receive one event at one session; counts where cores are shared"},
		{ReceiveByte, Nanoseconds, "processor time of the generator for each byte of an event beyond 200, a session; counts where cores are shared"},
		{Ping, Microseconds, "processor time of a shard for a session's ping, of which there is one every 20 s, beside other work"},
		{PingRead, Microseconds, "processor time of the generator for it, beside other work; counts where cores are shared"},
		{Rouse, Microseconds, "processor time of a shard to be woken for a ping while it has no other work; counts where cores are shared"},
		{RouseRead, Microseconds, "processor time of the generator for that; counts where cores are shared"},
		{SignIn, Microseconds, "processor time of the fleet for a sign-in, at the shard"},
		{Dial, Microseconds, "processor time of the generator for it; counts where cores are shared"},
		{PostShard, Microseconds, "processor time of a shard for a post that comes over HTTP"},
		{PostStore, Microseconds, "processor time of each store for a post"},
		{PostAuthor, Microseconds, "processor time of the generator for a post; counts where cores are shared"},
		{Copy, Microseconds, "processor time of a store to publish an event to one shard"},
		{StoreIdle, Cores, "what a store uses for being there while nothing is posted; counts where cores are shared"},
		{ShardIdle, Cores, "what a shard uses while nothing is posted; counts where cores are shared"},
		{ReaderIdle, Cores, "what each thread of the generator uses while nothing comes; counts where cores are shared"},
		{PosterIdle, Cores, "what the rest of the generator uses while nothing is posted; counts where cores are shared"},
		{Switch, Ratio, "how much more each thing takes for each thread that wants to run beyond the shared cores"},
		{Acknowledge, Milliseconds, "median time from sending a post to its acknowledgement, at rest, with all of its hops and costs"},
		{AcknowledgeSpread, Ratio, "its 99th percentile over its median"},
		{Begin, Milliseconds, "time from an event's coming to a shard until the shard begins to write it"},
		{Wake, Milliseconds, "what a thread that wakes up on shared cores waits for each thread in line before it, a core"},
		{Hop, Milliseconds, "time between a shard and a store, one way"},
		{TakeOver, Milliseconds, "time until the logs of a store that died have another owner"},
		{Silence, Milliseconds, "the same for a store that hangs"},
		{Link, Milliseconds, "time until a shard whose store is gone is linked to another"},
		{PodReplacement, Milliseconds, "time until the operator has replaced a pod that is gone, its start included"},
		{ProcessStart, Milliseconds, "time from starting a process to its being ready"},
		{Frame, Bytes, "what the network carries for an event besides its content, a session"},
		{SessionMemory, Bytes, "memory of a shard's process (proportional set size), a session"},
		{TLSMemory, Bytes, "memory of a shard's process besides, a session over TLS"},
		{SocketMemory, Bytes, "memory of the kernel, a session; a container's limit counts it too"},
	}
}

func termOf(name Name) (Term, bool) {
	all := Terms()
	i := slices.IndexFunc(all, func(t Term) bool { return t.Name == name })
	if i < 0 {
		return Term{}, false
	}
	return all[i], true
}

// Help is one line on a coefficient; "" if there is no such one.
func (n Name) Help() string {
	t, _ := termOf(n)
	return t.Help
}
