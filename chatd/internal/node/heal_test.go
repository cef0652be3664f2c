package node

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/engine/perconn"
	"github.com/chatfleet/chatfleet/chatd/internal/gateway"
	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	"github.com/chatfleet/chatfleet/chatd/internal/token"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// lossy passes on what the stores send, but for live events while losing is set; and counts the fetches that go out.
type lossy struct {
	*bus.Shard
	to      *shard.Shard
	losing  atomic.Bool
	lost    atomic.Int64
	fetches atomic.Int64
}

func (l *lossy) Live(log string, stored []byte) {
	if l.losing.Load() {
		l.lost.Add(1)
		return
	}
	l.to.Live(log, stored)
}
func (l *lossy) Digest(partition int, d *wire.Digest) { l.to.Digest(partition, d) }
func (l *lossy) Relinked()                            { l.to.Relinked() }

func (l *lossy) Ask(ctx context.Context, partition int, req *wire.OwnerRequest) (*wire.OwnerReply, error) {
	if req.GetFetch() != nil {
		l.fetches.Add(1)
	}
	return l.Shard.Ask(ctx, partition, req)
}

// An event whose live push is lost reaches every session of the shard, by one fetch for all of them, when the next digest tells:
// with a real store, owner and sockets.
func TestLostLivePushIsHealedByOneFetch(t *testing.T) {
	logger := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	store, err := bus.StartStore(bus.Config{Name: "s", Region: "test", Partitions: 2, Secret: []byte("sixteen bytes at least"), Logger: logger,
		Registerer: prometheus.NewRegistry(), Dir: t.TempDir(), Durability: bus.Fsync, Replicas: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Stop()
	link, err := store.Shard()
	if err != nil {
		t.Fatal(err)
	}
	defer link.Stop()
	signer, err := token.GenerateSigner(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := signer.KeySetJSON()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := token.ParseKeySet(jwks)
	if err != nil {
		t.Fatal(err)
	}
	cfg := shard.Config{Region: "test", Partitions: 2, Logger: logger}
	eng := perconn.New(cfg.Engine())
	l := &lossy{Shard: link}
	if l.to, err = shard.New(cfg, eng, l, token.NewVerifier(keys, nil), shard.NewMetrics(prometheus.NewRegistry())); err != nil {
		t.Fatal(err)
	}
	l.to.Start()
	defer l.to.Close()
	defer eng.Shutdown(context.Background())
	if err := link.Start(l); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = gateway.NewServer(gateway.Config{Shard: l.to, Logger: logger})
	srv.Start()
	defer srv.Close()

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	created, failed := l.to.Create(ctx, "ann", &chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_CHANNEL, Title: "t", RandomId: 1})
	if failed != nil {
		t.Fatal(failed)
	}
	const sessions = 100
	arrived := make(chan uint64, sessions*4)
	var readers sync.WaitGroup
	for i := range sessions {
		raw, err := signer.Sign(fmt.Sprint("reader", i), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		c := signIn(ctx, t, srv.URL, raw, created.Log)
		defer c.CloseNow()
		readers.Go(func() {
			for {
				f, err := readFrame(ctx, c)
				if err != nil {
					return
				}
				if e := f.GetEvent(); e != nil {
					arrived <- e.Pts
				}
			}
		})
	}
	post := func(id uint64) {
		if _, failed := l.to.Post(ctx, "ann", &chatv1.PostRequest{Log: created.Log, RandomId: id, Message: &chatv1.Message{Text: "hello"}}); failed != nil {
			t.Fatal(failed)
		}
	}
	await := func(pts uint64) {
		for range sessions {
			select {
			case got := <-arrived:
				if got != pts {
					t.Fatalf("position %d arrived, want %d", got, pts)
				}
			case <-ctx.Done():
				t.Fatalf("position %d did not reach all sessions", pts)
			}
		}
	}
	post(1)
	await(2)
	before := l.fetches.Load()
	l.losing.Store(true)
	begun := time.Now()
	post(2)
	await(3)
	took := time.Since(begun)
	l.losing.Store(false)
	if l.lost.Load() == 0 {
		t.Fatal("no live push was lost: nothing was shown")
	}
	if n := l.fetches.Load() - before; n != 1 {
		t.Errorf("%d fetches for %d sessions, want 1", n, sessions)
	}
	t.Logf("a lost push reached all %d sessions after %v", sessions, took)
	// A second is promised, of which digests take half; five times that is no busy machine's fault.
	if took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

func signIn(ctx context.Context, t testing.TB, url, raw, log string) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(ctx, url+gateway.SessionPath, &websocket.DialOptions{Subprotocols: []string{engine.SubprotocolProtobuf}})
	if err != nil {
		t.Fatal(err)
	}
	data, err := proto.Marshal(&chatv1.ClientFrame{Ref: 1, Body: &chatv1.ClientFrame_SignIn{SignIn: &chatv1.SignInRequest{
		Token: raw, Device: "d", Cursors: []*chatv1.Cursor{{Log: log}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Write(ctx, websocket.MessageBinary, data); err != nil {
		t.Fatal(err)
	}
	f, err := readFrame(ctx, c)
	if err != nil || len(f.GetSignedIn().GetLogs()) != 1 || f.GetSignedIn().GetLogs()[0].Status != chatv1.LogState_STATUS_LIVE {
		t.Fatalf("signed in with %v (%v)", f, err)
	}
	return c
}

func readFrame(ctx context.Context, c *websocket.Conn) (*chatv1.ServerFrame, error) {
	_, data, err := c.Read(ctx)
	if err != nil {
		return nil, err
	}
	f := new(chatv1.ServerFrame)
	return f, proto.Unmarshal(data, f)
}
