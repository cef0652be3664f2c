package delay

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// spareFiles is what the simulator has open besides: pipes, logs, connections of the posters.
	spareFiles = 1024
	dialWithin = 5 * time.Second
)

// RoomFor is how many sessions a process with that limit of open files can delay: each has two connections here, and once more as many
// while its old ones go and its new ones come.
func RoomFor(limit uint64) int {
	if limit <= spareFiles {
		return 0
	}
	return int(min((limit-spareFiles)/4, 1<<20))
}

// span is when the way is longer, and by how much.
type span struct {
	fromNs, toNs int64
	by, jitter   time.Duration
}

// Proxies stand in front of shards, one for each. They must be closed.
type Proxies struct {
	listeners []net.Listener
	span      atomic.Pointer[span]
	done      context.Context
	stop      context.CancelFunc
	work      sync.WaitGroup
}

// Open starts a proxy for each target (HOST:PORT), on loopback. They pass everything on at once until they are told otherwise.
func Open(targets []string) (*Proxies, error) {
	p := &Proxies{}
	p.done, p.stop = context.WithCancel(context.Background())
	for _, target := range targets {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, errors.Join(fmt.Errorf("a proxy for what is delayed: %w", err), p.Close())
		}
		p.listeners = append(p.listeners, l)
		p.work.Go(func() { p.accept(l, target) })
	}
	return p, nil
}

// Addresses are where the proxies listen, in the order of their targets.
func (p *Proxies) Addresses() []string {
	out := make([]string, len(p.listeners))
	for i, l := range p.listeners {
		out[i] = l.Addr().String()
	}
	return out
}

// Delay makes what comes to a proxy from one moment to another, by stamp.Now, go on later by a time and up to jitter more, drawn evenly
// for each piece, in each direction. Bytes stay in order. It replaces what was said before.
func (p *Proxies) Delay(fromNs, toNs int64, by, jitter time.Duration) {
	p.span.Store(&span{fromNs, toNs, by, jitter})
}

// End ends a delay before its time. What is on its way arrives as late as it was to.
func (p *Proxies) End() { p.span.Store(nil) }

// Close ends all connections.
func (p *Proxies) Close() error {
	p.stop()
	var errs []error
	for _, l := range p.listeners {
		errs = append(errs, l.Close())
	}
	p.work.Wait()
	return errors.Join(errs...)
}

// dueNs is when what came now goes on.
func (p *Proxies) dueNs(now int64) int64 {
	s := p.span.Load()
	if s == nil || now < s.fromNs || now >= s.toNs {
		return now
	}
	due := now + int64(s.by)
	if s.jitter > 0 {
		due += rand.Int64N(int64(s.jitter))
	}
	return due
}

func (p *Proxies) accept(l net.Listener, target string) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of open files, for one: those who wait get their turn when others have gone.
			select {
			case <-time.After(10 * time.Millisecond):
				continue
			case <-p.done.Done():
				return
			}
		}
		p.work.Go(func() { p.join(conn.(*net.TCPConn), target) })
	}
}

// join passes bytes between a session and its shard until both are done, or one breaks.
func (p *Proxies) join(near *net.TCPConn, target string) {
	defer end(near)
	dialer := net.Dialer{Timeout: dialWithin}
	// On loopback a session keeps its address: one address has only so many ports, and a fleet may count what comes from one.
	if from := near.RemoteAddr().(*net.TCPAddr).IP; from.IsLoopback() && isLoopback(target) {
		dialer.LocalAddr = &net.TCPAddr{IP: from}
	}
	conn, err := dialer.DialContext(p.done, "tcp", target)
	if err != nil {
		abort(near) // What the session would have seen without a proxy: no connection.
		return
	}
	far := conn.(*net.TCPConn)
	defer end(far)
	ctx, cut := context.WithCancel(p.done)
	defer cut()
	defer context.AfterFunc(ctx, func() { end(near); end(far) })()
	var ways sync.WaitGroup
	for _, w := range []*way{newWay(near, far), newWay(far, near)} {
		ways.Go(func() { w.read(ctx, p.dueNs) })
		ways.Go(func() {
			if !w.write(ctx) {
				cut()
			}
		})
	}
	ways.Wait()
}

func isLoopback(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsLoopback()
}

// abort ends a connection with a reset.
func abort(c *net.TCPConn) {
	_ = c.SetLinger(0)
	end(c)
}

// end closes a connection, also one that is closed already.
func end(c *net.TCPConn) { _ = c.Close() }
