package worker

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/swarm"
)

const (
	progressEvery  = 250 * time.Millisecond
	dialWithin     = 10 * time.Second
	maxSecretBytes = 256
)

// errAlone ends a worker whose coordinator is gone. That is how a run ends in which somebody lost patience: no failure of the
// worker's.
var errAlone = errors.New("the coordinator is gone")

// Run is a worker process: it dials the coordinator that args name, with the secret that stands on the first line of the
// standard input, and returns when the work is done or the coordinator is gone.
func Run(ctx context.Context, args []string) error {
	return run(ctx, args, os.Stdin)
}

func run(ctx context.Context, args []string, stdin io.Reader) error {
	flags := flag.NewFlagSet("worker", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	address := flags.String("connect", "", "")
	index := flags.Int("index", 0, "")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	network, where, ok := strings.Cut(*address, ":")
	if !ok || network != "unix" && network != "tcp" || flags.NArg() > 0 {
		return fmt.Errorf("worker: --connect %q: want unix:PATH or tcp:HOST:PORT, and no other arguments; simulators start their workers themselves", *address)
	}
	secret, err := bufio.NewReader(io.LimitReader(stdin, maxSecretBytes)).ReadString('\n')
	if err != nil {
		return fmt.Errorf("worker: read the secret from the standard input: %w", err)
	}
	dialer := net.Dialer{Timeout: dialWithin}
	conn, err := dialer.DialContext(ctx, network, where)
	if err != nil {
		return fmt.Errorf("worker: reach the coordinator: %w", err)
	}
	defer conn.Close()
	err = Main(ctx, conn, *index, strings.TrimSuffix(secret, "\n"))
	if errors.Is(err, errAlone) {
		return nil
	}
	return err
}

// Main is a worker on a connection to its coordinator, as the index-th of its workers. It returns when it has sent its result,
// when ctx or the connection ends, or with what it could not do, which the coordinator is told as well.
func Main(ctx context.Context, conn net.Conn, index int, secret string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := &worker{conn: conn, orders: make(chan message), settled: make(chan settled), severed: make(chan severed), ran: make(chan error, 1)}
	if err := w.send(message{Hello: &hello{Secret: secret, Index: index, Pid: os.Getpid()}}); err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	w.tasks.Go(func() { cancel(w.listen(ctx)) })
	err := w.work(ctx)
	if err != nil && ctx.Err() == nil {
		// The coordinator may be gone as well; then nobody wants to know.
		_ = w.send(message{Failed: &failed{Error: err.Error()}})
	}
	cancel(nil)
	conn.Close()
	w.tasks.Wait()
	if err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	return nil
}

type worker struct {
	conn    net.Conn
	swarm   *swarm.Swarm
	stop    context.CancelFunc // of the swarm
	orders  chan message
	settled chan settled
	severed chan severed
	ran     chan error // how the swarm ended
	tasks   sync.WaitGroup
}

func (w *worker) send(m message) error { return send(w.conn, m) }

// listen passes on what the coordinator says, until it says no more.
func (w *worker) listen(ctx context.Context) error {
	r := bufio.NewReader(w.conn)
	for {
		m, err := receive(r, maxMessageBytes)
		switch {
		case err != nil && over(err):
			return errAlone
		case err != nil:
			return err
		}
		select {
		case w.orders <- m:
		case <-ctx.Done():
			return nil
		}
	}
}

// work follows orders until the last one, and reports progress in between.
func (w *worker) work(ctx context.Context) error {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-w.ran:
			return errors.Join(errors.New("the swarm has ended before it was told to"), err)
		case s := <-w.settled:
			err = w.send(message{Settled: &s})
		case s := <-w.severed:
			err = w.send(message{Severed: &s})
		case <-tick.C:
			if w.swarm != nil {
				p := w.swarm.Progress()
				err = w.send(message{Progress: &p})
			}
		case m := <-w.orders:
			if m.Finish != nil && w.swarm != nil {
				return w.finish(m.Finish)
			}
			err = w.obey(ctx, m)
		}
		if err != nil {
			return err
		}
	}
}

func (w *worker) obey(ctx context.Context, m message) error {
	switch {
	case m.Plan != nil && w.swarm == nil:
		return w.prepare(ctx, m.Plan)
	case m.Start != nil && w.swarm != nil:
		w.swarm.Start()
		return nil
	case m.Cut != nil && w.swarm != nil:
		w.tasks.Go(func() { w.cut(ctx, m.Cut) })
		return nil
	case m.Wake != nil && w.swarm != nil:
		w.swarm.Wake(m.Wake.Awake)
		return nil
	case m.Delay != nil && w.swarm != nil:
		w.swarm.Delay(m.Delay.When)
		return nil
	case m.Settle != nil && w.swarm != nil:
		w.tasks.Go(func() { w.settle(ctx, m.Settle) })
		return nil
	}
	return errors.New("an order out of turn: want plan, start, cut, wake, delay, settle, finish")
}

// prepare lays out the swarm and lets it run, with no session connected yet.
func (w *worker) prepare(ctx context.Context, p *plan) error {
	cfg, err := p.config()
	if err != nil {
		return err
	}
	if w.swarm, err = swarm.New(ctx, cfg); err != nil {
		return err
	}
	ctx, w.stop = context.WithCancel(ctx)
	w.tasks.Go(func() { w.ran <- w.swarm.Run(ctx) })
	return w.send(message{Ready: &ready{}})
}

func (w *worker) settle(ctx context.Context, order *settle) {
	waiting, cancel := context.WithTimeout(ctx, order.Within)
	defer cancel()
	behind, err := w.swarm.Settle(waiting, order.Heads)
	answer := settled{Behind: behind}
	if err != nil {
		answer.Error = err.Error()
	}
	select {
	case w.settled <- answer:
	case <-ctx.Done():
	}
}

func (w *worker) cut(ctx context.Context, order *cut) {
	n, err := w.swarm.Cut(ctx, order.Order, order.Share)
	if err != nil {
		return // The worker ends, and nobody waits for the answer.
	}
	select {
	case w.severed <- severed{n}:
	case <-ctx.Done():
	}
}

// finish ends the swarm and sends what it measured.
func (w *worker) finish(order *finish) error {
	w.stop()
	if err := <-w.ran; err != nil {
		return err
	}
	lists, err := unpackLists(order.Lists)
	if err != nil {
		return err
	}
	result, err := w.swarm.Result(lists)
	if err != nil {
		return err
	}
	return w.send(message{Result: &result})
}
