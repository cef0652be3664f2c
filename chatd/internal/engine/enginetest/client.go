package enginetest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// client is the other end of a session: it speaks WebSocket frames, well formed or not.
type client struct {
	t        testing.TB
	conn     net.Conn
	enc      engine.Encoding
	session  engine.Session
	recorder *recorder
}

// got is one WebSocket frame from the server.
type got struct {
	op     ws.OpCode
	frame  *chatv1.ServerFrame // of data frames
	code   engine.CloseCode    // of close frames
	reason string
	pong   string
}

// read reads one frame, or fails the test.
func (c *client) read() got {
	c.t.Helper()
	g, err := c.tryRead(patience)
	if err != nil {
		c.t.Fatalf("no frame: %v", err)
	}
	return g
}

func (c *client) tryRead(within time.Duration) (got, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(within))
	h, err := ws.ReadHeader(c.conn)
	if err != nil {
		return got{}, err
	}
	if err := ws.CheckHeader(h, ws.StateClientSide); err != nil {
		return got{}, err
	}
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(c.conn, payload); err != nil {
		return got{}, err
	}
	g := got{op: h.OpCode}
	switch h.OpCode {
	case ws.OpClose:
		code, reason := ws.ParseCloseFrameData(payload)
		g.code, g.reason = engine.CloseCode(code), reason
	case ws.OpPong:
		g.pong = string(payload)
	case c.enc.OpCode():
		g.frame = new(chatv1.ServerFrame)
		if c.enc == engine.JSON {
			err = protojson.Unmarshal(payload, g.frame)
		} else {
			err = proto.Unmarshal(payload, g.frame)
		}
	default:
		err = errors.New("a frame of another kind than the sub-protocol's")
	}
	return g, err
}

// event reads frames until the next event or TooLong of the log, and fails at anything that is neither.
func (c *client) event() (pts uint64, tooLong bool) {
	c.t.Helper()
	f := c.read().frame
	switch {
	case f.GetEvent() != nil:
		return f.GetEvent().GetPts(), false
	case f.GetTooLong() != nil:
		return f.GetTooLong().GetPts(), true
	}
	c.t.Fatalf("got %v, want an event", f)
	return 0, false
}

func (c *client) wantEvents(from, to uint64) {
	c.t.Helper()
	for want := from; want <= to; want++ {
		if pts, tooLong := c.event(); pts != want || tooLong {
			c.t.Fatalf("got event %d (too long: %v), want event %d", pts, tooLong, want)
		}
	}
}

// attach has the client's session attached to a log, until it ends.
func (c *client) attach(log engine.Fanout, cursor uint64) (from uint64, covered bool) {
	c.recorder.mu.Lock()
	c.recorder.logs = append(c.recorder.logs, log)
	c.recorder.mu.Unlock()
	return log.Attach(c.session, cursor)
}

// wantQuiet proves that the session was sent nothing, by an answer that would come after it.
func (c *client) wantQuiet() {
	c.t.Helper()
	c.session.Send(pong(4711))
	if f := c.read().frame; f.GetPong().GetNonce() != 4711 {
		c.t.Fatalf("got %v, want nothing", f)
	}
}

// wantClose reads until the close frame, and returns the data frame before it, if there is one.
func (c *client) wantClose(code engine.CloseCode) *chatv1.ServerFrame {
	c.t.Helper()
	var last *chatv1.ServerFrame
	for {
		g := c.read()
		if g.op != ws.OpClose {
			last = g.frame
			continue
		}
		if g.code != code {
			c.t.Fatalf("closed with %d (%s), want %d", g.code, g.reason, code)
		}
		return last
	}
}

// send writes a masked frame.
func (c *client) send(op ws.OpCode, fin bool, payload []byte) {
	c.t.Helper()
	c.write(masked(op, fin, payload))
}

func (c *client) say(payload string) {
	c.t.Helper()
	c.send(c.enc.OpCode(), true, []byte(payload))
}

func (c *client) write(data []byte) {
	c.t.Helper()
	_ = c.conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err := c.conn.Write(data); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

func masked(op ws.OpCode, fin bool, payload []byte) []byte {
	f := ws.MaskFrameInPlaceWith(ws.NewFrame(op, fin, bytes.Clone(payload)), [4]byte{1, 2, 3, 4})
	return ws.MustCompileFrame(f)
}

// wantEnd reads until the connection has ended.
func (c *client) wantEnd() {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, c.conn); err != nil && isTimeout(err) {
		c.t.Fatalf("the connection did not end: %v", err)
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}
