package perconn

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

// listener notes what it is told.
type listener struct {
	messages [][]byte
	cause    error
	done     chan struct{}
}

func (l *listener) Message(_ engine.Session, payload []byte) {
	l.messages = append(l.messages, bytes.Clone(payload))
}
func (l *listener) Closed(_ engine.Session, cause error) { l.cause = cause; close(l.done) }

// fed is a connection that brings pieces and then its end, and takes whatever is written.
type fed struct {
	net.Conn
	pieces [][]byte
}

func (c *fed) Read(p []byte) (int, error) {
	if len(c.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.pieces[0])
	if c.pieces[0] = c.pieces[0][n:]; len(c.pieces[0]) == 0 {
		c.pieces = c.pieces[1:]
	}
	return n, nil
}

func (c *fed) Write(p []byte) (int, error)      { return len(p), nil }
func (c *fed) Close() error                     { return nil }
func (c *fed) SetDeadline(time.Time) error      { return nil }
func (c *fed) SetReadDeadline(time.Time) error  { return nil }
func (c *fed) SetWriteDeadline(time.Time) error { return nil }

// FuzzReading: however the bytes of a client are cut into pieces, the same messages are read, and the session ends for the same reason.
func FuzzReading(f *testing.F) {
	masked := func(first byte, payload string) []byte {
		data := ws.MustCompileFrame(ws.MaskFrameInPlaceWith(ws.NewFrame(ws.OpBinary, true, []byte(payload)), [4]byte{9, 8, 7, 6}))
		data[0] = first
		return data
	}
	long := string(bytes.Repeat([]byte("long "), 100))
	for _, frames := range [][][]byte{
		{masked(0x82, "one"), masked(0x82, ""), masked(0x82, long)},
		{masked(0x02, "a"), masked(0x89, "ping"), masked(0x00, long), masked(0x80, "c"), masked(0x88, "\x03\xe8bye"), masked(0x82, "after")},
		{masked(0x81, "text"), masked(0x82, "never")},
		{masked(0x82, "good"), masked(0xc2, "reserved bit")},
		{masked(0x80, "no beginning")},
		{masked(0x02, "begun"), masked(0x82, "anew")},
		{masked(0x89, long)},
		{{0x82, 0x01, 'x'}},
		{{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}},
		{{0x82, 0xfe, 0x00, 0x05, 1, 2, 3, 4, 5}},
		{masked(0x88, "\x03")},
	} {
		data := bytes.Join(frames, nil)
		f.Add(false, uint8(1), data)
		f.Add(false, uint8(100), data)
		f.Add(true, uint8(3), bytes.ReplaceAll(data, []byte{0x82}, []byte{0x81}))
	}
	e := New(engine.Config{MaxMessageBytes: 1 << 10})
	f.Cleanup(func() {
		if err := e.Shutdown(context.Background()); err != nil {
			f.Error(err)
		}
	})
	read := func(t *testing.T, enc engine.Encoding, early []byte, pieces [][]byte) *listener {
		l := &listener{done: make(chan struct{})}
		if _, err := e.Adopt(&fed{pieces: pieces}, early, enc, l); err != nil {
			t.Fatal(err)
		}
		<-l.done
		return l
	}
	f.Fuzz(func(t *testing.T, text bool, size uint8, data []byte) {
		enc := engine.Protobuf
		if text {
			enc = engine.JSON
		}
		whole := read(t, enc, bytes.Clone(data), nil)
		cut := read(t, enc, nil, slices.Collect(slices.Chunk(bytes.Clone(data), int(size)+1)))
		if !slices.EqualFunc(whole.messages, cut.messages, bytes.Equal) {
			t.Errorf("in one piece %q, in pieces of %d bytes %q", whole.messages, int(size)+1, cut.messages)
		}
		if a, b := reason(whole.cause), reason(cut.cause); a != b {
			t.Errorf("in one piece it ends with %q, in pieces of %d bytes with %q", a, int(size)+1, b)
		}
	})
}

// reason is what a session's end has to do with what was read.
func reason(cause error) string {
	var violation *engine.ViolationError
	switch {
	case errors.As(cause, &violation):
		return violation.Error()
	case errors.Is(cause, engine.ErrPeerClosed):
		return "closed by the client"
	}
	return "the connection has ended"
}
