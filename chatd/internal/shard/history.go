package shard

import (
	"context"
	"fmt"

	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// historyPrice is how many requests a page of history counts as: unlike a difference it may have to be read from the disks, however
// recent the caller's cursor.
const historyPrice = 5

// History returns the events before a position, for callers without a session.
func (sh *Shard) History(ctx context.Context, user string, req *chatv1.HistoryRequest) (*chatv1.HistoryResponse, *chatv1.Error) {
	if flt := sh.charge(user, historyPrice-1); flt != nil {
		return nil, flt
	}
	return sh.history(ctx, user, req)
}

// history is the same for a session, which has paid.
func (sh *Shard) history(ctx context.Context, user string, req *chatv1.HistoryRequest) (*chatv1.HistoryResponse, *chatv1.Error) {
	asked := &chatv1.DifferenceRequest{Cursor: &chatv1.Cursor{Log: req.GetLog()}, Limit: req.GetLimit()}
	q, flt := sh.questionIn("history.log", user, asked)
	if flt != nil {
		return nil, flt
	}
	before := req.GetBeforePts()
	if req.GetEpoch() == 0 && before > 0 {
		return nil, faultIn("history.epoch", chatv1.Error_CODE_INVALID, "the epoch is missing: without it, nobody knows what before_pts means")
	}
	share := "" // the newest events change
	if before > 0 {
		share = fmt.Sprint("before ", before)
	}
	got, flt := sh.fetchFor(ctx, q, &wire.Fetch{Log: q.log, Newest: true, BeforePts: before, Limit: uint32(q.limit)}, share)
	if flt != nil {
		return nil, flt
	}
	if epoch := got.reply.GetEpoch(); req.GetEpoch() != 0 && req.GetEpoch() != epoch {
		return nil, faultIn("history.epoch", chatv1.Error_CODE_INVALID, "the log's history is of epoch %d now, and its positions are others; ask for the difference first", epoch)
	}
	last := got.reply.GetPts()
	if before > 0 {
		last = min(last, before-1)
	}
	if n := len(got.events); n > 0 && got.events[n-1].GetPts() != last {
		sh.cfg.Logger.Error("the owner's answer does not end before the position", "log", q.log, "before", before, "last", got.events[n-1].GetPts())
		return nil, fault(chatv1.Error_CODE_INTERNAL, "the log %s cannot be read; the server's log says why", q.log)
	}
	return &chatv1.HistoryResponse{Events: got.events, Epoch: got.reply.GetEpoch()}, nil
}
