package enginetest

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/gobwas/ws"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

// Listener is a Handler that notes what it is told of one session. It is not for many goroutines.
type Listener struct {
	Messages [][]byte
	Cause    error
	// Ended, if not nil, is called at the session's end.
	Ended func()
}

// Message implements engine.Handler.
func (l *Listener) Message(_ engine.Session, payload []byte) {
	l.Messages = append(l.Messages, bytes.Clone(payload))
}

// Closed implements engine.Handler.
func (l *Listener) Closed(_ engine.Session, cause error) {
	if l.Cause = cause; l.Ended != nil {
		l.Ended()
	}
}

// FuzzReading: however the bytes of a client are cut into pieces, the same messages are read, and the session ends for the same reason. read has an engine whose
// messages are of 1 KiB at most read pieces, and then the end of the connection.
func FuzzReading(f *testing.F, read func(t *testing.T, enc engine.Encoding, pieces [][]byte) *Listener) {
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
	f.Fuzz(func(t *testing.T, text bool, size uint8, data []byte) {
		enc := engine.Protobuf
		if text {
			enc = engine.JSON
		}
		whole := read(t, enc, [][]byte{bytes.Clone(data)})
		cut := read(t, enc, slices.Collect(slices.Chunk(bytes.Clone(data), int(size)+1)))
		if !slices.EqualFunc(whole.Messages, cut.Messages, bytes.Equal) {
			t.Errorf("in one piece %q, in pieces of %d bytes %q", whole.Messages, int(size)+1, cut.Messages)
		}
		if a, b := reason(whole.Cause), reason(cut.Cause); a != b {
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
