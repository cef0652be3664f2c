package shard

import (
	"context"
	"maps"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/trace"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

const (
	// traceField is the number of StoredEvent.trace.
	traceField = 100
	// fanoutWithin is how long the last delivery of a traced event is waited for. Who has it later is slow, and shows as one who is missing.
	fanoutWithin = 10 * time.Second
	// maxTraced events of a log wait for their turn with a mark; of what is beyond, the fan-out is not traced.
	maxTraced = 64
)

// askTraced asks the owner of a log, and if the post is one that is sampled, follows it.
func (sh *Shard) askTraced(ctx context.Context, log string, req *wire.OwnerRequest) (*wire.OwnerReply, *chatv1.Error) {
	post := sh.cfg.Trace.Begin("post", log, time.Now())
	if post == nil {
		return sh.ask(ctx, log, req)
	}
	begun := time.Now()
	asked := sh.cfg.Trace.Follow(post.Mark(begun), "ask", log, begun)
	req.Trace = asked.Mark(begun)
	reply, flt := sh.ask(ctx, log, req)
	if flt != nil {
		asked.Fail(codeName(flt.GetCode()))
		post.Fail(codeName(flt.GetCode()))
	}
	now := time.Now()
	asked.End(now)
	post.Set("pts", int(reply.GetPts()))
	post.End(now)
	return reply, flt
}

// traceLive takes the mark off a live push, if its post is being traced, and keeps it until the event's turn.
func (sh *Shard) traceLive(f *feed, pts uint64, stored []byte) {
	if !sh.cfg.Trace.On() {
		return
	}
	mark := markOf(stored)
	sent, err := trace.MarkedAt(mark)
	if err != nil {
		return
	}
	now := time.Now()
	push := sh.cfg.Trace.Follow(mark, "push", f.id, sent)
	push.End(now)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fanout == nil || pts <= f.fanout.Head() {
		return
	}
	if f.traced == nil {
		f.traced = make(map[uint64][]byte)
	}
	if len(f.traced) < maxTraced {
		f.traced[pts] = push.Mark(now)
	}
}

// markOf finds the mark in a pushed event without decoding it.
func markOf(stored []byte) []byte {
	for len(stored) > 0 {
		number, kind, n := protowire.ConsumeTag(stored)
		if n < 0 {
			return nil
		}
		stored = stored[n:]
		if number == traceField && kind == protowire.BytesType {
			mark, _ := protowire.ConsumeBytes(stored)
			return mark
		}
		if n = protowire.ConsumeFieldValue(number, kind, stored); n < 0 {
			return nil
		}
		stored = stored[n:]
	}
	return nil
}

// watchLocked begins the span of a frame's fan-out, if its post is being traced. It ends when the last session has it.
func (f *feed) watchLocked(frame *engine.Frame) {
	mark := f.traced[frame.Pts()]
	maps.DeleteFunc(f.traced, func(pts uint64, _ []byte) bool { return pts <= frame.Pts() })
	if len(f.traced) == 0 {
		f.traced = nil
	}
	now, sessions := time.Now(), f.fanout.Sessions()
	span := f.sh.cfg.Trace.Follow(mark, "fan-out", f.id, now)
	if span == nil {
		return
	}
	span.Set("sessions", sessions)
	if sessions == 0 {
		span.End(now)
		return
	}
	watch := engine.NewWatch(sessions)
	frame.Watch(watch)
	if !f.sh.tasks.spawn(func() { f.sh.awaitFanout(span, watch, now) }) {
		span.End(now)
	}
}

func (sh *Shard) awaitFanout(span *trace.Span, watch *engine.Watch, begun time.Time) {
	patience := time.NewTimer(fanoutWithin)
	defer patience.Stop()
	select {
	case <-watch.Done():
	case <-patience.C:
	case <-sh.ctx.Done():
	}
	delivered, last := watch.So()
	if delivered == 0 {
		last = begun
	}
	span.Set("delivered", delivered)
	span.End(last)
}
