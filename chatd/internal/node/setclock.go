package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"github.com/chatfleet/chatfleet/chatd/internal/clock"
	adminv1 "github.com/chatfleet/chatfleet/proto/admin/v1"
)

// maxOffsetSeconds is clock.MaxOffset: more would not fit a time.Duration.
const maxOffsetSeconds = int64(clock.MaxOffset / time.Second)

// SetClock implements adminv1connect.AdminServiceHandler.
func (a adminService) SetClock(_ context.Context, r *connect.Request[adminv1.SetClockRequest]) (*connect.Response[adminv1.SetClockResponse], error) {
	wall := a.n.clock
	if wall == nil {
		return nil, connect.NewError(connect.CodeFailedPrecondition,
			errors.New("this member's clock cannot be set: it was not started with --fault-clock=on, which is for simulations alone"))
	}
	if r.Msg.OffsetSeconds == nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("offset_seconds is missing: how far ahead of the machine's clock? 0 sets it right"))
	}
	seconds := r.Msg.GetOffsetSeconds()
	if seconds > maxOffsetSeconds || seconds < -maxOffsetSeconds {
		return nil, connect.NewError(connect.CodeInvalidArgument,
			fmt.Errorf("offset_seconds %d: want %d to %d", seconds, -maxOffsetSeconds, maxOffsetSeconds))
	}
	before, offset := wall.Offset(), time.Duration(seconds)*time.Second
	if err := wall.Set(offset); err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	a.n.cfg.Logger.Warn("the clock was set", "from", before, "to", offset, "by", r.Peer().Addr)
	return connect.NewResponse(&adminv1.SetClockResponse{OffsetBeforeSeconds: int64(before / time.Second), ShowsMs: wall.Now().UnixMilli()}), nil
}
