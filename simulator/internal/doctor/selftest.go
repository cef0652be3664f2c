package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/proto/chat/v1/chatv1connect"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/poster"
	"github.com/chatfleet/chatfleet/simulator/internal/schedule"
	"github.com/chatfleet/chatfleet/simulator/internal/stamp"
	"github.com/chatfleet/chatfleet/simulator/internal/swarm"
)

// Trial is what the machine showed when it was tried.
type Trial struct {
	ClockReading time.Duration
	// How late a goroutine runs that wants to every millisecond, p99.9.
	Hiccup time.Duration
	// How late posts go out that are due at PostRate a second, p99.9.
	SendLag  time.Duration
	PostRate float64
	// Deliveries a second to one worker's loop.
	ReceiveRate float64
	// What went wrong, and must not have.
	Problems []string
}

const (
	trialSessions = 200
	trialPosts    = 500
	trialRate     = 500 // posts a second that the sender sends
	restsFor      = time.Second
	trialWithin   = 20 * time.Second
	trialRun      = 7
)

// Try tries clock, scheduler, sender and receiver, for some four seconds, with nothing but this process and the loopback interface.
func Try(ctx context.Context) (Trial, error) {
	ctx, cancel := context.WithTimeout(ctx, trialWithin)
	defer cancel()
	t := Trial{PostRate: trialRate, ClockReading: clockReading(), Hiccup: rest(ctx, restsFor)}
	return t, errors.Join(t.send(ctx), t.receive(ctx))
}

func clockReading() time.Duration {
	const readings = 100_000
	began := stamp.Now()
	for range readings {
		_ = stamp.Now()
	}
	return time.Duration(stamp.Now()-began) / readings
}

// rest sees how late a goroutine runs.
func rest(ctx context.Context, d time.Duration) time.Duration {
	hiccups := measure.NewHistogram()
	for began := stamp.Now(); time.Duration(stamp.Now()-began) < d && ctx.Err() == nil; {
		wanted := stamp.Now() + int64(time.Millisecond)
		time.Sleep(time.Millisecond)
		hiccups.Record(max(0, time.Duration(stamp.Now()-wanted)))
	}
	return hiccups.Percentile(99.9)
}

// service acknowledges every post, as fast as it can.
type service struct {
	chatv1connect.UnimplementedChatServiceHandler
	pts atomic.Uint64
}

func (s *service) Post(_ context.Context, r *connect.Request[chatv1.PostRequest]) (*connect.Response[chatv1.PostResponse], error) {
	return connect.NewResponse(&chatv1.PostResponse{Log: r.Msg.GetLog(), Epoch: 1, Pts: s.pts.Add(1)}), nil
}

// send posts for a second, at a fixed rate, to a server that does nothing.
func (t *Trial) send(ctx context.Context) error {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	_, handler := chatv1connect.NewChatServiceHandler(&service{})
	server := &http.Server{Handler: handler, ReadHeaderTimeout: trialWithin}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		_ = server.Close()
		<-served //nolint:errcheck // it says that it was closed
	}()
	posts := make([]schedule.Post, trialRate)
	for i := range posts {
		posts[i] = schedule.Post{Due: time.Duration(i) * time.Second / trialRate, Bytes: 200, Broadcast: schedule.NoBroadcast}
	}
	p, err := poster.New(poster.Config{
		Run: trialRun, Posts: posts, Logs: []poster.Log{{ID: trialLog, Token: "none"}}, Endpoints: []string{"http://" + listener.Addr().String()},
		StartNs: stamp.Now() + int64(50*time.Millisecond),
	})
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	if err := p.Run(ctx); err != nil {
		return fmt.Errorf("self-test of the sender: %w", err)
	}
	tally := poster.TallyDue(posts, p.Outcomes(), 0, time.Hour)
	t.SendLag = tally.SendLag.Percentile(99.9)
	if tally.Acknowledged != trialRate {
		t.Problems = append(t.Problems, fmt.Sprintf("%d of %d posts were acknowledged: %v", tally.Acknowledged, trialRate, tally.Errors))
	}
	return nil
}

// receive broadcasts to a small swarm as fast as it takes it.
func (t *Trial) receive(ctx context.Context) error {
	h, err := newHost()
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	defer h.close()
	s, err := swarm.New(ctx, swarm.Config{
		Run: trialRun, StartNs: stamp.Now(), Sessions: trialSessions, Endpoints: []string{h.listener.Addr().String()},
		Token: func(user string) (string, error) { return user, nil }, Logs: []string{trialLog},
		Attach: []swarm.Attachment{{Count: trialSessions}}, Groups: []swarm.Group{{Name: "trial", Measured: true}},
	})
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	running, end := context.WithCancel(ctx)
	defer end()
	ran := make(chan error, 1)
	go func() { ran <- s.Run(running) }()
	s.Start()
	list := swarm.LogList{Log: trialLog, Epoch: 1, First: 1}
	if await(ctx, func() bool { return s.Progress().Counters.Subscribed == trialSessions }) {
		began := stamp.Now()
		for post := range uint32(trialPosts) {
			if err := h.broadcast(post); err != nil {
				return fmt.Errorf("self-test: %w", err)
			}
			list.Posts = append(list.Posts, post)
		}
		await(ctx, func() bool { return s.Progress().Counters.Delivered == trialPosts*trialSessions })
		t.ReceiveRate = trialPosts * trialSessions / max(time.Duration(stamp.Now()-began), time.Millisecond).Seconds()
	} else {
		t.Problems = append(t.Problems, fmt.Sprintf("%d of %d sessions signed in: %v", s.Progress().Counters.Subscribed, trialSessions, s.Progress().Errors))
	}
	end()
	if err := <-ran; err != nil {
		return fmt.Errorf("self-test of the receiver: %w", err)
	}
	r, err := s.Result([]swarm.LogList{list})
	if err != nil {
		return fmt.Errorf("self-test of the receiver: %w", err)
	}
	if v := r.Verification; v.Lost+v.Repeated+r.Counters.Duplicate+r.Counters.Unordered > 0 {
		t.Problems = append(t.Problems, fmt.Sprintf("of %d deliveries %d were lost, %d came twice", v.Expected, v.Lost, r.Counters.Duplicate))
	}
	return nil
}

func await(ctx context.Context, so func() bool) bool {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}
