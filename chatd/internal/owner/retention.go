package owner

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/wire"
)

// Retention: a partition's oldest events go, by age and by size, from the beginning of its stream on. Logs' states stay, in their snapshots,
// and so do positions; who asks for an event that is gone is told so.
//
// Only what stands before a checkpoint goes that has stood for as long as lies between two purges: then every store has it on disk also
// where that is not waited for, and no take-over begins before it. A take-over that does, from a replica that is far behind, finds that its
// tail does not begin behind its checkpoint, and reads again. The event at the checkpoint stays, so a stream that had one is never empty.

const (
	// retainEvery is the least time between two purges of a partition.
	retainEvery = time.Minute
	// maxPurge is how many events one purge takes at most. It bounds how long the stream is busy with it, and what a store whose clock is
	// wrong can do before somebody sees it.
	maxPurge = 1_000_000
	// purgeSteps is in how many steps the size of the oldest events is estimated, more or less, and sampled how many of each are read.
	purgeSteps = 64
	sampled    = 16
)

// Retention says how much of a partition's events is kept. What is 0 does not count.
type Retention struct {
	Age   time.Duration
	Bytes uint64
	// Every is the least time between two purges. Default a minute.
	Every time.Duration
}

// Off says that nothing goes.
func (r Retention) Off() bool { return r.Age == 0 && r.Bytes == 0 }

// Pruner is a Journal whose log stream can lose its beginning.
type Pruner interface {
	// Holds says what the log stream holds, by its leader.
	Holds(ctx context.Context) (Holding, error)
	// Since is the sequence of the first event that was stored at a time or later; 0 if there is none.
	Since(ctx context.Context, at time.Time) (uint64, error)
	// Sizes adds up what at most n events from a sequence on take in the stream, and says how many they are.
	Sizes(ctx context.Context, from uint64, n int) (events int, bytes uint64, err error)
	// Purge takes all events before a sequence.
	Purge(ctx context.Context, before uint64) error
}

// Holding is what a log stream holds: the events from First to Last, none if First is after Last.
type Holding struct{ First, Last, Bytes uint64 }

func (h Holding) events() uint64 { return h.Last + 1 - min(h.First, h.Last+1) }

// errGone says that an event was taken by retention.
var errGone = errors.New("gone by retention")

// retention is a term's part in it.
type retention struct {
	// floor is the first sequence that may still be there, as far as is known. For all goroutines.
	floor atomic.Uint64
	// oldest is when the oldest event was stored, in milliseconds since 1970; 0 if that is not known. For metrics.
	oldest atomic.Int64
	// mark is the checkpoint's sequence as of the last turn, which was at last.
	mark uint64
	last time.Duration
	busy bool
}

// raise notes that the events before a sequence are gone.
func (r *retention) raise(floor uint64) {
	for {
		before := r.floor.Load()
		if floor <= before || r.floor.CompareAndSwap(before, floor) {
			return
		}
	}
}

func (t *term) gone(seq uint64) bool { return seq < t.retention.floor.Load() }

// learnFloor asks the stream where it begins.
func (t *term) learnFloor(ctx context.Context) (Holding, error) {
	p, ok := t.cfg.Journal.(Pruner)
	if !ok {
		return Holding{}, nil
	}
	have, err := p.Holds(ctx)
	if err == nil {
		t.retention.raise(have.First)
	}
	return have, err
}

// recentOr finds an event in memory, or says ErrNotFound; errGone also of what is there for a while yet.
func (t *term) recentOr(seq uint64) ([]byte, error) {
	if t.gone(seq) {
		return nil, errGone
	}
	return t.recent.get(seq)
}

// retain has old events go, if it is time.
func (t *term) retain() {
	r, keep := &t.retention, t.cfg.Retain
	p, ok := t.cfg.Journal.(Pruner)
	now := t.cfg.Steady()
	if !ok || keep.Off() || r.busy || r.last != 0 && now-r.last < keep.Every {
		return
	}
	upTo, first := r.mark, r.last == 0
	r.mark, r.last = t.cp.base, max(now, 1)
	if first {
		return // a checkpoint that this term has begun with may be a moment old
	}
	r.busy = true
	by := t.clock.careful()
	t.read(func() func() {
		purged, err := t.purge(p, upTo, by)
		return func() {
			r.busy = false
			t.cfg.Metrics.purged.Add(float64(purged))
			if err != nil {
				t.cfg.Metrics.purgesFailed.Inc()
				t.cfg.Logger.Warn("old events were not purged; will try again", "partition", t.cfg.Partition, "err", err)
			} else if purged > 0 {
				t.cfg.Logger.Info("purged old events", "partition", t.cfg.Partition, "events", purged, "firstKept", r.floor.Load())
			}
		}
	})
}

// purge takes what is too old by a clock, or too much, but nothing from upTo on. It runs on a reader's goroutine.
func (t *term) purge(p Pruner, upTo uint64, by time.Time) (purged uint64, err error) {
	have, err := t.learnFloor(t.ctx)
	if err != nil {
		return 0, wrap(err, "asking what the stream holds")
	}
	defer t.noteOldest()
	cut := have.First
	if age := t.cfg.Retain.Age; age > 0 {
		tooOld, err := t.tooOld(p, have, upTo, by.Add(-age))
		if err != nil {
			return 0, wrap(err, "looking for the first event that is not too old")
		}
		cut = max(cut, tooOld)
	}
	if most := t.cfg.Retain.Bytes; most > 0 && have.Bytes > most {
		enough, err := t.cutOf(p, have, have.Bytes-most)
		if err != nil {
			return 0, wrap(err, "measuring the oldest events")
		}
		cut = max(cut, enough)
	}
	cut = min(cut, upTo, have.First+maxPurge)
	if cut <= have.First {
		return 0, nil
	}
	if err := p.Purge(t.ctx, cut); err != nil {
		return 0, wrap(err, "purging what is before sequence %d", cut)
	}
	t.retention.raise(cut)
	return cut - have.First, nil
}

// tooOld is before which sequence, upTo at most, the events are older than a time. The replica that was asked may be far behind, and the
// stores' clocks differ: so the newest of these events must say it itself.
func (t *term) tooOld(p Pruner, have Holding, upTo uint64, than time.Time) (uint64, error) {
	since, err := p.Since(t.ctx, than)
	if err != nil {
		return 0, err
	}
	if since == 0 {
		since = upTo
	}
	since = min(since, upTo, have.First+maxPurge)
	if since <= have.First {
		return 0, nil
	}
	data, err := t.cfg.Journal.At(t.ctx, since-1)
	if err != nil {
		return 0, err
	}
	e := new(wire.StoredEvent)
	if err := proto.Unmarshal(data, e); err != nil {
		return 0, err
	}
	if e.TimeMs >= than.UnixMilli() {
		return 0, nil
	}
	return since, nil
}

// cutOf is before which sequence there are so many bytes, about: sizes of some events stand for those of the ones beside them.
func (t *term) cutOf(p Pruner, have Holding, bytes uint64) (uint64, error) {
	// Twice as many as there would be of the average size are searched closely.
	reach := min(have.events(), maxPurge, 2*bytes/max(have.Bytes/max(have.events(), 1), 1)+sampled)
	step := max(reach/purgeSteps, sampled)
	end := have.First + min(have.events(), maxPurge)
	left := float64(bytes)
	for at, steps := have.First, 1; at < end; at, steps = at+step, steps+1 {
		if steps%purgeSteps == 0 {
			step *= 2 // the oldest events are smaller than most
		}
		events, size, err := p.Sizes(t.ctx, at, sampled)
		if err != nil || events == 0 {
			return at, err
		}
		each := max(float64(size)/float64(events), 1)
		if left <= each*float64(step) {
			return at + uint64(left/each), nil
		}
		left -= each * float64(step)
	}
	return end, nil
}

// noteOldest reads when the oldest event was stored.
func (t *term) noteOldest() {
	data, err := t.cfg.Journal.At(t.ctx, max(t.retention.floor.Load(), 1))
	e := new(wire.StoredEvent)
	if err == nil && proto.Unmarshal(data, e) == nil {
		t.retention.oldest.Store(e.TimeMs)
	}
}

// oldestFor is how old the oldest event is, in seconds, as of the last turn; 0 if nothing is to go.
func (t *term) oldestFor() float64 {
	ms := t.retention.oldest.Load()
	if ms == 0 {
		return 0
	}
	return max(t.cfg.Now().Sub(time.UnixMilli(ms)).Seconds(), 0)
}

// inTail checks that a take-over misses no event of the tail.
func inTail(seq, before uint64) error {
	if seq == before+1 {
		return nil
	}
	return fmt.Errorf("the events from sequence %d to %d were not among what was read: a connection lost them, or they are gone and the checkpoint that was read is an old one. It is read again; if this lasts, the stream of snapshots was restored to an earlier state than that of events", before+1, seq-1)
}

// checkpointSeq is the sequence that a checkpoint names.
func checkpointSeq(data []byte) uint64 {
	c := new(wire.Checkpoint)
	if proto.Unmarshal(data, c) != nil {
		return 0
	}
	return c.Seq
}
