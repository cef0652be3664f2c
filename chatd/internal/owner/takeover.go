package owner

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/wire"
)

// tailPatience bounds how long a take-over waits for a replica that is behind, before it begins anew.
const tailPatience = 5 * time.Second

// stored is an event and where it stands.
type stored struct {
	seq   uint64
	event *wire.StoredEvent
	data  []byte
}

// chain follows the stream's messages in order and tells which are void.
type chain struct {
	term uint64 // of the message before
	void bool   // whether that message is void
}

// next reports whether e, the next message of the stream, is part of its log.
func (c *chain) next(e *wire.StoredEvent) bool {
	valid := e.Term == c.term && !c.void
	if e.FirstOfTerm {
		valid = e.PrevTerm == c.term
	}
	c.term, c.void = e.Term, !valid
	return valid
}

// takeOver reads the partition's checkpoint and the tail behind it and begins a term.
func (o *Owner) takeOver(ctx context.Context, id uint64) (*term, error) {
	_, checkpoint, err := o.cfg.Journal.State(ctx, "")
	if err != nil {
		return nil, wrap(err, "reading the checkpoint of partition %d", o.cfg.Partition)
	}
	base := new(wire.Checkpoint)
	if err := proto.Unmarshal(checkpoint.Data, base); err != nil {
		return nil, wrap(err, "the checkpoint of partition %d is damaged", o.cfg.Partition)
	}
	t := newTerm(o, id, base, checkpoint.Number)
	t.cp.data = checkpoint.Data
	t.inheritUntold(base)
	t.clock.notBefore(base.TimeMs)
	links := chain{base.Term, base.Void}
	before := base.Seq
	last, err := o.readTail(ctx, base.Seq, func(seq uint64, data []byte) error {
		if err := inTail(seq, before); err != nil {
			return err
		}
		before = seq
		e := new(wire.StoredEvent)
		if err := proto.Unmarshal(data, e); err != nil {
			return fmt.Errorf("the event at sequence %d is damaged: %w", seq, err)
		}
		if !links.next(e) {
			o.cfg.Logger.Warn("passed over a void event", "partition", o.cfg.Partition, "seq", seq, "log", e.Log, "term", e.Term)
			o.cfg.Metrics.voids.Inc()
			return nil
		}
		t.inherit(stored{seq, e, data})
		effect, err := inheritedEffect(e)
		if err != nil {
			return fmt.Errorf("the event at sequence %d is damaged: %w", seq, err)
		}
		t.effect(effect, seq)
		return nil
	})
	if err != nil {
		return nil, wrap(err, "reading the tail of partition %d after sequence %d", o.cfg.Partition, base.Seq)
	}
	t.lastSeq, t.settledSeq, t.inheritedSeq, t.prev = last, last, last, links
	t.appender, err = o.cfg.Journal.Appender()
	return t, wrap(err, "preparing to append to partition %d", o.cfg.Partition)
}

// readTail visits every message of the log stream after the sequence, and returns the last one's. A replica that is behind, or that is being
// stopped and finds nothing any more, is not believed: the stream's leader says where the tail ends.
func (o *Owner) readTail(ctx context.Context, after uint64, visit func(uint64, []byte) error) (uint64, error) {
	for begun, pause := time.Now(), time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		end, err := o.cfg.Journal.Last(ctx)
		if err != nil {
			return 0, wrap(err, "asking for the last sequence")
		}
		last, err := o.cfg.Journal.Tail(ctx, after, visit)
		switch {
		case err != nil:
			return 0, err
		case last >= end:
			return last, nil
		case time.Since(begun) > tailPatience:
			return 0, fmt.Errorf("the replica that answers has events up to sequence %d of %d", last, end)
		}
		o.cfg.Logger.Debug("the replica that was read is behind; reading on", "partition", o.cfg.Partition, "has", last, "of", end)
		after = last
		sleep(ctx, pause)
	}
}
