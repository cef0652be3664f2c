package owner

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/wire"
)

// snapshotsPerSecond is the least pace at which a checkpoint's snapshots are stored.
const snapshotsPerSecond = 1000

// checkpointer moves the checkpoint along: it bounds what a take-over reads, and lets states leave memory.
type checkpointer struct {
	// base is the sequence of the newest checkpoint, revision its revision.
	base, revision uint64
	last           time.Time
	// events since base.
	events int
	// bytes of events that this term has inherited or appended; of them, those up to target and those up to base.
	bytes, targetBytes, baseBytes int
	// taken are the snapshots of the checkpoint that is being made; nil if none is.
	taken []*snapshot
	// target is what it will say, once its sequence is acknowledged.
	target *wire.Checkpoint
	saving bool
}

type snapshot struct {
	entry    *entry
	pts      uint64
	revision uint64
	data     []byte
	stored   bool
}

// checkpoint begins a checkpoint if one is due, and goes on with the one that is under way.
func (t *term) checkpoint() {
	c := &t.cp
	if c.taken == nil {
		// The first one at once: where there is none, a take-over has to ask the state stream's leader whether that is so.
		due := c.revision == 0 || c.events >= t.cfg.CheckpointEvents || t.tailShare() > 0.25 || c.events > 0 && t.cfg.Now().Sub(c.last) >= t.cfg.CheckpointEvery
		if !due || !t.take() {
			return
		}
	}
	// A snapshot may hold events that were on their way when it was taken: it is stored only once they are.
	if !c.saving && t.settledSeq >= c.target.Seq {
		c.saving = true
		cp, taken, revision := c.target, c.taken, c.revision
		// Spread out, since posts share disks and stores with them; but never slower than logs move, and as fast as they go once
		// posts are about to wait for them.
		pace := rate.NewLimiter(rate.Limit(max(snapshotsPerSecond, len(taken)/2)), 32)
		if t.tailShare() > 0.5 {
			pace.SetLimit(rate.Inf)
		}
		t.read(func() func() {
			revision, err := t.save(taken, cp, revision, pace)
			return func() { t.saved(revision, err) }
		})
	}
}

// tailShare is how much of what may stand behind the checkpoint does: 1 is all.
func (t *term) tailShare() float64 {
	return max(float64(t.lastSeq-min(t.lastSeq, t.cp.base))/float64(t.cfg.MaxTailEvents), float64(t.cp.bytes-t.cp.baseBytes)/float64(t.cfg.MaxTailBytes))
}

// take makes the snapshots of all dirty logs; false if some of them are not loaded yet.
func (t *term) take() bool {
	taken := []*snapshot{}
	for _, e := range t.logs {
		if e.dirty && e.state == nil {
			return false
		}
	}
	for _, e := range t.logs {
		if !e.dirty {
			continue
		}
		data, err := proto.Marshal(e.state.Snapshot())
		if err != nil {
			t.err = wrap(err, "making a snapshot of log %s", e.log)
			return false
		}
		taken = append(taken, &snapshot{entry: e, pts: e.state.Pts, revision: e.revision, data: data})
	}
	for _, s := range taken {
		s.entry.dirty, s.entry.saving = false, true
	}
	c := &t.cp
	c.taken, c.events, c.targetBytes = taken, 0, c.bytes
	c.target = &wire.Checkpoint{Seq: t.lastSeq, Term: t.id, TimeMs: t.clock.lastMs()}
	if !t.begun {
		c.target.Term, c.target.Void = t.prev.term, t.prev.void
	}
	return true
}

// save stores the snapshots, then the checkpoint that speaks of them. It runs on a reader's goroutine.
func (t *term) save(taken []*snapshot, cp *wire.Checkpoint, revision uint64, pace *rate.Limiter) (uint64, error) {
	var group errgroup.Group // that goes on after an error: what is stored need not be stored again
	group.SetLimit(max(t.cfg.Readers/2, 1))
	for _, s := range taken {
		if err := pace.Wait(t.ctx); err != nil {
			break // the end of the term
		}
		group.Go(func() error { return t.saveOne(t.ctx, s) })
	}
	if err := errors.Join(group.Wait(), t.ctx.Err()); err != nil {
		return 0, wrap(err, "storing snapshots")
	}
	data, err := proto.Marshal(cp)
	if err != nil {
		return 0, err
	}
	revision, err = t.cfg.Journal.PutState(t.ctx, "", revision, data)
	return revision, wrap(err, "storing the checkpoint")
}

// saveOne stores a snapshot, unless a newer one of the same log is there.
func (t *term) saveOne(ctx context.Context, s *snapshot) error {
	for {
		revision, err := t.cfg.Journal.PutState(ctx, s.entry.log, s.revision, s.data)
		if err == nil {
			s.revision, s.stored = revision, true
			t.cfg.Metrics.snapshots.Inc()
			return nil
		}
		if !errors.Is(err, ErrRevision) {
			return wrap(err, "storing the snapshot of log %s", s.entry.log)
		}
		// Another owner stored one since this one was loaded: one that was stopped, before this term, an older one; or, if this
		// term is over and does not know it yet, a newer one.
		there, _, err := t.cfg.Journal.State(ctx, s.entry.log)
		if err != nil {
			return wrap(err, "reading the snapshot of log %s", s.entry.log)
		}
		w := new(wire.LogState)
		if err := proto.Unmarshal(there.Data, w); err != nil {
			return wrap(err, "the snapshot of log %s is damaged", s.entry.log)
		}
		if there.Number <= s.revision || w.Pts > s.pts {
			return ErrRevision // the replica is behind, or we are: try again with the next checkpoint
		}
		s.revision = there.Number
	}
}

// saved ends a checkpoint.
func (t *term) saved(revision uint64, err error) {
	c := &t.cp
	for _, s := range c.taken {
		s.entry.saving = false
		s.entry.revision = max(s.entry.revision, s.revision)
		if !s.stored {
			s.entry.dirty = true
		}
	}
	events := c.events
	if err == nil {
		c.base, c.revision, c.baseBytes = c.target.Seq, revision, c.targetBytes
		t.cfg.Metrics.checkpoints.Inc()
	} else {
		events += len(c.taken)
		if errors.Is(err, ErrRevision) {
			t.refreshRevision()
		}
		t.cfg.Logger.Warn("no checkpoint; will try again", "partition", t.cfg.Partition, "err", err)
	}
	c.events, c.last = events, t.cfg.Now()
	c.taken, c.saving = nil, false
	if err == nil && t.tailShare() > 0.25 {
		t.checkpoint() // at once: posts may be waiting for it
	}
}

// refreshRevision learns the revision of the checkpoint that is there, which a stopped owner may have stored after this term began.
func (t *term) refreshRevision() {
	t.read(func() func() {
		_, checkpoint, err := t.cfg.Journal.State(t.ctx, "")
		return func() {
			if err == nil && !t.cp.saving {
				t.cp.revision = max(t.cp.revision, checkpoint.Number)
			}
		}
	})
}
