package enginetest

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// How sessions end: closed by either side, silent, stuck, or with the engine; and that whatever was said before the end has been sent.

func comeBack() *chatv1.ServerFrame {
	return &chatv1.ServerFrame{Body: &chatv1.ServerFrame_ComeBack{ComeBack: &chatv1.ComeBack{AfterMs: 1000, Reason: "leaving"}}}
}

func testClose(t *testing.T, s Suite) {
	r := s.start(t, engine.Config{})
	for _, enc := range encodings {
		c := r.connect(enc)
		log := r.engine.OpenLog("c1", 1, 0)
		c.attach(log, 0)
		c.session.Send(pong(1))
		c.session.Close(comeBack(), engine.CloseComeBack, "drain")
		c.session.Close(nil, engine.CloseGoingAway, "a second close is none")
		c.session.Send(pong(2))
		log.Append(frameOf(t, "c1", 1, 1, 10))
		if f := c.read().frame; f.GetPong().GetNonce() != 1 {
			t.Fatalf("got %v, want what was sent before the close", f)
		}
		if f := c.read().frame; f.GetComeBack().GetAfterMs() != 1000 {
			t.Fatalf("got %v, want come_back", f)
		}
		if g := c.read(); g.op != ws.OpClose || g.code != engine.CloseComeBack || g.reason != "drain" {
			t.Fatalf("got %+v, want the close frame", g)
		}
		// The connection stays until the peer's close frame; what else comes is not handed on.
		c.say("too late")
		c.send(ws.OpClose, true, binary.BigEndian.AppendUint16(nil, 1012))
		c.wantEnd()
		if cause := c.recorder.cause(t); !errors.Is(cause, engine.ErrClosed) && !errors.Is(cause, engine.ErrPeerClosed) {
			t.Errorf("the handler was told %v", cause)
		}
		if len(c.recorder.messages) > 0 {
			t.Error("a message was handed on after the close")
		}
		wantAttached(t, log, 0)
		log.Close()
	}
}

func testPeerClose(t *testing.T, s Suite) {
	r := s.start(t, engine.Config{})
	for payload, want := range map[string]engine.CloseCode{"": engine.CloseNormal, "\x03\xe9bye": 1001, "\x0f\xa1": 4001} {
		c := r.connect(engine.Protobuf)
		c.send(ws.OpClose, true, []byte(payload))
		c.wantClose(want)
		c.wantEnd()
		if cause := c.recorder.cause(t); !errors.Is(cause, engine.ErrPeerClosed) {
			t.Errorf("the handler was told %v, want %v", cause, engine.ErrPeerClosed)
		}
	}
}

func testPeerVanishes(t *testing.T, s Suite) {
	r := s.start(t, engine.Config{})
	log := r.engine.OpenLog("c1", 1, 0)
	c := r.connect(engine.Protobuf)
	c.attach(log, 0)
	_ = c.conn.Close()
	if cause := c.recorder.cause(t); cause == nil {
		t.Error("no cause")
	}
	wantAttached(t, log, 0)
	// Its handle may be used still, and does nothing.
	c.session.Send(pong(1))
	c.session.Close(nil, engine.CloseNormal, "")
	if _, covered := c.attach(log, 0); !covered || log.Sessions() != 0 {
		t.Error("a session that has ended was attached")
	}
}

func testNoFirstMessage(t *testing.T, s Suite) {
	r := s.start(t, engine.Config{FirstMessageWithin: 200 * time.Millisecond})
	c := r.connect(engine.Protobuf)
	stop := make(chan struct{})
	go func() { // pings are no first message
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				_, _ = c.conn.Write(masked(ws.OpPing, true, nil))
			}
		}
	}()
	last := c.wantClose(engine.CloseFor(chatv1.Error_CODE_UNAUTHENTICATED))
	close(stop)
	if cause := c.recorder.cause(t); !errors.Is(cause, engine.ErrNoFirstMessage) {
		t.Errorf("the handler was told %v, want %v", cause, engine.ErrNoFirstMessage)
	}
	if last.GetError().GetCode() != chatv1.Error_CODE_UNAUTHENTICATED {
		t.Errorf("its last frame is %v", last)
	}
}

func testSilence(t *testing.T, s Suite) {
	t.Parallel() // it is slow, so that no pause of the machine looks like silence
	r := s.start(t, engine.Config{IdleAfter: 2 * time.Second})
	c := r.connect(engine.Protobuf)
	c.say("hello")
	began := time.Now()
	for range 10 { // longer than silence may last
		time.Sleep(300 * time.Millisecond)
		c.send(ws.OpPing, true, nil)
		if g := c.read(); g.op != ws.OpPong {
			t.Fatalf("got %+v after %v of pings, want a pong", g, time.Since(began))
		}
	}
	c.wantClose(engine.CloseSilent)
	if cause := c.recorder.cause(t); !errors.Is(cause, engine.ErrSilent) {
		t.Errorf("the handler was told %v, want %v", cause, engine.ErrSilent)
	}
}

func testStall(t *testing.T, s Suite) {
	r := s.start(t, engine.Config{MessageWithin: 200 * time.Millisecond})
	for _, fin := range []bool{true, false} {
		c := r.connect(engine.Protobuf)
		c.say("hello")
		c.recorder.message(t)
		data := masked(ws.OpBinary, fin, make([]byte, 1000))
		if fin {
			data = data[:900]
		}
		c.write(data)
		c.wantClose(engine.CloseSilent)
		if cause := c.recorder.cause(t); !errors.Is(cause, engine.ErrSilent) {
			t.Errorf("the handler was told %v, want %v", cause, engine.ErrSilent)
		}
	}
}

func testShutdown(t *testing.T, s Suite) {
	r := s.start(t, engine.Config{})
	var clients []*client
	for i := range 20 {
		c := r.connect(encodings[i%2])
		c.say("hello")
		clients = append(clients, c)
	}
	done := make(chan error, 1)
	go func() { done <- r.engine.Shutdown(context.Background()) }()
	for _, c := range clients {
		c.wantClose(engine.CloseGoingAway)
		c.send(ws.OpClose, true, []byte{3, 0xe9})
		_ = c.recorder.cause(t)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("shutdown: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("shutdown does not return")
	}
	server, conn := r.sockets()
	if _, err := r.engine.Adopt(server, nil, engine.Protobuf, newRecorder()); !errors.Is(err, engine.ErrShutDown) {
		t.Errorf("adopted after shutdown: %v", err)
	}
	(&client{t: t, conn: conn}).wantEnd()
}

func testShutdownCuts(t *testing.T, s Suite) {
	r := s.start(t, engine.Config{CloseWithin: time.Hour, SendBufferBytes: 4096})
	c := r.connect(engine.Protobuf) // never reads, never answers the close
	for range 5 {
		c.session.Send(&chatv1.ServerFrame{Ref: 1, Body: &chatv1.ServerFrame_Error{Error: &chatv1.Error{Message: text(1, 1<<19)}}})
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := r.engine.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shutdown: %v, want that the deadline has passed", err)
	}
	_ = c.recorder.cause(t)
}
