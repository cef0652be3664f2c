package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// replica answers reads of "api" as a test wants: each with how often it was asked by then.
func replica(t *testing.T, answer func(nc *nats.Conn, asked int, reply string)) *nats.Conn {
	t.Helper()
	c := Config{
		Name: "store-0", Region: "test", Partitions: 1, Secret: []byte("sixteen bytes at least"), Dir: t.TempDir(), Durability: Replicated, Replicas: 1,
		Logger: slog.New(slog.DiscardHandler),
	}
	opts, err := storeOptions(c)
	if err != nil {
		t.Fatal(err)
	}
	opts.JetStream = false
	s := &Store{cfg: c}
	srv, err := start(opts, c.Logger, &s.broken)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Shutdown)
	var conns [2]*nats.Conn
	for i := range conns {
		if conns[i], err = connect(srv, c, "test"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conns[i].Close)
	}
	var mu sync.Mutex
	asked := 0
	if _, err := conns[0].Subscribe("api", func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		answer(conns[0], asked, m.Reply)
	}); err != nil {
		t.Fatal(err)
	}
	if err := conns[0].Flush(); err != nil {
		t.Fatal(err)
	}
	return conns[1]
}

func TestReading(t *testing.T) {
	const most = 5
	say := func(nc *nats.Conn, reply string, try, from, to int) {
		for n := from; n < to; n++ {
			_ = nc.Publish(reply, []byte(fmt.Sprint(try, " ", n)))
		}
	}
	var replies []string
	for name, c := range map[string]struct {
		answer func(nc *nats.Conn, asked int, reply string)
		// read are the messages of one try, in order.
		try  int
		want int
		err  error
	}{
		"at once": {answer: func(nc *nats.Conn, asked int, reply string) { say(nc, reply, asked, 0, most) }, try: 1, want: most},
		"those asked first hang": {answer: func(nc *nats.Conn, asked int, reply string) {
			if asked > 3 {
				say(nc, reply, asked, 0, most)
			}
		}, try: 4, want: most},
		"who is slow answers, and nobody else is looked at": {answer: func(nc *nats.Conn, asked int, reply string) {
			if replies = append(replies, reply); asked < 3 {
				return
			}
			for n := range most { // all of them, mixed
				for try, reply := range replies {
					say(nc, reply, try+1, n, n+1)
				}
			}
		}, try: 1, want: most},
		"it falls silent within its answer": {answer: func(nc *nats.Conn, asked int, reply string) { say(nc, reply, asked, 0, 2) }, try: 1, want: 2, err: errSilent},
	} {
		t.Run(name, func(t *testing.T) {
			replies = nil
			r, err := begin(replica(t, c.answer), new(promptness), "api", nil, most, 300*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			defer r.close()
			var got, want []string
			for range most {
				m, err := r.next(t.Context())
				if err != nil {
					if !errors.Is(err, c.err) || c.err == nil {
						t.Errorf("%v after %v", err, got)
					}
					break
				}
				got = append(got, string(m.Data))
			}
			for n := range c.want {
				want = append(want, strconv.Itoa(c.try)+" "+strconv.Itoa(n))
			}
			if !slices.Equal(got, want) {
				t.Errorf("read %q, want %q", got, want)
			}
		})
	}
}

func TestAReadOfNobodyFails(t *testing.T) {
	var asked atomic.Int64
	r, err := begin(replica(t, func(_ *nats.Conn, n int, _ string) { asked.Store(int64(n)) }), new(promptness), "api", nil, 1, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	ctx, cancel := context.WithTimeout(t.Context(), 4*answerWithin)
	defer cancel()
	if _, err := r.next(ctx); !errors.Is(err, errNobody) {
		t.Errorf("got %v", err)
	}
	if n := asked.Load(); n < quickTries || n > 3*quickTries {
		t.Errorf("it was asked %d times", n)
	}
}

// A read is asked again soon where answers are quick, and not soon where they are slow.
func TestPromptness(t *testing.T) {
	var p promptness
	if got := p.after(1); got != hedgeFactor*firstMean {
		t.Errorf("nothing is known yet: %v", got)
	}
	for range 100 {
		p.note(time.Millisecond)
	}
	if got := [3]time.Duration{p.after(1), p.after(quickTries), p.after(quickTries + 2)}; got != [3]time.Duration{minHedge, minHedge, 4 * minHedge} {
		t.Errorf("answers within a millisecond: %v", got)
	}
	for range 100 {
		p.note(10 * time.Millisecond)
	}
	if got := p.after(1); got < 70*time.Millisecond || got > 80*time.Millisecond {
		t.Errorf("answers within 10 ms: %v", got)
	}
	for range 100 {
		p.note(3 * time.Second)
	}
	if got := p.after(1); got != maxHedge {
		t.Errorf("answers within 3 s: %v", got)
	}
}
