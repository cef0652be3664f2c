package bus

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
)

// laneWidth is how many reads of a lane may be on the way at once. The server serves a connection's reads one after the other, so
// that more of them only wait; and what waits for longer than its patience is asked again, and served twice.
const laneWidth = 16

// lane is a connection for reads, all partitions of a store together.
type lane struct {
	nc    *nats.Conn
	slots chan struct{}
}

func newLane(nc *nats.Conn) *lane { return &lane{nc, make(chan struct{}, laneWidth)} }

// enter waits for room. Patience begins only then.
func (l *lane) enter(ctx context.Context) (leave func(), err error) {
	select {
	case l.slots <- struct{}{}:
		return func() { <-l.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// request asks once; errSilent if there is no answer for so long.
func (l *lane) request(ctx context.Context, subject string, body []byte, patience time.Duration) (*nats.Msg, error) {
	leave, err := l.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	try, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m, err := l.nc.RequestWithContext(try, subject, body)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = errSilent
	}
	return m, err
}
