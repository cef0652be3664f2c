package shard

import (
	"context"

	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// maxJoinedPage is how many joined logs one answer lists.
const maxJoinedPage = 500

// ListJoined lists the logs that the user has joined, from the state of his own log: also those whose joins retention has taken out of it.
func (sh *Shard) ListJoined(ctx context.Context, user string, req *chatv1.ListJoinedRequest) (*chatv1.ListJoinedResponse, *chatv1.Error) {
	limit := req.GetLimit()
	if limit == 0 || limit > maxJoinedPage {
		limit = maxJoinedPage
	}
	if after := req.GetAfter(); after != "" {
		if flt := sharedLog(after, "list_joined.after", "joined"); flt != nil {
			return nil, flt
		}
	}
	reply, flt := sh.lookUp(ctx, user, &wire.LookUp{Log: logid.User(user), JoinedLimit: limit, JoinedAfter: req.GetAfter()})
	if flt != nil {
		return nil, flt
	}
	return &chatv1.ListJoinedResponse{Logs: reply.GetJoinedLogs(), More: reply.GetMoreJoined(), Epoch: reply.GetEpoch(), Pts: reply.GetPts()}, nil
}
