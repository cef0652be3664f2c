package owner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/chatlog"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
)

// snapshotsPerSecond is the least pace at which a checkpoint's snapshots are stored.
const snapshotsPerSecond = 1000

// checkpointer moves the checkpoint along: it bounds what a take-over reads, and lets states leave memory.
type checkpointer struct {
	// base is the sequence of the newest checkpoint, revision its revision.
	base, revision uint64
	// data is the newest checkpoint itself. claimed, if not 0, is the revision under which this term has replaced it without a change: see
	// doc.go, on tallies.
	data     []byte
	claimed  uint64
	claiming bool
	last     time.Time
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
	key string // in the state stream
	// Of a log: its state, with so many events and these tallies.
	entry   *entry
	pts     uint64
	tallies chatlog.Tallies
	// Of a tally.
	tally    *tally
	value    *wire.Tally
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
	if !c.saving && !c.claiming && t.settledSeq >= c.target.Seq && t.takeTallies() {
		c.saving = true
		taken, revision := c.taken, c.revision
		data, err := proto.Marshal(c.target)
		if err != nil {
			t.err = wrap(err, "making the checkpoint")
			return
		}
		// Spread out, since posts share disks and stores with them; but never slower than logs move, and as fast as they go once
		// posts are about to wait for them.
		pace := rate.NewLimiter(rate.Limit(max(snapshotsPerSecond, len(taken)/2)), 32)
		if t.tailShare() > 0.5 {
			pace.SetLimit(rate.Inf)
		}
		t.read(func() func() {
			if err := t.save(taken, pace); err != nil {
				return func() { t.saved(0, err) }
			}
			revision, err := t.cfg.Journal.PutState(t.ctx, "", revision, data)
			return func() {
				if err != nil {
					c.claimed = 0 // perhaps another owner has replaced the checkpoint
				} else {
					c.data = data
				}
				t.saved(revision, wrap(err, "storing the checkpoint"))
			}
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
		taken = append(taken, &snapshot{key: e.log, entry: e, pts: e.state.Pts, tallies: e.state.Tallies(), revision: e.revision, data: data})
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

// save stores the snapshots. It runs on a reader's goroutine.
func (t *term) save(taken []*snapshot, pace *rate.Limiter) error {
	var group errgroup.Group // that goes on after an error: what is stored need not be stored again
	group.SetLimit(max(t.cfg.Readers/2, 1))
	for _, s := range taken {
		if err := pace.Wait(t.ctx); err != nil {
			break // the end of the term
		}
		group.Go(func() error { return t.saveOne(t.ctx, s) })
	}
	return wrap(errors.Join(group.Wait(), t.ctx.Err()), "storing snapshots")
}

// saveOne stores a snapshot, unless a newer one of the same log is there.
func (t *term) saveOne(ctx context.Context, s *snapshot) error {
	for {
		revision, err := t.cfg.Journal.PutState(ctx, s.key, s.revision, s.data)
		if err == nil {
			s.revision, s.stored = revision, true
			t.cfg.Metrics.snapshots.Inc()
			return nil
		}
		if !errors.Is(err, ErrRevision) {
			return wrap(err, "storing the snapshot of %s", s.key)
		}
		// Another owner stored one since this one was loaded: one that was stopped, before this term, an older one; or, if this
		// term is over and does not know it yet, a newer one.
		there, _, err := t.cfg.Journal.State(ctx, s.key)
		if err != nil {
			return wrap(err, "reading the snapshot of %s", s.key)
		}
		if there.Number <= s.revision {
			return ErrRevision // the replica is behind: try again with the next checkpoint
		}
		if err := s.over(there.Data); err != nil {
			return wrap(err, "the snapshot of %s that is there", s.key)
		}
		s.revision = there.Number
	}
}

// over prepares a snapshot to replace another one, of whose tallies it keeps the newer ones; ErrRevision if that one has more events.
func (s *snapshot) over(there []byte) error {
	if s.tally != nil {
		other := new(wire.Tally)
		err := proto.Unmarshal(there, other)
		if err == nil && other.Epoch == s.value.Epoch && other.Seq > s.value.Seq {
			err = ErrRevision
		}
		return err
	}
	other := new(wire.LogState)
	if err := proto.Unmarshal(there, other); err != nil {
		return err
	}
	if other.Pts > s.pts {
		return ErrRevision
	}
	if len(other.Tallies) == 0 {
		return nil
	}
	state := new(wire.LogState)
	err := proto.Unmarshal(s.data, state)
	if err == nil {
		s.tallies = s.tallies.Merge(other.Tallies...)
		state.Tallies = s.tallies
		s.data, err = proto.Marshal(state)
	}
	return err
}

// saved ends a checkpoint.
func (t *term) saved(revision uint64, err error) {
	c := &t.cp
	for _, s := range c.taken {
		s.ended(err == nil)
	}
	events := c.events
	if err == nil {
		c.base, c.revision, c.baseBytes = c.target.Seq, revision, c.targetBytes
		if c.claimed == 0 {
			t.claimedAs(revision)
		}
		t.cfg.Metrics.checkpoints.Inc()
	} else {
		events += max(len(c.taken), 1) // a checkpoint whose snapshots are all stored is tried again too
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

// ended notes what has become of a snapshot; made says that there is a checkpoint behind it.
func (s *snapshot) ended(made bool) {
	if c := s.tally; c != nil {
		c.saving, c.revision, c.dirty = false, max(c.revision, s.revision), c.dirty || !s.stored
		return
	}
	e := s.entry
	e.saving, e.revision, e.dirty = false, max(e.revision, s.revision), e.dirty || !s.stored
	e.state.Count(s.tallies...)
	if made {
		e.kept = e.kept.Merge(s.tallies...)
	}
}

// claim replaces the newest checkpoint by itself, once a term. After that no other owner makes a checkpoint, and what it has stored is
// there for this one to read. Where there is no checkpoint yet, the first one is as good.
func (t *term) claim() {
	c := &t.cp
	if c.claimed != 0 || c.claiming || c.saving || c.revision == 0 {
		return
	}
	c.claiming = true
	before, data := c.revision, c.data
	t.read(func() func() {
		revision, err := t.cfg.Journal.PutState(t.ctx, "", before, data)
		return func() {
			c.claiming = false
			if err != nil {
				t.refreshRevision()
				return
			}
			c.revision = revision
			t.claimedAs(revision)
		}
	})
}

func (t *term) claimedAs(revision uint64) {
	t.cp.claimed = revision
	t.recountAll()
}

// refreshRevision learns the revision of the checkpoint that is there, which a stopped owner may have stored after this term began.
func (t *term) refreshRevision() {
	t.read(func() func() {
		_, checkpoint, err := t.cfg.Journal.State(t.ctx, "")
		return func() {
			if err == nil && !t.cp.saving && checkpoint.Number > t.cp.revision {
				if seq := checkpointSeq(checkpoint.Data); seq > t.lastSeq || t.cp.taken != nil && seq > t.cp.target.GetSeq() {
					// Checkpoints never go back: retention has taken what stands before them.
					t.err = fmt.Errorf("there is a checkpoint at sequence %d, and this term knows %d", seq, t.lastSeq)
					return
				}
				t.cp.revision, t.cp.data = checkpoint.Number, checkpoint.Data
			}
		}
	})
}
