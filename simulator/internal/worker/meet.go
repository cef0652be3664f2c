package worker

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"sync"
)

// meeting is one of what can happen while the workers are waited for: one says hello, or one dies.
type meeting struct {
	hello *hello
	conn  net.Conn
	err   error
}

// meet accepts the workers' connections. Whoever does not know the secret is sent away, and holds nobody up.
func (p *Pool) meet(ctx context.Context, listener net.Listener, secret string) error {
	ctx, stop := context.WithTimeoutCause(ctx, p.cfg.Deadlines.Hello,
		fmt.Errorf("workers: not all said hello within %s", p.cfg.Deadlines.Hello))
	met := make(chan meeting)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer listener.Close()
	defer stop()
	tell := func(m meeting) {
		select {
		case met <- m:
		case <-ctx.Done():
			if m.conn != nil {
				m.conn.Close()
			}
		}
	}
	for _, w := range p.peers {
		tasks.Go(func() {
			select {
			case <-w.process.ended:
				tell(meeting{err: fmt.Errorf("%s ended before it said hello: %s; its complaint stands above", w, ending(w.process.reason))})
			case <-ctx.Done():
			}
		})
	}
	tasks.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			tasks.Go(func() {
				h, err := greet(ctx, conn, secret)
				if err != nil {
					conn.Close()
					return
				}
				tell(meeting{hello: h, conn: conn})
			})
		}
	})
	return p.seat(ctx, met)
}

// seat gives each worker its connection.
func (p *Pool) seat(ctx context.Context, met <-chan meeting) error {
	for missing := len(p.peers); missing > 0; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case m := <-met:
			switch {
			case m.err != nil:
				return m.err
			case m.hello.Index < 0 || m.hello.Index >= len(p.peers) || p.peers[m.hello.Index].conn != nil:
				m.conn.Close()
			default:
				p.peers[m.hello.Index].conn = m.conn
				missing--
			}
		}
	}
	return nil
}

// greet reads a worker's hello. The connection is closed when ctx ends before.
func greet(ctx context.Context, conn net.Conn, secret string) (*hello, error) {
	unwatch := context.AfterFunc(ctx, func() { conn.Close() })
	m, err := receive(conn, maxHelloBytes)
	switch {
	case !unwatch():
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, err
	case m.Hello == nil || subtle.ConstantTimeCompare([]byte(m.Hello.Secret), []byte(secret)) != 1:
		return nil, errors.New("no hello, or another secret")
	}
	return m.Hello, nil
}
