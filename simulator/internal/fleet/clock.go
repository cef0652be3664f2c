package fleet

import (
	"context"
	"time"

	"connectrpc.com/connect"

	adminv1 "github.com/chatfleet/chatfleet/proto/admin/v1"
	"github.com/chatfleet/chatfleet/proto/admin/v1/adminv1connect"
)

// SetClock has the process go by a clock that is ahead of this machine's, or behind it if offset is below 0; whole seconds. A process that
// is started anew goes by the machine's.
func (p *Process) SetClock(ctx context.Context, offset time.Duration) error {
	if !p.Running() {
		return p.failed("set the clock of", errNotRunning)
	}
	seconds := int64(offset / time.Second)
	_, err := adminv1connect.NewAdminServiceClient(admin, "http://"+p.Admin).
		SetClock(ctx, connect.NewRequest(&adminv1.SetClockRequest{OffsetSeconds: &seconds}))
	if err != nil {
		return p.failed("set the clock of", err)
	}
	return nil
}
