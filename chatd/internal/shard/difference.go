package shard

import (
	"context"
	"fmt"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// question is a difference that is asked for, its log resolved and its limit set.
type question struct {
	user   string
	log    string
	kind   chatv1.LogKind
	cursor *chatv1.Cursor
	limit  int
}

// asker is in whose name the owner is asked: of a channel, the shard's own.
func (q question) asker() string {
	if q.kind == chatv1.LogKind_LOG_KIND_CHANNEL {
		return ""
	}
	return q.user
}

// Difference returns the events after a cursor, as the log's owner has them now: for callers without a session, who are told of no
// event later.
func (sh *Shard) Difference(ctx context.Context, user string, req *chatv1.DifferenceRequest) (*chatv1.DifferenceResponse, *chatv1.Error) {
	q, flt := sh.question(user, req)
	if flt != nil {
		return nil, flt
	}
	return sh.fromOwner(ctx, q, "")
}

// difference is the same for a session: from the ring, if that has all events after the cursor. What the ring lacks yet is pushed.
func (sh *Shard) difference(ctx context.Context, user string, req *chatv1.DifferenceRequest) (*chatv1.DifferenceResponse, *chatv1.Error) {
	q, flt := sh.question(user, req)
	if flt != nil {
		return nil, flt
	}
	f := sh.peek(q.log)
	if f == nil {
		return sh.fromOwner(ctx, q, "")
	}
	defer sh.release(f)
	if flt := f.allowed(ctx, user); flt != nil {
		return nil, flt
	}
	if resp := sh.fromRing(f, q); resp != nil {
		return resp, nil
	}
	// Who asks now wants to be told at least what this shard knows: it shares an answer only with those who know as much.
	return sh.fromOwner(ctx, q, fmt.Sprint(f.fanout.Epoch(), " ", f.fanout.Head()))
}

func (sh *Shard) question(user string, req *chatv1.DifferenceRequest) (question, *chatv1.Error) {
	return sh.questionIn("difference.cursor.log", user, req)
}

// questionIn is the question of a request whose log stands in a field.
func (sh *Shard) questionIn(field, user string, req *chatv1.DifferenceRequest) (question, *chatv1.Error) {
	id, flt := resolveLog(user, req.GetCursor().GetLog(), field)
	if flt != nil {
		return question{}, flt
	}
	limit := sh.cfg.DifferenceEvents
	if n := req.GetLimit(); n > 0 && uint64(n) < uint64(limit) {
		limit = int(n)
	}
	return question{user: user, log: id, kind: logid.Kind(id), cursor: req.GetCursor(), limit: limit}, nil
}

// fromRing answers from the ring, or with nil if it cannot.
func (sh *Shard) fromRing(f *feed, q question) *chatv1.DifferenceResponse {
	f.mu.Lock()
	epoch, head := f.epoch, f.fanout.Head()
	var frames []*engine.Frame
	ok := q.cursor.GetEpoch() == epoch && q.cursor.GetPts() <= head && f.target <= head
	if ok {
		frames, head, ok = f.fanout.Recent(q.cursor.GetPts(), q.limit)
	}
	f.mu.Unlock()
	if !ok {
		return nil
	}
	events := make([]*chatv1.Event, 0, len(frames))
	size := 0
	for _, frame := range frames {
		if size += frame.Size(); size > sh.cfg.DifferenceBytes && len(events) > 0 {
			break
		}
		event, err := frame.Event()
		if err != nil {
			sh.cfg.Logger.Error("an event of the ring cannot be read", "log", q.log, "pts", frame.Pts(), "err", err)
			return nil
		}
		events = append(events, event)
	}
	return slice(q, epoch, head, events)
}

// slice is the answer with events after the cursor, of a log whose newest event is at head.
func slice(q question, epoch uint32, head uint64, events []*chatv1.Event) *chatv1.DifferenceResponse {
	resp := &chatv1.DifferenceResponse{
		Kind: chatv1.DifferenceResponse_KIND_EMPTY, Events: events,
		Cursor: &chatv1.Cursor{Log: q.log, Epoch: epoch, Pts: q.cursor.GetPts()},
	}
	if len(events) > 0 {
		resp.Cursor.Pts = events[len(events)-1].GetPts()
		resp.Kind = chatv1.DifferenceResponse_KIND_FINAL
	}
	if resp.Cursor.Pts < head {
		resp.Kind = chatv1.DifferenceResponse_KIND_SLICE
	}
	return resp
}

// fromOwner answers with what the log's owner says. Callers that give the same share, not empty, and ask the same share one fetch.
func (sh *Shard) fromOwner(ctx context.Context, q question, share string) (*chatv1.DifferenceResponse, *chatv1.Error) {
	if q.cursor.GetEpoch() == 0 {
		return sh.tooLong(ctx, q, share)
	}
	got, flt := sh.fetchFor(ctx, q, &wire.Fetch{Log: q.log, AfterPts: q.cursor.GetPts(), Limit: uint32(q.limit)}, share)
	if flt != nil {
		return nil, flt
	}
	reply, pts := got.reply, q.cursor.GetPts()
	switch {
	case reply.GetEpoch() != q.cursor.GetEpoch(), pts > reply.GetPts(), reply.GetPts()-pts > sh.cfg.TooLongAfter, reply.GetGone():
		return sh.tooLong(ctx, q, share)
	case reply.GetPts() > pts && (len(got.events) == 0 || got.events[0].GetPts() != pts+1):
		sh.cfg.Logger.Error("the owner's answer does not begin after the cursor", "log", q.log, "cursor", pts, "newest", reply.GetPts(), "events", len(got.events))
		return nil, fault(chatv1.Error_CODE_INTERNAL, "the log %s cannot be read; the server's log says why", q.log)
	}
	return slice(q, reply.GetEpoch(), reply.GetPts(), got.events), nil
}

// tooLong answers with the log's state and newest events.
func (sh *Shard) tooLong(ctx context.Context, q question, share string) (*chatv1.DifferenceResponse, *chatv1.Error) {
	got, flt := sh.fetchFor(ctx, q, &wire.Fetch{Log: q.log, Newest: true, Limit: uint32(min(sh.cfg.TooLongEvents, q.limit))}, share)
	if flt != nil {
		return nil, flt
	}
	return &chatv1.DifferenceResponse{
		Kind: chatv1.DifferenceResponse_KIND_TOO_LONG, Events: got.events, Info: got.reply.GetInfo(),
		Cursor: &chatv1.Cursor{Log: q.log, Epoch: got.reply.GetEpoch(), Pts: got.reply.GetPts()},
	}, nil
}

// fetched is a fetch's reply and the events in it.
type fetched struct {
	reply  *wire.OwnerReply
	events []*chatv1.Event
}

// fetchFor fetches in the user's name.
func (sh *Shard) fetchFor(ctx context.Context, q question, what *wire.Fetch, share string) (fetched, *chatv1.Error) {
	var got fetched
	var err error
	if share == "" {
		got, err = sh.fetchOnce(ctx, q, what)
	} else {
		got, err = sh.fetchShared(ctx, q, what, share)
	}
	if err != nil {
		return fetched{}, unavailable(err)
	}
	switch flt := got.reply.GetError(); {
	case flt.GetCode() == chatv1.Error_CODE_NOT_FOUND && q.kind == chatv1.LogKind_LOG_KIND_USER:
		// Nothing has happened to this user yet.
		return fetched{reply: &wire.OwnerReply{Epoch: got.reply.GetEpoch(), MayRead: true,
			Info: &chatv1.LogInfo{Log: q.log, Kind: q.kind, Owner: q.user}}}, nil
	case flt != nil:
		return fetched{}, flt
	case !got.reply.GetMayRead():
		return fetched{}, notAllowed(q.log, q.kind)
	}
	if flt := bannedFrom(q.log, q.user, got.reply); flt != nil {
		return fetched{}, flt
	}
	if q.kind == chatv1.LogKind_LOG_KIND_CHANNEL && got.reply.GetInfo().GetPolicy().GetByInvitation() {
		if flt := sh.readsPrivate(ctx, q.user, q.log); flt != nil {
			return fetched{}, flt
		}
	}
	return got, nil
}

// fetchShared lets all who ask the same at once have one answer. In a channel all readers are the same, but for those who are banned,
// whom the answer lists.
func (sh *Shard) fetchShared(ctx context.Context, q question, what *wire.Fetch, share string) (fetched, error) {
	key := fmt.Sprint(q.log, " ", what.GetAfterPts(), " ", what.GetLimit(), " ", what.GetNewest(), " ", q.asker(), " ", share)
	result := sh.differences.DoChan(key, func() (any, error) {
		// Not the first caller's context: it is not only his answer.
		shared, cancel := context.WithTimeout(sh.ctx, sh.cfg.RequestTimeout)
		defer cancel()
		return sh.fetchOnce(shared, q, what)
	})
	select {
	case r := <-result:
		if r.Err != nil {
			return fetched{}, r.Err
		}
		return r.Val.(fetched), nil
	case <-ctx.Done():
		return fetched{}, ctx.Err()
	}
}

func (sh *Shard) fetchOnce(ctx context.Context, q question, what *wire.Fetch) (fetched, error) {
	when, flt := sh.isAbsent(q.log)
	if flt != nil {
		return fetched{reply: &wire.OwnerReply{Error: flt}}, nil
	}
	p := sh.partitions[logid.Partition(q.log, sh.cfg.Partitions)]
	ctx, cancel := context.WithTimeout(ctx, sh.cfg.RequestTimeout)
	defer cancel()
	if err := p.asking.enter(ctx); err != nil {
		return fetched{}, err
	}
	defer p.asking.exit()
	sh.metrics.fetches.WithLabelValues(reasonDifference).Inc()
	what.WithBanned = q.kind == chatv1.LogKind_LOG_KIND_CHANNEL
	req := &wire.OwnerRequest{User: q.asker(), Body: &wire.OwnerRequest_Fetch{Fetch: what}}
	reply, err := sh.stores.Ask(ctx, p.number, req)
	if err != nil {
		return fetched{}, fmt.Errorf("fetch log %s: %w", q.log, err)
	}
	sh.noteAbsent(when, req, reply)
	events, err := decodeAll(q.log, reply)
	return fetched{reply, events}, err
}
