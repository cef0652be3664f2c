package chattest

import (
	"encoding/binary"
	"net"
	"sync"

	"github.com/gobwas/ws"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// Conn is one session's connection, as the server sees it. Its methods may be called from the server's hooks.
type Conn struct {
	User     string
	Endpoint string
	JSON     bool

	server   *Server
	conn     net.Conn
	write    sync.Mutex
	attached map[string]bool
	pings    int
	pongs    int
}

// Counts returns the pings of the protocol and the pongs of WebSocket that the session has sent.
func (c *Conn) Counts() (pings, pongs int) {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	return c.pings, c.pongs
}

// Push sends an event unasked.
func (c *Conn) Push(ev *chatv1.Event) { c.Send(EventFrame(ev)) }

// EventFrame is the frame in which an event is pushed.
func EventFrame(ev *chatv1.Event) *chatv1.ServerFrame {
	return &chatv1.ServerFrame{Body: &chatv1.ServerFrame_Event{Event: ev}}
}

// Encode encodes a frame in the session's sub-protocol.
func (c *Conn) Encode(f *chatv1.ServerFrame) (payload []byte, op ws.OpCode) {
	var err error
	if c.JSON {
		payload, err = protojson.Marshal(f)
		op = ws.OpText
	} else {
		payload, err = proto.Marshal(f)
		op = ws.OpBinary
	}
	if err != nil {
		panic(err) // a test's own frame
	}
	return payload, op
}

// Send sends a frame.
func (c *Conn) Send(f *chatv1.ServerFrame) {
	payload, op := c.Encode(f)
	c.Raw(Frame(true, op, payload))
}

// SendFragmented sends a frame in n fragments, with a WebSocket ping between each two.
func (c *Conn) SendFragmented(f *chatv1.ServerFrame, n int) {
	payload, op := c.Encode(f)
	for k := range n {
		piece := payload[len(payload)*k/n : len(payload)*(k+1)/n]
		c.Raw(Frame(k == n-1, op, piece))
		op = ws.OpContinuation
		if k < n-1 {
			c.Raw(Frame(true, ws.OpPing, []byte("between")))
		}
	}
}

// CutWithin sends a part of a frame and cuts the connection.
func (c *Conn) CutWithin(f *chatv1.ServerFrame) {
	payload, op := c.Encode(f)
	frame := Frame(true, op, payload)
	c.Raw(frame[:len(frame)/2])
	c.Cut()
}

// Close sends a close frame with a code.
func (c *Conn) Close(code uint16) {
	c.Raw(Frame(true, ws.OpClose, binary.BigEndian.AppendUint16(nil, code)))
}

// Raw writes bytes. A session that is gone is found out by its reader.
func (c *Conn) Raw(b []byte) {
	c.write.Lock()
	defer c.write.Unlock()
	_, _ = c.conn.Write(b)
}

// Cut closes the connection without a word.
func (c *Conn) Cut() { c.conn.Close() }

// Frame returns a WebSocket frame from a server.
func Frame(fin bool, op ws.OpCode, payload []byte) []byte {
	f := ws.NewFrame(op, fin, payload)
	return ws.MustCompileFrame(f)
}
