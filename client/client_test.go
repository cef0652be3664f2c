package client_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/client"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// hang bounds what would otherwise hang; nothing passes or fails by being slower or faster below it.
const hang = 30 * time.Second

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	t.Cleanup(cancel)
	return ctx
}

func options(f *fleet, user, device string) client.Options {
	return client.Options{
		Endpoints: []string{f.url},
		Token:     client.StaticToken("good:" + user),
		Device:    device,
		Program:   "test/1",
		Backoff:   client.Backoff{Base: 5 * time.Millisecond, Most: 50 * time.Millisecond},
	}
}

func open(t *testing.T, o client.Options) *client.Client {
	t.Helper()
	c, err := client.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

func attach(t *testing.T, c *client.Client, log string, o client.AttachOptions) *client.Log {
	t.Helper()
	l, err := c.Attach(log, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func ready(t *testing.T, l *client.Log) *client.Log {
	t.Helper()
	if err := l.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	return l
}

// reader is an application that keeps what it has seen, as lines, and checks that positions have no holes.
type reader struct {
	t     *testing.T
	mu    sync.Mutex
	at    client.Cursor
	seen  []string
	reset int
	grown chan struct{}
}

func newReader(t *testing.T) *reader { return &reader{t: t, grown: make(chan struct{})} }

func (r *reader) handle(_ context.Context, u client.Update) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if u.Reset != nil {
		r.seen = nil
		r.reset++
		for _, e := range u.Reset.Events {
			r.seen = append(r.seen, line(e))
		}
	} else {
		if r.at.Epoch != 0 && (u.Cursor.Epoch != r.at.Epoch || u.Cursor.PTS != r.at.PTS+1) {
			r.t.Errorf("after %+v came %+v", r.at, u.Cursor)
		}
		r.seen = append(r.seen, line(u.Event))
	}
	r.at = u.Cursor
	close(r.grown)
	r.grown = make(chan struct{})
	return nil
}

func line(e *chatv1.Event) string {
	switch c := e.Content.(type) {
	case *chatv1.Event_Message:
		return c.Message.Text
	case *chatv1.Event_Created:
		return "created " + c.Created.Title
	case *chatv1.Event_LogJoined:
		return "joined " + c.LogJoined.Log
	case *chatv1.Event_LogLeft:
		return "left " + c.LogLeft.Log
	}
	return fmt.Sprintf("%T", e.Content)
}

// want waits until the application has seen exactly these lines.
func (r *reader) want(lines ...string) {
	r.t.Helper()
	r.until(func(seen []string) bool { return len(seen) >= len(lines) })
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.seen, lines) {
		r.t.Fatalf("saw %q, want %q", r.seen, lines)
	}
}

func (r *reader) until(ok func(seen []string) bool) {
	r.t.Helper()
	timeout := time.After(hang)
	for {
		r.mu.Lock()
		done, grown, seen := ok(r.seen), r.grown, slices.Clone(r.seen)
		r.mu.Unlock()
		if done {
			return
		}
		select {
		case <-grown:
		case <-timeout:
			r.t.Fatalf("hangs at %q", seen)
		}
	}
}

// eventually waits for something that no channel tells.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(hang); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func message(log, text string) *chatv1.PostRequest {
	return &chatv1.PostRequest{Log: log, Message: &chatv1.Message{Text: text}}
}

func numbered(n int) []string {
	s := make([]string, n)
	for i := range s {
		s[i] = fmt.Sprintf("post %d", i+1)
	}
	return s
}

func TestDevicesSeeTheSameInTheSameOrder(t *testing.T) {
	for name, encoding := range map[string]client.Encoding{"protobuf": client.Protobuf, "json": client.JSON} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			ctx := testContext(t)
			author := options(f, "alice", "phone")
			author.Encoding = encoding
			a := open(t, author)
			created, err := a.Create(ctx, &chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_GROUP, Title: "choir"})
			if err != nil {
				t.Fatal(err)
			}
			var readers []*reader
			for _, device := range []string{"desk", "tablet"} {
				o := options(f, "bob", device)
				o.Encoding = encoding
				b := open(t, o)
				info, err := b.Join(ctx, created.Log)
				if err != nil || info.Info.Title != "choir" {
					t.Fatalf("join: %v, %v", info, err)
				}
				r := newReader(t)
				ready(t, attach(t, b, created.Log, client.AttachOptions{Handler: r.handle, FromBeginning: true}))
				readers = append(readers, r)
			}
			for i, text := range numbered(30) {
				posted, err := a.Post(ctx, message(created.Log, text))
				if err != nil {
					t.Fatal(err)
				}
				if want := uint64(i + 2); posted.Pts != want {
					t.Fatalf("posted at %d, want %d", posted.Pts, want)
				}
			}
			for _, r := range readers {
				r.want(append([]string{"created choir"}, numbered(30)...)...)
			}
			if err := a.Leave(ctx, created.Log); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestLostDoubledPushesAreHealed(t *testing.T) {
	f := newFleet(t)
	f.log("c1")
	c := open(t, options(f, "alice", "phone"))
	r := newReader(t)
	ready(t, attach(t, c, "c1", client.AttachOptions{Handler: r.handle}))
	f.lock(func() {
		f.push = func(_ *serverSession, e *chatv1.Event) int { return int(e.Pts % 3) } // 0, 1 or 2 times
	})
	f.post("c1", numbered(40)...)
	r.want(numbered(40)...)
}

func TestDeviceWithoutCursorBeginsAtTheHead(t *testing.T) {
	f := newFleet(t)
	f.log("c1")
	f.post("c1", "old")
	c := open(t, options(f, "alice", "phone"))
	r := newReader(t)
	l := ready(t, attach(t, c, "c1", client.AttachOptions{Handler: r.handle}))
	if got, want := l.Cursor(), (client.Cursor{Log: "c1", Epoch: 1, PTS: 1}); got != want {
		t.Fatalf("cursor %+v, want %+v", got, want)
	}
	f.post("c1", "new")
	r.want("new")
}

func TestResumeAfterLostConnections(t *testing.T) {
	f := newFleet(t)
	f.log("c1")
	c := open(t, options(f, "alice", "phone"))
	r := newReader(t)
	ready(t, attach(t, c, "c1", client.AttachOptions{Handler: r.handle}))
	posts := numbered(60)
	for i, text := range posts {
		f.post("c1", text)
		if i%7 == 3 {
			f.cut() // what is on the way is lost, and what is posted next is posted to nobody
		}
	}
	r.want(posts...)
}

// Everything at once: pushes lost and doubled, connections cut, sessions told that they were too slow, handlers that dawdle.
func TestChaos(t *testing.T) {
	f := newFleet(t)
	f.log("c1")
	random := rand.New(rand.NewPCG(1, 2)) // under f.mu
	var readers []*reader
	for i := range 3 {
		o := options(f, "alice", fmt.Sprintf("device%d", i))
		o.QueueEvents = 5
		o.Encoding = client.Encoding(i % 2)
		r := newReader(t)
		readers = append(readers, r)
		ready(t, attach(t, open(t, o), "c1", client.AttachOptions{FromBeginning: true, Handler: func(ctx context.Context, u client.Update) error {
			if u.Cursor.PTS%50 == 0 {
				time.Sleep(5 * time.Millisecond)
			}
			return r.handle(ctx, u)
		}}))
	}
	f.lock(func() {
		f.push = func(*serverSession, *chatv1.Event) int { return []int{1, 1, 1, 1, 1, 1, 0, 2}[random.IntN(8)] }
	})
	author := open(t, options(f, "bob", "phone"))
	for i, text := range numbered(400) {
		if _, err := author.Post(testContext(t), message("c1", text)); err != nil {
			t.Fatal(err)
		}
		switch {
		case i%90 == 89:
			f.cut()
		case i%70 == 69:
			f.sendAll(&chatv1.ServerFrame{Body: &chatv1.ServerFrame_TooLong{TooLong: &chatv1.TooLong{Log: "c1", Epoch: 1, Pts: uint64(i + 1)}}})
		}
	}
	f.lock(func() { f.push = nil })
	f.post("c1", "the end")
	for _, r := range readers {
		r.want(append(numbered(400), "the end")...)
	}
}

func TestTooLongIsAReset(t *testing.T) {
	f := newFleet(t)
	l := f.log("c1")
	f.lock(func() { f.tooLongEvents, f.sliceEvents, l.title = 20, 5, "news" })
	cursors := client.NewMemoryCursors()
	if err := cursors.Save(context.Background(), []client.Cursor{{Log: "c1", Epoch: 1, PTS: 3}}, nil); err != nil {
		t.Fatal(err)
	}
	f.post("c1", numbered(50)...)
	o := options(f, "alice", "phone")
	o.Cursors = cursors
	c := open(t, o)
	r := newReader(t)
	attach(t, c, "c1", client.AttachOptions{Handler: func(ctx context.Context, u client.Update) error {
		if u.Reset != nil && u.Reset.Info.Title != "news" {
			t.Errorf("the reset says %v", u.Reset.Info)
		}
		return r.handle(ctx, u)
	}})
	r.want(numbered(50)[45:]...)
	f.post("c1", "next")
	r.want(append(numbered(50)[45:], "next")...)
	if r.reset != 1 {
		t.Fatalf("%d resets, want 1", r.reset)
	}
}

func TestRestoredLogIsAReset(t *testing.T) {
	f := newFleet(t)
	l := f.log("c1")
	c := open(t, options(f, "alice", "phone"))
	r := newReader(t)
	ready(t, attach(t, c, "c1", client.AttachOptions{Handler: r.handle}))
	f.post("c1", numbered(9)...)
	r.want(numbered(9)...)
	f.lock(func() {
		l.events = l.events[:4]
		l.epoch = 2
	})
	f.post("c1", "after")
	r.until(func(seen []string) bool { return slices.Equal(seen, append(numbered(4), "after")) })
	f.post("c1", "and on")
	r.want(append(numbered(4), "after", "and on")...)
}

func TestServerSaysTooLong(t *testing.T) {
	f := newFleet(t)
	f.log("c1")
	c := open(t, options(f, "alice", "phone"))
	r := newReader(t)
	ready(t, attach(t, c, "c1", client.AttachOptions{Handler: r.handle}))
	f.lock(func() { f.push = func(*serverSession, *chatv1.Event) int { return 0 } })
	f.post("c1", numbered(9)...)
	f.sendAll(&chatv1.ServerFrame{Body: &chatv1.ServerFrame_TooLong{TooLong: &chatv1.TooLong{Log: "c1", Epoch: 1, Pts: 9}}})
	r.want(numbered(9)...)
}

func TestWhatIsUnknownIsIgnored(t *testing.T) {
	f := newFleet(t)
	f.log("c1")
	c := open(t, options(f, "alice", "phone"))
	r := newReader(t)
	ready(t, attach(t, c, "c1", client.AttachOptions{Handler: r.handle}))
	unknown := &chatv1.ServerFrame{}
	unknown.ProtoReflect().SetUnknown([]byte{0xfa, 0x3f, 0x01, 'x'}) // field 1023
	f.sendAll(unknown)
	f.sendAll(&chatv1.ServerFrame{Body: &chatv1.ServerFrame_Event{Event: &chatv1.Event{Log: "other", Epoch: 1, Pts: 1}}})
	f.sendAll(&chatv1.ServerFrame{Ref: 1 << 30, Body: &chatv1.ServerFrame_Pong{Pong: &chatv1.PingResponse{}}})
	f.post("c1", "still here")
	r.want("still here")
	if f.joined != 1 {
		t.Fatalf("%d sessions, want the first one to go on", f.joined)
	}
}

func TestASlowHandlerLosesNothingAndDelaysNoOther(t *testing.T) {
	f := newFleet(t)
	f.log("slow")
	f.log("quick")
	o := options(f, "alice", "phone")
	o.QueueEvents = 8
	c := open(t, o)
	slow, quick := newReader(t), newReader(t)
	gate := make(chan struct{})
	ready(t, attach(t, c, "slow", client.AttachOptions{Handler: func(ctx context.Context, u client.Update) error {
		<-gate
		return slow.handle(ctx, u)
	}}))
	ready(t, attach(t, c, "quick", client.AttachOptions{Handler: quick.handle}))
	for _, text := range numbered(500) {
		f.post("slow", text)
		f.post("quick", text)
	}
	quick.want(numbered(500)...) // while the slow one stands still
	close(gate)
	slow.want(numbered(500)...)
}

func TestHandlerErrorStopsTheLogAtItsUpdate(t *testing.T) {
	f := newFleet(t)
	f.log("c1")
	c := open(t, options(f, "alice", "phone"))
	full := errors.New("disk full")
	l := ready(t, attach(t, c, "c1", client.AttachOptions{Handler: func(_ context.Context, u client.Update) error {
		if u.Cursor.PTS == 3 {
			return full
		}
		return nil
	}}))
	f.post("c1", numbered(5)...)
	<-l.Done()
	if err := l.Err(); !errors.Is(err, full) || !strings.Contains(err.Error(), "position 3") {
		t.Fatalf("the log ended with %v", err)
	}
	r := newReader(t)
	attach(t, c, "c1", client.AttachOptions{Handler: r.handle})
	r.want(numbered(5)[2:]...)
}

func TestDetachAndAttachAgain(t *testing.T) {
	f := newFleet(t)
	f.log("c1")
	c := open(t, options(f, "alice", "phone"))
	r := newReader(t)
	l := ready(t, attach(t, c, "c1", client.AttachOptions{Handler: r.handle}))
	if _, err := c.Attach("c1", client.AttachOptions{Handler: r.handle}); !errors.Is(err, client.ErrAttached) {
		t.Fatalf("a second attach: %v", err)
	}
	f.post("c1", "one")
	r.want("one")
	l.Detach()
	<-l.Done()
	if !errors.Is(l.Err(), client.ErrDetached) {
		t.Fatalf("ended with %v", l.Err())
	}
	f.post("c1", "two")
	ready(t, attach(t, c, "c1", client.AttachOptions{Handler: r.handle}))
	f.post("c1", "three")
	r.want("one", "two", "three")
}

func TestRefusals(t *testing.T) {
	f := newFleet(t)
	f.log("c1")
	c := open(t, options(f, "alice", "phone"))
	r := newReader(t)

	l := attach(t, c, "nowhere", client.AttachOptions{Handler: r.handle})
	var refused *client.Error
	if err := l.Ready(testContext(t)); !errors.As(err, &refused) || refused.Code != chatv1.Error_CODE_NOT_FOUND {
		t.Fatalf("a log that is not there: %v", err)
	}

	tries := 0
	f.lock(func() {
		f.onRequest = func(s *serverSession, frame *chatv1.ClientFrame) bool {
			if frame.GetAttach() == nil || tries == 2 {
				return false
			}
			tries++
			state := &chatv1.LogState{Log: "c1", Status: chatv1.LogState_STATUS_REFUSED, Error: &chatv1.Error{Code: chatv1.Error_CODE_UNAVAILABLE}}
			s.send(&chatv1.ServerFrame{Ref: frame.Ref, Body: &chatv1.ServerFrame_Attached{
				Attached: &chatv1.AttachResponse{Logs: []*chatv1.LogState{state}}}})
			return true
		}
	})
	ready(t, attach(t, c, "c1", client.AttachOptions{Handler: r.handle}))
	f.post("c1", "in the end")
	r.want("in the end")
}

func TestLostRightsEndALog(t *testing.T) {
	f := newFleet(t)
	f.log("c1")
	c := open(t, options(f, "alice", "phone"))
	l := ready(t, attach(t, c, "c1", client.AttachOptions{Handler: newReader(t).handle}))
	f.lock(func() {
		f.onRequest = func(s *serverSession, frame *chatv1.ClientFrame) bool {
			if frame.GetDifference() == nil {
				return false
			}
			s.error(frame.Ref, chatv1.Error_CODE_NOT_MEMBER, "you were removed")
			return true
		}
	})
	f.sendAll(&chatv1.ServerFrame{Body: &chatv1.ServerFrame_TooLong{TooLong: &chatv1.TooLong{Log: "c1", Epoch: 1, Pts: 9}}})
	<-l.Done()
	var e *client.Error
	if !errors.As(l.Err(), &e) || e.Code != chatv1.Error_CODE_NOT_MEMBER {
		t.Fatalf("ended with %v", l.Err())
	}
}

func TestCursorIsKeptAfterTheHandler(t *testing.T) {
	f := newFleet(t)
	f.log("c1")
	cursors := client.NewMemoryCursors()
	o := options(f, "alice", "phone")
	o.Cursors = cursors
	c := open(t, o)
	inHandler, gate := make(chan struct{}), make(chan struct{})
	ready(t, attach(t, c, "c1", client.AttachOptions{Handler: func(context.Context, client.Update) error {
		inHandler <- struct{}{}
		<-gate
		return nil
	}}))
	f.post("c1", "one")
	<-inHandler
	kept := func() uint64 {
		all, _ := cursors.Load(context.Background())
		if len(all) == 0 {
			return 0
		}
		return all[0].PTS
	}
	if got := kept(); got != 0 {
		t.Fatalf("while the handler runs, position %d is kept", got)
	}
	close(gate)
	eventually(t, "position 1 is kept", func() bool { return kept() == 1 })
}

func TestCloseWaitsForHandlersAndGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	f := newFleet(t)
	f.log("c1")
	cursors := client.NewMemoryCursors()
	o := options(f, "alice", "phone")
	o.Cursors = cursors
	c, err := client.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	inHandler := make(chan struct{})
	returned := false
	l, err := c.Attach("c1", client.AttachOptions{Handler: func(ctx context.Context, u client.Update) error {
		close(inHandler)
		<-ctx.Done()
		returned = true // a race, if Close does not wait
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	ready(t, l)
	f.post("c1", "one", "two")
	<-inHandler
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if !returned {
		t.Fatal("Close has not waited for the handler")
	}
	if kept, _ := cursors.Load(context.Background()); len(kept) != 1 || kept[0].PTS != 1 {
		t.Fatalf("kept %+v, want position 1, which was handled, and not 2", kept)
	}
	if _, err := c.Post(context.Background(), message("c1", "x")); !errors.Is(err, client.ErrClosed) {
		t.Fatalf("post after close: %v", err)
	}
	if _, err := c.Attach("c1", client.AttachOptions{Handler: newReader(t).handle}); !errors.Is(err, client.ErrClosed) {
		t.Fatalf("attach after close: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatalf("second close: %v", err)
	}
	f.cut()
	f.server.Close()
	f.server.Client().CloseIdleConnections()
	eventually(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= before+1 })
}
