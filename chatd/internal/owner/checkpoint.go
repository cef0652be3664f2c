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
}

// checkpoint begins a checkpoint if one is due, and goes on with the one that is under way.
func (t *term) checkpoint() {
	c := &t.cp
	if c.taken == nil {
		// The first one at once: where there is none, a take-over has to ask the state stream's leader whether that is so.
		due := c.revision == 0 || c.events >= t.cfg.CheckpointEvents || c.events > 0 && t.cfg.Now().Sub(c.last) >= t.cfg.CheckpointEvery
		if !due || !t.take() {
			return
		}
	}
	// A snapshot may hold events that were on their way when it was taken: it is stored only once they are.
	if !c.saving && t.settledSeq >= c.target.Seq {
		c.saving = true
		cp, taken, revision := c.target, c.taken, c.revision
		t.read(func() func() {
			revision, err := t.save(taken, cp, revision)
			return func() { t.saved(revision, err) }
		})
	}
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
		taken = append(taken, &snapshot{e, e.state.Pts, e.revision, data})
	}
	for _, s := range taken {
		s.entry.dirty, s.entry.saving = false, true
	}
	c := &t.cp
	c.taken, c.events = taken, 0
	c.target = &wire.Checkpoint{Seq: t.lastSeq, Term: t.id}
	if !t.begun {
		c.target.Term, c.target.Void = t.prev.term, t.prev.void
	}
	return true
}

// save stores the snapshots, then the checkpoint that speaks of them. It runs on a reader's goroutine.
func (t *term) save(taken []*snapshot, cp *wire.Checkpoint, revision uint64) (uint64, error) {
	group, ctx := errgroup.WithContext(t.ctx)
	group.SetLimit(t.cfg.Readers / 2)
	// Spread out, since posts share disks and stores with them; but never slower than logs move.
	pace := rate.NewLimiter(rate.Limit(max(snapshotsPerSecond, len(taken)/2)), 32)
	for _, s := range taken {
		if err := pace.Wait(ctx); err != nil {
			break // the group's error, or the end of the term
		}
		group.Go(func() error { return t.saveOne(ctx, s) })
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
			s.revision = revision
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
		if err != nil {
			s.entry.dirty = true
		}
	}
	events := c.events
	if err == nil {
		c.base, c.revision = c.target.Seq, revision
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
