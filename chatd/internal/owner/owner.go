package owner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/chatlog"
	"github.com/chatfleet/chatfleet/chatd/internal/trace"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
)

// Journal is a partition's two streams, as far as its owner needs them.
type Journal interface {
	// Appender begins a pipeline of appends to the log stream. The one before it is no longer used.
	Appender() (Appender, error)
	// Tail visits every message of the log stream after the sequence, in order, and returns the last sequence of the stream. It reads
	// what one replica has, which need not be all of it.
	Tail(ctx context.Context, after uint64, visit func(seq uint64, event []byte) error) (last uint64, err error)
	// Last is the log stream's last sequence, as its leader knows it: it counts what is stored, and what is about to be.
	Last(ctx context.Context) (uint64, error)
	// At reads one message of the log stream; ErrNotFound if it is not there.
	At(ctx context.Context, seq uint64) ([]byte, error)
	// Range visits at most n messages of the log stream from the sequence on, in order; also those that are void.
	Range(ctx context.Context, from uint64, n int, visit func(seq uint64, event []byte)) error
	// State reads a log's snapshot and the checkpoint, both from one replica at one moment. What is not there is nil.
	// An empty log reads the checkpoint alone.
	State(ctx context.Context, log string) (snapshot, checkpoint Revision, err error)
	// PutState replaces a log's snapshot (of an empty log: the checkpoint) of the given revision, 0 if there is none;
	// ErrRevision if that is not the revision that is there.
	PutState(ctx context.Context, log string, replaces uint64, data []byte) (revision uint64, err error)
}

// Revision is a stored value and the number that names it among its predecessors.
type Revision struct {
	Data   []byte
	Number uint64
}

// ErrRevision says that a snapshot has another revision than the one to be replaced.
var ErrRevision = errors.New("the revision to be replaced is not the newest")

// ErrNotFound says that a message is not in the stream, or not yet on the replica that was asked.
var ErrNotFound = errors.New("not found")

// Appender appends to the log stream.
type Appender interface {
	// Append asks for event to be stored right after the sequence, and nowhere else. The outcome arrives on Outcomes.
	Append(log string, event []byte, after uint64) error
	// Outcomes says what became of the appends, in the order in which the stream answered.
	Outcomes() <-chan Outcome
	Close()
}

// Outcome is what became of an append: the sequence at which the event is stored, or why it is not.
type Outcome struct {
	Seq uint64
	Err error
}

// Link is how an owner speaks with the shards.
type Link interface {
	// Live publishes a stored event.
	Live(log string, event []byte)
	// Digest publishes a digest.
	Digest(*wire.Digest)
	// Listen brings requests to ask until stop is called. Each reply may be called once, from any goroutine, or never.
	Listen(ask func(req *wire.OwnerRequest, reply func(*wire.OwnerReply))) (stop func(), err error)
	// Ask asks the owner of a partition once.
	Ask(ctx context.Context, partition int, req *wire.OwnerRequest) (*wire.OwnerReply, error)
}

// Config of an Owner. All but the fields with a default are required.
type Config struct {
	Partition int
	// Partitions is how many the region has.
	Partitions int
	Epoch      uint32
	Journal    Journal
	Link       Link
	Logger     *slog.Logger
	Metrics    *Metrics
	// Trace follows posts; nil follows none.
	Trace *trace.Tracer
	// Now is the clock that stamps events. Default time.Now.
	Now func() time.Time
	// Steady is a clock that nobody sets; only its differences count. Default one that began with the process.
	Steady func() time.Duration

	// Full names a store whose volume has no room, empty if none is full: then what makes a log grow is refused. Default nobody is.
	Full func() string

	// Limits of logs and users. Default none.
	Limits chatlog.Limits

	// Retain says what goes, if the Journal is a Pruner. Default nothing.
	Retain Retention

	// Window is how many appends may be on the way at once. Default 512.
	Window int
	// AckTimeout: a term ends once its stream is silent for so long while appends are on the way; longer where it has been slow. Default 3 s.
	AckTimeout time.Duration
	// DigestEvery is the time between digests. Default 500 ms.
	DigestEvery time.Duration
	// CheckpointEvents and CheckpointEvery say when a checkpoint is due: so many events, or so long, after the last one.
	// The first bounds what a take-over reads. Defaults 4,096 and 15 s.
	CheckpointEvents int
	CheckpointEvery  time.Duration
	// MaxTailEvents and MaxTailBytes bound what stands in the stream behind the newest checkpoint, and with it the memory and the time of
	// a take-over: once there is so much, nothing is appended until a checkpoint has caught up. Defaults 65,536 and 64 MiB.
	MaxTailEvents, MaxTailBytes int
	// MaxStates is how many logs' states are kept in memory. Default 65,536.
	MaxStates int
	// MaxRemembered ids of posts are kept in memory, of all logs together; a repeat of another is looked for in the stream. About 100 bytes
	// each. Default 65,536.
	MaxRemembered int
	// MaxUntold is how many channels and bans may wait for other partitions to be told of them; what would add to them waits. Default 16,384.
	MaxUntold int
	// TellAgain is the time after which what another partition does not keep yet is told again. Default 5 s.
	TellAgain time.Duration
	// TellBansFor is how long a banned user's own log is told of it. Default a minute.
	TellBansFor time.Duration
	// RecentBytes of the newest events are kept in memory for fetches. Default 8 MiB.
	RecentBytes int
	// MaxFetchEvents and MaxFetchBytes bound the answer to one fetch. Defaults 500 and 512 KiB.
	MaxFetchEvents, MaxFetchBytes int
	// Readers bounds how many loads and fetches read the streams at once. Default 64.
	Readers int
}

func (c Config) withDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Steady == nil {
		began := time.Now()
		c.Steady = func() time.Duration { return time.Since(began) }
	}
	if c.Full == nil {
		c.Full = func() string { return "" }
	}
	c.Retain.Every = orDefault(c.Retain.Every, retainEvery)
	c.Window = orDefault(c.Window, 512)
	c.AckTimeout = orDefault(c.AckTimeout, 3*time.Second)
	c.DigestEvery = orDefault(c.DigestEvery, 500*time.Millisecond)
	c.CheckpointEvents = orDefault(c.CheckpointEvents, 4096)
	c.CheckpointEvery = orDefault(c.CheckpointEvery, 15*time.Second)
	c.MaxTailEvents = orDefault(c.MaxTailEvents, 65_536)
	c.MaxTailBytes = orDefault(c.MaxTailBytes, 64<<20)
	c.MaxStates = orDefault(c.MaxStates, 65_536)
	c.MaxRemembered = orDefault(c.MaxRemembered, 65_536)
	c.Partitions = orDefault(c.Partitions, 1)
	c.MaxUntold = orDefault(c.MaxUntold, 16_384)
	c.TellAgain = orDefault(c.TellAgain, tellAgain)
	c.TellBansFor = orDefault(c.TellBansFor, tellBansFor)
	c.RecentBytes = orDefault(c.RecentBytes, 8<<20)
	c.MaxFetchEvents = orDefault(c.MaxFetchEvents, 500)
	c.MaxFetchBytes = orDefault(c.MaxFetchBytes, 512<<10)
	c.Readers = orDefault(c.Readers, 64)
	return c
}

func orDefault[T int | time.Duration](v, d T) T {
	if v == 0 {
		return d
	}
	return v
}

// Owner writes a partition while its store leads it.
type Owner struct {
	cfg      Config
	clock    clock
	patience patience
}

// New makes an owner, which does nothing before Lead.
func New(cfg Config) *Owner {
	cfg = cfg.withDefaults()
	return &Owner{cfg: cfg, clock: newClock(cfg.Now, cfg.Steady), patience: newPatience(cfg.AckTimeout, cfg.DigestEvery)}
}

// Lead owns the partition until ctx ends: term after term. It returns when everything that it started has ended.
// active is told when the owner begins and ceases to take requests.
func (o *Owner) Lead(ctx context.Context, active func(bool)) {
	log := o.cfg.Logger.With("partition", o.cfg.Partition)
	for pause := time.Duration(0); ctx.Err() == nil; {
		begun := time.Now()
		t, err := o.takeOver(ctx, rand.Uint64())
		if err == nil {
			log.Info("took over", "term", t.id, "lastSeq", t.lastSeq, "tail", t.tailLen, "took", time.Since(begun))
			o.cfg.Metrics.takeOver(time.Since(begun))
			pause = 0
			err = t.run(ctx, active)
		}
		if ctx.Err() != nil {
			return
		}
		log.Warn("term ended; reading what the stream holds", "err", err)
		o.cfg.Metrics.termsEnded.Inc()
		// At once the first time, since posts are waiting; then with care.
		pause = min(max(2*pause, 5*time.Millisecond), 500*time.Millisecond)
		sleep(ctx, pause)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func wrap(err error, doing string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", fmt.Sprintf(doing, args...), err)
}
