package client_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/client"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// posts collects the post requests that the fleet gets, and plants one fault for each of the first ones.
type posts struct {
	requests []*chatv1.PostRequest
	faults   []func(*serverSession, *chatv1.ClientFrame)
}

func (p *posts) plant(f *fleet) {
	f.lock(func() {
		f.onRequest = func(s *serverSession, frame *chatv1.ClientFrame) bool {
			if frame.GetPost() == nil {
				return false
			}
			p.requests = append(p.requests, frame.GetPost())
			if len(p.faults) == 0 {
				return false
			}
			fault := p.faults[0]
			p.faults = p.faults[1:]
			fault(s, frame)
			return true
		}
	})
}

// posted carries the post out and loses the answer with the connection.
func postedAndCut(s *serverSession, frame *chatv1.ClientFrame) {
	_, _ = s.fleet.posted(s.user, frame.GetPost())
	s.conn.CloseNow()
}

func answered(code chatv1.Error_Code, retryAfterMs uint32) func(*serverSession, *chatv1.ClientFrame) {
	return func(s *serverSession, frame *chatv1.ClientFrame) {
		e := refusal(frame.Ref, code, "planted")
		e.GetError().RetryAfterMs = retryAfterMs
		s.send(e)
	}
}

func TestPostIsRepeatedUntilItHasAnOutcome(t *testing.T) {
	f := newFleet(t)
	f.log("c1")
	c := open(t, options(f, "alice", "phone"))
	r := newReader(t)
	ready(t, attach(t, c, "c1", client.AttachOptions{Handler: r.handle}))
	p := &posts{faults: []func(*serverSession, *chatv1.ClientFrame){
		answered(chatv1.Error_CODE_UNAVAILABLE, 0),
		postedAndCut,
		answered(chatv1.Error_CODE_TOO_MANY, 3),
		answered(chatv1.Error_CODE_DRAINING, 0),
		func(s *serverSession, _ *chatv1.ClientFrame) {
			s.send(&chatv1.ServerFrame{Body: &chatv1.ServerFrame_ComeBack{ComeBack: &chatv1.ComeBack{AfterMs: 5}}})
		},
	}}
	p.plant(f)
	begun := time.Now().UnixMilli()
	posted, err := c.Post(testContext(t), message("c1", "once"))
	if err != nil {
		t.Fatal(err)
	}
	if !posted.Repeated || posted.Pts != 1 {
		t.Fatalf("answered %v, want the position of the first try, repeated", posted)
	}
	if len(p.requests) != 6 {
		t.Fatalf("%d tries, want 6", len(p.requests))
	}
	for i, try := range p.requests {
		if try.RandomId == 0 || try.RandomId != p.requests[0].RandomId {
			t.Errorf("try %d has the id %d, the first one %d", i+1, try.RandomId, p.requests[0].RandomId)
		}
		if i == 0 && try.FirstSentMs != 0 {
			t.Errorf("the first try says it was sent first at %d", try.FirstSentMs)
		}
		if i > 0 && (try.FirstSentMs < begun-1000 || try.FirstSentMs > time.Now().UnixMilli() || try.FirstSentMs != p.requests[1].FirstSentMs) {
			t.Errorf("try %d says it was sent first at %d", i+1, try.FirstSentMs)
		}
	}
	f.post("c1", "end")
	r.want("once", "end")
}

func TestManyPostsAtOnceWaitTheirTurn(t *testing.T) {
	f := newFleet(t)
	f.log("c1")
	c := open(t, options(f, "alice", "phone"))
	open, most := 0, 0 // under f.mu
	f.lock(func() {
		f.onRequest = func(s *serverSession, frame *chatv1.ClientFrame) bool {
			post := frame.GetPost()
			if post == nil {
				return false
			}
			open++
			most = max(most, open)
			time.AfterFunc(time.Millisecond, func() {
				f.lock(func() {
					open--
					posted, _ := f.posted(s.user, post)
					s.send(&chatv1.ServerFrame{Ref: frame.Ref, Body: &chatv1.ServerFrame_Posted{Posted: posted}})
				})
			})
			return true
		}
	})
	var posts sync.WaitGroup
	for _, text := range numbered(300) {
		posts.Go(func() {
			if _, err := c.Post(testContext(t), message("c1", text)); err != nil {
				t.Error(err)
			}
		})
	}
	posts.Wait()
	if most > 16 {
		t.Errorf("%d posts were under way at once", most)
	}
}

func TestPostErrorsThatStand(t *testing.T) {
	f := newFleet(t)
	f.log("c1")
	c := open(t, options(f, "alice", "phone"))
	for _, code := range []chatv1.Error_Code{
		chatv1.Error_CODE_INVALID, chatv1.Error_CODE_DENIED, chatv1.Error_CODE_NOT_MEMBER, chatv1.Error_CODE_TOO_OLD,
		chatv1.Error_CODE_ID_REUSED, chatv1.Error_CODE_FULL, chatv1.Error_CODE_UNSUPPORTED,
	} {
		(&posts{faults: []func(*serverSession, *chatv1.ClientFrame){answered(code, 0)}}).plant(f)
		_, err := c.Post(testContext(t), message("c1", "x"))
		var e *client.Error
		if !errors.As(err, &e) || e.Code != code || e.Message != "planted" {
			t.Errorf("%v: got %v", code, err)
		}
	}
}

// A server with a defect is asked again, with the same id, and not for ever: then it is not known whether the message was posted.
func TestPostToAServerWithADefect(t *testing.T) {
	f := newFleet(t)
	f.log("c1")
	c := open(t, options(f, "alice", "phone"))
	defects := func(n int) (faults []func(*serverSession, *chatv1.ClientFrame)) {
		for range n {
			faults = append(faults, answered(chatv1.Error_CODE_INTERNAL, 0))
		}
		return faults
	}
	p := &posts{faults: defects(4)}
	p.plant(f)
	if posted, err := c.Post(testContext(t), message("c1", "x")); err != nil || posted.Pts != 1 {
		t.Errorf("after 4 defects: %v, %v; want that it is posted", posted, err)
	}
	for _, r := range p.requests {
		if r.RandomId != p.requests[0].RandomId {
			t.Error("a repeat has another random_id")
		}
	}
	(&posts{faults: defects(100)}).plant(f)
	_, err := c.Post(testContext(t), message("c1", "y"))
	var unknown *client.OutcomeUnknownError[*chatv1.PostRequest]
	var e *client.Error
	if !errors.As(err, &unknown) || !errors.As(err, &e) || e.Code != chatv1.Error_CODE_INTERNAL {
		t.Errorf("after many defects: %v, want that the outcome is unknown", err)
	}
}

func TestPostWhoseOutcomeIsUnknown(t *testing.T) {
	f := newFleet(t)
	f.log("c1")
	c := open(t, options(f, "alice", "phone"))
	if err := c.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(testContext(t))
	(&posts{faults: []func(*serverSession, *chatv1.ClientFrame){func(s *serverSession, frame *chatv1.ClientFrame) {
		_, _ = s.fleet.posted(s.user, frame.GetPost())
		cancel()
	}}}).plant(f)
	_, err := c.Post(ctx, message("c1", "maybe"))
	var unknown *client.OutcomeUnknownError[*chatv1.PostRequest]
	if !errors.As(err, &unknown) || !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want an unknown outcome for the context's sake", err)
	}
	if unknown.Request.FirstSentMs == 0 {
		t.Fatal("the request does not say when it was sent first")
	}
	posted, err := c.Post(testContext(t), unknown.Request)
	if err != nil || !posted.Repeated || posted.Pts != 1 {
		t.Fatalf("given again: %v, %v", posted, err)
	}
}

func TestPostThatWasNeverSent(t *testing.T) {
	f := newFleet(t)
	f.server.Close()
	c := open(t, options(f, "alice", "phone"))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err := c.Post(ctx, message("c1", "x"))
	var unknown *client.OutcomeUnknownError[*chatv1.PostRequest]
	if errors.As(err, &unknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want the deadline and no doubt", err)
	}
}

func TestTooLargeIsRefusedBeforeItEndsTheSession(t *testing.T) {
	f := newFleet(t)
	f.log("c1")
	f.lock(func() { f.limits = &chatv1.Limits{MaxFrameBytes: 3000, MaxMessageBytes: 2500} })
	o := options(f, "alice", "phone")
	o.Encoding = client.JSON
	c := open(t, o)
	if err := c.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*chatv1.Message{
		{Text: strings.Repeat("x", 2501)},
		{Data: make([]byte, 2400)}, // 3,200 in base64
	} {
		_, err := c.Post(testContext(t), &chatv1.PostRequest{Log: "c1", Message: m})
		var e *client.Error
		if !errors.As(err, &e) || e.Code != chatv1.Error_CODE_TOO_LARGE {
			t.Fatalf("got %v, want TOO_LARGE", err)
		}
	}
	if _, err := c.Post(testContext(t), message("c1", "fits")); err != nil {
		t.Fatal(err)
	}
	if f.joined != 1 {
		t.Fatalf("%d sessions, want 1", f.joined)
	}
}

func TestDifferenceReadsWithoutAttaching(t *testing.T) {
	f := newFleet(t)
	f.log("c1")
	f.post("c1", numbered(9)...)
	c := open(t, options(f, "alice", "phone"))
	d, err := c.Difference(testContext(t), client.Cursor{Log: "c1", Epoch: 1, PTS: 2}, 3)
	if err != nil || d.Kind != chatv1.DifferenceResponse_KIND_SLICE || len(d.Events) != 3 || d.Cursor.Pts != 5 {
		t.Fatalf("got %v, %v", d, err)
	}
}
