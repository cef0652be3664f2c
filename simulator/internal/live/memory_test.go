package live

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/proto/chat/v1/chatv1connect"
	"github.com/chatfleet/chatfleet/simulator/internal/swarm"
	"github.com/chatfleet/chatfleet/simulator/internal/swarm/chattest"
	"github.com/chatfleet/chatfleet/simulator/internal/worker"
)

// memoryFleet is a shard that speaks the whole protocol and keeps its logs in memory, so that what is planted in front of it is
// all that goes wrong.
type memoryFleet struct {
	chatv1connect.UnimplementedChatServiceHandler
	chat *chattest.Server
	url  string

	mu      sync.Mutex
	created int
	// Positions of posts by random id: a repeat is answered with the first.
	posted map[string]uint64
}

func newMemoryFleet(t *testing.T) *memoryFleet {
	t.Helper()
	f := &memoryFleet{chat: chattest.New(t), posted: map[string]uint64{}}
	_, service := chatv1connect.NewChatServiceHandler(f)
	server := httptest.NewServer(service)
	t.Cleanup(server.Close)
	f.url = "http://" + oneAddress(t, f.chat.Listen(t), server.Listener.Addr().String())
	return f
}

// oneAddress is an address at which both are: WebSocket sessions go to the first, everything else to the second. It passes on
// bytes and looks at nothing but the first ones, so that it costs next to nothing.
func oneAddress(t *testing.T, sessions, service string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(func() { stop(); l.Close(); conns.Wait() })
	conns.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { pass(ctx, from.(*net.TCPConn), sessions, service) })
		}
	})
	return l.Addr().String()
}

func pass(ctx context.Context, from *net.TCPConn, sessions, service string) {
	defer from.Close()
	var method [4]byte
	if _, err := io.ReadFull(from, method[:]); err != nil {
		return
	}
	address := service
	if string(method[:]) == "GET " {
		address = sessions
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	to := conn.(*net.TCPConn)
	defer to.Close()
	defer context.AfterFunc(ctx, func() { from.Close(); to.Close() })()
	if _, err := to.Write(method[:]); err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(from, to)
		_ = from.CloseWrite()
	})
	_, _ = io.Copy(to, from)
	_ = to.CloseWrite()
	back.Wait()
}

func (f *memoryFleet) Create(_ context.Context, r *connect.Request[chatv1.CreateRequest]) (*connect.Response[chatv1.CreateResponse], error) {
	f.mu.Lock()
	f.created++
	log := fmt.Sprintf("c%d", f.created)
	f.mu.Unlock()
	pts := f.chat.Append(&chatv1.Event{Log: log, Content: &chatv1.Event_Created{Created: &chatv1.LogCreated{Kind: r.Msg.GetKind()}}})
	return connect.NewResponse(&chatv1.CreateResponse{Log: log, Epoch: chattest.Epoch, Pts: pts}), nil
}

func (f *memoryFleet) Post(_ context.Context, r *connect.Request[chatv1.PostRequest]) (*connect.Response[chatv1.PostResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := fmt.Sprintf("%s/%d", r.Msg.GetLog(), r.Msg.GetRandomId())
	pts, repeated := f.posted[key]
	if !repeated {
		pts = f.chat.Post(r.Msg.GetLog(), r.Msg.GetMessage().GetData())
		f.posted[key] = pts
	}
	return connect.NewResponse(&chatv1.PostResponse{Log: r.Msg.GetLog(), Epoch: chattest.Epoch, Pts: pts, Repeated: repeated}), nil
}

func (f *memoryFleet) Difference(_ context.Context, r *connect.Request[chatv1.DifferenceRequest]) (*connect.Response[chatv1.DifferenceResponse], error) {
	cursor := r.Msg.GetCursor()
	events := f.chat.Events(cursor.GetLog())[cursor.GetPts():]
	d := &chatv1.DifferenceResponse{Kind: chatv1.DifferenceResponse_KIND_FINAL, Events: events, Cursor: cursor}
	if len(events) == 0 {
		d.Kind = chatv1.DifferenceResponse_KIND_EMPTY
	}
	if n := int(r.Msg.GetLimit()); n > 0 && len(events) > n {
		d.Kind, d.Events = chatv1.DifferenceResponse_KIND_SLICE, events[:n]
	}
	cursor.Pts += uint64(len(d.Events))
	return connect.NewResponse(d), nil
}

// ownProcess holds the sessions in the process of the test.
type ownProcess struct {
	swarm *swarm.Swarm
	stop  context.CancelFunc
	ran   chan error
	once  sync.Once
	err   error
}

// anyone is the token of a user where nobody looks at it.
func anyone(user string) (string, error) { return user, nil }

func inProcess(token func(user string) (string, error)) func(context.Context, worker.Config) (Crowd, error) {
	return func(ctx context.Context, c worker.Config) (Crowd, error) {
		c.Swarm.Token = token
		// Patient enough not to leave a connection on which a delay is planted.
		c.Swarm.Behaviour = swarm.DefaultBehaviour()
		c.Swarm.Behaviour.AnswerWithin = 2 * tooLate
		s, err := swarm.New(ctx, c.Swarm)
		if err != nil {
			return nil, err
		}
		ctx, stop := context.WithCancel(ctx)
		o := &ownProcess{swarm: s, stop: stop, ran: make(chan error, 1)}
		go func() { o.ran <- s.Run(ctx) }()
		return o, nil
	}
}

func (o *ownProcess) Start() error             { o.swarm.Start(); return nil }
func (o *ownProcess) Progress() swarm.Progress { return o.swarm.Progress() }
func (o *ownProcess) Lost() []string           { return nil }
func (o *ownProcess) Pids() []int              { return nil }

func (o *ownProcess) Wake(awake bool) error { o.swarm.Wake(awake); return nil }

func (o *ownProcess) Delay(when swarm.Window) error { o.swarm.Delay(when); return nil }

func (o *ownProcess) Cut(ctx context.Context, order int, share float64) (int64, error) {
	return o.swarm.Cut(ctx, order, share)
}

func (o *ownProcess) Settle(ctx context.Context, heads map[string]uint64) (int64, error) {
	return o.swarm.Settle(ctx, heads)
}

func (o *ownProcess) Finish(_ context.Context, lists []swarm.LogList) (swarm.Result, error) {
	if err := o.Close(); err != nil {
		return swarm.Result{}, err
	}
	return o.swarm.Result(lists)
}

func (o *ownProcess) Close() error {
	o.once.Do(func() {
		o.stop()
		o.err = <-o.ran
	})
	return o.err
}

// keyFile writes a signing key as `chatd keygen` does.
func keyFile(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "signing.key")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// sayTo prints progress lines to the test's log until the test is over.
func sayTo(t *testing.T) func(string, ...any) {
	var mu sync.Mutex
	over := false
	t.Cleanup(func() { mu.Lock(); over = true; mu.Unlock() })
	began := time.Now()
	return func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			t.Logf("%4.1f s "+format, append([]any{time.Since(began).Seconds()}, args...)...)
		}
	}
}
