package perconn

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/engine/enginetest"
)

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

func FuzzReading(f *testing.F) {
	e := New(engine.Config{MaxMessageBytes: 1 << 10})
	f.Cleanup(func() {
		if err := e.Shutdown(context.Background()); err != nil {
			f.Error(err)
		}
	})
	enginetest.FuzzReading(f, func(t *testing.T, enc engine.Encoding, pieces [][]byte) *enginetest.Listener {
		done := make(chan struct{})
		l := &enginetest.Listener{Ended: func() { close(done) }}
		// The first piece was read before the engine took over.
		var early []byte
		if len(pieces) > 0 {
			early, pieces = pieces[0], pieces[1:]
		}
		if _, err := e.Adopt(&fed{pieces: pieces}, early, enc, l); err != nil {
			t.Fatal(err)
		}
		<-done
		return l
	})
}
