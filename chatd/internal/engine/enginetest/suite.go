// Package enginetest is the suite that every engine passes: what the interface in package engine promises, over real sockets.
// Tests of engines call it, with a constructor.
package enginetest

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// Suite runs against the engines that New makes.
type Suite struct {
	New func(engine.Config) engine.Engine
	// Wrap, if set, stands between the engine and each socket: to hide what a plain socket can do.
	Wrap func(net.Conn) net.Conn
	// Secure, if set, has the two ends of a connection speak TLS.
	Secure func(t testing.TB, server, client net.Conn) (net.Conn, net.Conn)
}

// patience bounds a wait for what must happen: a test that reaches it has failed, whatever the machine does.
const patience = 20 * time.Second

// Run runs every test of the suite.
func (s Suite) Run(t *testing.T) {
	for name, test := range map[string]func(*testing.T, Suite){
		"answers come in order, in both encodings":        testAnswers,
		"messages arrive whole":                           testMessages,
		"an event reaches every session once, in order":   testFanOut,
		"attach begins where the cursor says":             testAttach,
		"attaching anew moves the cursor":                 testAttachAnew,
		"nothing of a log comes after its detach":         testDetach,
		"a closed log sends nothing":                      testCloseLog,
		"nobody has the place of one who is attached":     testLateDetach,
		"the answer comes before corked events":           testCork,
		"a slow reader is told too long, others are not":  testSlowReader,
		"a reset is told as too long":                     testReset,
		"append refuses what is not next":                 testAppendOutOfOrder,
		"recent returns what the ring holds":              testRecent,
		"the ring is bounded in bytes":                    testRingBytes,
		"all rings together are bounded in bytes":         testAllRingsBytes,
		"close flushes, says why, and waits for the peer": testClose,
		"a peer's close is answered":                      testPeerClose,
		"a peer that vanishes is told of":                 testPeerVanishes,
		"breaches of WebSocket are refused by their code": testBreaches,
		"pings are answered, between fragments too":       testPing,
		"a message may come in small pieces":              testTrickle,
		"bytes read early are not lost":                   testEarly,
		"silence ends a session":                          testSilence,
		"a message that stalls ends a session":            testStall,
		"a session that never speaks is ended":            testNoFirstMessage,
		"unread answers are bounded":                      testUnreadAnswers,
		"shutdown ends everything":                        testShutdown,
		"shutdown cuts what does not end":                 testShutdownCuts,
		"sessions come and go under load":                 testChurn,
		"any history keeps order and tells of holes":      testHistories,
	} {
		t.Run(name, func(t *testing.T) { test(t, s) })
	}
}

// rig is an engine and the means to connect to it.
type rig struct {
	t        testing.TB
	suite    Suite
	engine   engine.Engine
	listener net.Listener
	stopped  sync.Once
}

// failer is a testing.TB, or a rapid.T.
type failer interface {
	Helper()
	Fatal(args ...any)
}

func (s Suite) start(t testing.TB, cfg engine.Config) *rig {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.FirstMessageWithin == 0 {
		cfg.FirstMessageWithin = time.Hour // most tests' clients have nothing to say, and a busy machine is slow
	}
	r := &rig{t: t, suite: s, engine: s.New(cfg), listener: l}
	t.Cleanup(r.stop)
	return r
}

// stop may be called before the test ends.
func (r *rig) stop() {
	r.stopped.Do(func() {
		_ = r.listener.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := r.engine.Shutdown(ctx); err != nil {
			r.t.Errorf("shutdown: %v", err)
		}
		if n := r.engine.Stats().Sessions; n != 0 {
			r.t.Errorf("%d sessions are left after shutdown", n)
		}
	})
}

// sockets makes a pair of connected sockets.
func (r *rig) sockets() (server, client net.Conn) {
	r.t.Helper()
	client, err := net.Dial("tcp", r.listener.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	server, err = r.listener.Accept()
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = client.Close() })
	return server, client
}

// connect makes a session.
func (r *rig) connect(enc engine.Encoding) *client {
	r.t.Helper()
	server, conn := r.sockets()
	if r.suite.Wrap != nil {
		server = r.suite.Wrap(server)
	}
	if r.suite.Secure != nil {
		server, conn = r.suite.Secure(r.t, server, conn)
	}
	c := &client{t: r.t, conn: conn, enc: enc, recorder: newRecorder()}
	session, err := r.engine.Adopt(server, nil, enc, c.recorder)
	if err != nil {
		r.t.Fatal(err)
	}
	c.session = session
	return c
}

// recorder is a Handler that keeps what it is told, and detaches its session at the end.
type recorder struct {
	messages chan string
	closed   chan error
	once     sync.Once
	twice    chan struct{}

	mu   sync.Mutex
	logs []engine.Fanout // attached
}

func newRecorder() *recorder {
	return &recorder{messages: make(chan string, 1024), closed: make(chan error, 1), twice: make(chan struct{})}
}

func (r *recorder) Message(_ engine.Session, payload []byte) { r.messages <- string(payload) }

func (r *recorder) Closed(s engine.Session, cause error) {
	r.mu.Lock()
	for _, log := range r.logs {
		log.Detach(s)
	}
	r.mu.Unlock()
	select {
	case r.closed <- cause:
	default:
		r.once.Do(func() { close(r.twice) })
	}
}

// cause waits for the end of the session.
func (r *recorder) cause(t testing.TB) error {
	t.Helper()
	select {
	case err := <-r.closed:
		return err
	case <-time.After(patience):
		t.Fatal("the handler was never told of the session's end")
	}
	return nil
}

func (r *recorder) message(t testing.TB) string {
	t.Helper()
	select {
	case m := <-r.messages:
		return m
	case err := <-r.closed:
		t.Fatalf("the session ended (%v) before its message arrived", err)
	case <-time.After(patience):
		t.Fatal("no message arrived")
	}
	return ""
}

// frameOf makes the frame of an event whose text has size bytes.
func frameOf(t failer, log string, epoch uint32, pts uint64, size int) *engine.Frame {
	t.Helper()
	f, err := engine.NewFrame(&chatv1.Event{Log: log, Epoch: epoch, Pts: pts, Sender: "ann", Content: &chatv1.Event_Message{
		Message: &chatv1.Message{Text: text(pts, size)}}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func text(pts uint64, size int) string {
	s := fmt.Sprintf("event %d ", pts)
	return s + strings.Repeat(".", max(0, size-len(s)))
}

func pong(nonce uint64) *chatv1.ServerFrame {
	return &chatv1.ServerFrame{Ref: uint32(nonce), Body: &chatv1.ServerFrame_Pong{Pong: &chatv1.PingResponse{Nonce: nonce}}}
}
