package examples

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// badLine stands between an example and chatd and treats pushes badly: some are lost, some come twice, some late, and frames come in clumps. A fleet may do all
// of this (section 7 of the page), but hardly does while a test looks on.
type badLine struct {
	to                  string
	lost, doubled, late atomic.Int32
}

// What is done to the push of an event depends on its position; nothing is done to the last one, which no other would follow.
func isLost(pts int) bool    { return pts%7 == 3 }
func isDoubled(pts int) bool { return pts%5 == 4 }
func isLate(pts int) bool    { return pts%11 == 2 }

func newBadLine(t *testing.T, to string) (line *badLine, address string) {
	line = &badLine{to: to}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { line.session(t.Context(), w, r) }))
	s.Listener = clumping{s.Listener}
	s.Start()
	t.Cleanup(s.Close)
	return line, s.URL
}

func (l *badLine) session(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	options := &websocket.DialOptions{Subprotocols: []string{r.Header.Get("Sec-WebSocket-Protocol")}}
	server, _, err := websocket.Dial(ctx, l.to+r.URL.Path, options)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer server.CloseNow()
	server.SetReadLimit(-1)
	client, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{server.Subprotocol()}})
	if err != nil {
		return
	}
	defer client.CloseNow()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		carry(ctx, client, server, func(data []byte) [][]byte { return [][]byte{data} })
	}()
	var late []byte
	carry(ctx, server, client, func(data []byte) [][]byte { return l.push(data, &late) })
	cancel()
	<-done
}

// clumping makes connections that send what is written to them a little later, several frames in one packet: an event right behind
// the answer to a sign-in, for example.
type clumping struct{ net.Listener }

const clumpTime = 30 * time.Millisecond

func (l clumping) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return &clumpConn{Conn: conn}, err
}

type clumpConn struct {
	net.Conn
	mu    sync.Mutex
	clump []byte
	err   error
}

func (c *clumpConn) Write(data []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.clump) == 0 {
		time.AfterFunc(clumpTime, c.flush)
	}
	c.clump = append(c.clump, data...)
	return len(data), c.err
}

func (c *clumpConn) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, c.err = c.Conn.Write(c.clump)
	c.clump = nil
}

func carry(ctx context.Context, from, to *websocket.Conn, treat func([]byte) [][]byte) {
	for {
		kind, data, err := from.Read(ctx)
		if err != nil {
			return
		}
		for _, frame := range treat(data) {
			if to.Write(ctx, kind, frame) != nil {
				return
			}
		}
	}
}

// push gives the frames to send in place of one. late is the frame that the next one overtakes.
func (l *badLine) push(data []byte, late *[]byte) (frames [][]byte) {
	var frame struct{ Event *struct{ Pts string } }
	if json.Unmarshal(data, &frame) != nil || frame.Event == nil {
		return [][]byte{data}
	}
	pts, _ := strconv.Atoi(frame.Event.Pts)
	waiting := *late
	*late = nil
	switch {
	case isLost(pts):
		l.lost.Add(1)
	case isLate(pts):
		l.late.Add(1)
		*late = data
	case isDoubled(pts):
		l.doubled.Add(1)
		frames = append(frames, data, data)
	default:
		frames = append(frames, data)
	}
	if waiting != nil {
		frames = append(frames, waiting)
	}
	return frames
}
