package bus

import (
	"context"

	"github.com/nats-io/nats.go"
)

const (
	// laneConns is how many connections a lane has. The server serves the reads of a connection one after the other, and each waits
	// for a write of its stream that is being synced.
	laneConns = 8
	// connDepth is how many reads may be on the way on one of them: one is served, the other one is there already. What waits for longer
	// than its patience would be asked again, and served twice.
	connDepth = 2
)

// lane is a way for reads, all partitions of a store together.
type lane struct {
	conns []*nats.Conn
	// slots holds each connection as often as it has room.
	slots  chan *nats.Conn
	prompt promptness
}

func newLane(connect func() (*nats.Conn, error)) (*lane, error) {
	l := &lane{slots: make(chan *nats.Conn, laneConns*connDepth)}
	for range laneConns {
		nc, err := connect()
		if err != nil {
			l.close()
			return nil, err
		}
		l.conns = append(l.conns, nc)
	}
	for range connDepth {
		for _, nc := range l.conns {
			l.slots <- nc
		}
	}
	return l, nil
}

func (l *lane) close() {
	for _, nc := range l.conns {
		nc.Close()
	}
}

// enter waits for room. Patience begins only then.
func (l *lane) enter(ctx context.Context) (nc *nats.Conn, leave func(), err error) {
	select {
	case nc := <-l.slots:
		return nc, func() { l.slots <- nc }, nil
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

// request reads one message.
func (l *lane) request(ctx context.Context, subject string, body []byte) (*nats.Msg, error) {
	nc, leave, err := l.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	r, err := begin(nc, &l.prompt, subject, body, 1, readTimeout)
	if err != nil {
		return nil, err
	}
	defer r.close()
	return r.next(ctx)
}
