package enginetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// What is said to a session and by it, one message at a time: answers in their order, messages of every size and in fragments, and what
// violates the protocol.

var encodings = []engine.Encoding{engine.Protobuf, engine.JSON}

func testAnswers(t *testing.T, s Suite) {
	r := s.start(t, engine.Config{})
	for _, enc := range encodings {
		c := r.connect(enc)
		for i := range uint64(50) {
			c.session.Send(pong(i))
		}
		for i := range uint64(50) {
			if f := c.read().frame; f.GetPong().GetNonce() != i {
				t.Fatalf("%v: got %v, want pong %d", enc, f, i)
			}
		}
	}
}

func testMessages(t *testing.T, s Suite) {
	r := s.start(t, engine.Config{MaxMessageBytes: 100_000})
	for _, enc := range encodings {
		c := r.connect(enc)
		for _, size := range []int{0, 1, 125, 126, 127, 128, 129, 4095, 4096, 4097, 65_535, 65_536, 100_000} {
			want := strings.Repeat("é", size/2) + strings.Repeat("x", size%2)
			c.say(want)
			if got := c.recorder.message(t); got != want {
				t.Fatalf("%v: a message of %d bytes arrived as %d others", enc, size, len(got))
			}
			// The same in three fragments, cut without regard to characters.
			c.send(enc.OpCode(), false, []byte(want[:size/3]))
			c.send(ws.OpContinuation, false, []byte(want[size/3:size/2]))
			c.send(ws.OpContinuation, true, []byte(want[size/2:]))
			if got := c.recorder.message(t); got != want {
				t.Fatalf("%v: fragments of %d bytes arrived as %d others", enc, size, len(got))
			}
		}
		// Many at once, as a client writes them that does not wait for answers.
		var many []byte
		for i := range 300 {
			many = append(many, masked(enc.OpCode(), true, fmt.Append(nil, "message ", i, strings.Repeat(".", i)))...)
		}
		c.write(many)
		for i := range 300 {
			if got := c.recorder.message(t); !strings.HasPrefix(got, fmt.Sprint("message ", i)) {
				t.Fatalf("%v: got %.20q, want message %d", enc, got, i)
			}
		}
	}
}

func testTrickle(t *testing.T, s Suite) {
	r := s.start(t, engine.Config{})
	c := r.connect(engine.Protobuf)
	want := strings.Repeat("drop ", 60)
	for _, b := range masked(ws.OpBinary, true, []byte(want)) {
		c.write([]byte{b})
	}
	if got := c.recorder.message(t); got != want {
		t.Errorf("arrived as %q", got)
	}
}

func testEarly(t *testing.T, s Suite) {
	r := s.start(t, engine.Config{})
	for _, cut := range []int{1, 5, 6, 100, 200, 300} {
		server, conn := r.sockets()
		data := append(masked(ws.OpBinary, true, []byte(strings.Repeat("e", 180))), masked(ws.OpBinary, true, []byte("second"))...)
		cut = min(cut, len(data))
		c := &client{t: t, conn: conn, enc: engine.Protobuf, recorder: newRecorder()}
		if _, err := r.engine.Adopt(server, data[:cut], engine.Protobuf, c.recorder); err != nil {
			t.Fatal(err)
		}
		c.write(data[cut:])
		if got := c.recorder.message(t); len(got) != 180 {
			t.Errorf("cut at %d: the first message has %d bytes", cut, len(got))
		}
		if got := c.recorder.message(t); got != "second" {
			t.Errorf("cut at %d: the second message is %q", cut, got)
		}
	}
}

func testPing(t *testing.T, s Suite) {
	r := s.start(t, engine.Config{})
	c := r.connect(engine.Protobuf)
	c.send(ws.OpPing, true, []byte("one"))
	if g := c.read(); g.op != ws.OpPong || g.pong != "one" {
		t.Errorf("got %+v, want the pong", g)
	}
	c.send(ws.OpBinary, false, []byte("a mes"))
	c.send(ws.OpPing, true, []byte(strings.Repeat("p", 125)))
	c.send(ws.OpPong, true, nil)
	c.send(ws.OpContinuation, true, []byte("sage"))
	if g := c.read(); g.op != ws.OpPong || len(g.pong) != 125 {
		t.Errorf("got %+v, want the pong", g)
	}
	if got := c.recorder.message(t); got != "a message" {
		t.Errorf("the fragments arrived as %q", got)
	}
}

func testBreaches(t *testing.T, s Suite) {
	const most = 1000
	r := s.start(t, engine.Config{MaxMessageBytes: most, CloseWithin: 2 * time.Second})
	unmasked := ws.MustCompileFrame(ws.NewBinaryFrame([]byte("x")))
	reserved := masked(ws.OpBinary, true, []byte("x"))
	reserved[0] |= 0x40
	join := func(parts ...[]byte) (all []byte) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	half := []byte(strings.Repeat("x", most/2+1))
	for name, b := range map[string]struct {
		enc  engine.Encoding
		data []byte
		want engine.CloseCode
	}{
		"not masked":               {engine.Protobuf, unmasked, engine.CloseProtocol},
		"a reserved bit":           {engine.Protobuf, reserved, engine.CloseProtocol},
		"a reserved opcode":        {engine.Protobuf, masked(0x3, true, nil), engine.CloseProtocol},
		"a length above 2^63":      {engine.Protobuf, []byte{0x82, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, engine.CloseProtocol},
		"too big":                  {engine.Protobuf, masked(ws.OpBinary, true, make([]byte, most+1)), engine.CloseTooBig},
		"promised too big":         {engine.Protobuf, []byte{0x82, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, engine.CloseTooBig},
		"too big in all":           {engine.Protobuf, join(masked(ws.OpBinary, false, half), masked(ws.OpContinuation, true, half)), engine.CloseTooBig},
		"text on protobuf":         {engine.Protobuf, masked(ws.OpText, true, []byte("{}")), engine.CloseWrongType},
		"binary on JSON":           {engine.JSON, masked(ws.OpBinary, true, []byte("{}")), engine.CloseWrongType},
		"text that is not UTF-8":   {engine.JSON, masked(ws.OpText, true, []byte("\xff\xfe")), engine.CloseNotUTF8},
		"half a character":         {engine.JSON, join(masked(ws.OpText, false, []byte("\xc3")), masked(ws.OpContinuation, true, nil)), engine.CloseNotUTF8},
		"continues nothing":        {engine.Protobuf, masked(ws.OpContinuation, true, []byte("x")), engine.CloseProtocol},
		"a message in a message":   {engine.Protobuf, join(masked(ws.OpBinary, false, []byte("x")), masked(ws.OpBinary, true, []byte("y"))), engine.CloseProtocol},
		"a ping in fragments":      {engine.Protobuf, masked(ws.OpPing, false, []byte("x")), engine.CloseProtocol},
		"a ping of 126 bytes":      {engine.Protobuf, masked(ws.OpPing, true, make([]byte, 126)), engine.CloseProtocol},
		"a close of one byte":      {engine.Protobuf, masked(ws.OpClose, true, []byte{3}), engine.CloseProtocol},
		"a close code not in use":  {engine.Protobuf, masked(ws.OpClose, true, []byte{0, 1}), engine.CloseProtocol},
		"a close reason not UTF-8": {engine.Protobuf, masked(ws.OpClose, true, []byte{3, 0xe8, 0xff}), engine.CloseProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			c := r.connect(b.enc)
			c.t = t
			c.write(b.data)
			c.wantClose(b.want)
			_ = c.conn.Close()
			cause := c.recorder.cause(t)
			var violation *engine.ViolationError
			if !errors.As(cause, &violation) || violation.Code != b.want {
				t.Errorf("the handler was told %v, want a violation with %d", cause, b.want)
			}
			if len(c.recorder.messages) > 0 {
				t.Error("the handler got a message of it")
			}
		})
	}
}

func testUnreadAnswers(t *testing.T, s Suite) {
	flood := func(c *client, bytes int) {
		for range 20 {
			c.session.Send(&chatv1.ServerFrame{Ref: 1, Body: &chatv1.ServerFrame_Error{Error: &chatv1.Error{Message: strings.Repeat("x", bytes)}}})
		}
	}
	// One that never reads is cut in the end.
	r := s.start(t, engine.Config{MaxQueuedAnswers: 8, SendBufferBytes: 4096, CloseWithin: 200 * time.Millisecond})
	c := r.connect(engine.Protobuf)
	flood(c, 1<<20)
	if cause := c.recorder.cause(t); !errors.Is(cause, engine.ErrClosed) {
		t.Errorf("ended with %v, want %v", cause, engine.ErrClosed)
	}
	// One that reads late is told why.
	for name, cfg := range map[string]engine.Config{
		"in number": {MaxQueuedAnswers: 8, CloseWithin: patience},
		"in bytes":  {MaxQueuedBytes: 2_500_000, CloseWithin: patience},
	} {
		r := s.start(t, cfg)
		c := r.connect(engine.Protobuf)
		flood(c, 1<<20)
		last := c.wantClose(engine.CloseFor(chatv1.Error_CODE_TOO_MANY))
		if last.GetError().GetCode() != chatv1.Error_CODE_TOO_MANY || last.GetRef() != 0 {
			t.Errorf("%s: its last frame is %.100v, want TOO_MANY with ref 0", name, last)
		}
		c.send(ws.OpClose, true, nil)
	}
}
