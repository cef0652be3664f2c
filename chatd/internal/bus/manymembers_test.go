package bus_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/coder/websocket"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
	"github.com/chatfleet/chatfleet/chatd/internal/chatlog"
	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/gateway"
	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/node"
	"github.com/chatfleet/chatfleet/chatd/internal/token"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/proto/chat/v1/chatv1connect"
)

var (
	fewMembers  = flag.Int("members.few", 100, "members of the channel that BenchmarkMembers measures against")
	manyMembers = flag.Int("members.many", 2000, "members of the channel that it measures")
)

// memberOps are what is measured, in order. Read is the count as a client reads it; counted is the time from a join until the channel
// counts it.
var memberOps = []string{"attach", "post", "ban", "read", "counted"}

// BenchmarkMembers is the measurement of docs/decisions/004: what a channel costs a client with many members, against what it costs
// with few, over a combined member's sessions and HTTP. It fails if the channel's count is not the truth in the end.
//
// "make bench-members" runs it at the size that decides.
func BenchmarkMembers(b *testing.B) {
	cost := map[string]map[int]time.Duration{}
	for _, n := range []int{*fewMembers, *manyMembers} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			c := newCrowd(b, n)
			for _, op := range memberOps {
				b.Run(op, func(b *testing.B) {
					took := c.measure(b, op)
					if cost[op] == nil {
						cost[op] = map[int]time.Duration{}
					}
					cost[op][n] = quantile(took, 0.5)
					b.ReportMetric(float64(quantile(took, 0.5).Microseconds()), "p50-µs")
					b.ReportMetric(float64(quantile(took, 0.99).Microseconds()), "p99-µs")
				})
			}
			c.settle(b)
			c.restart(b)
			c.settle(b)
		})
	}
	for _, op := range memberOps {
		few, many := cost[op][*fewMembers], cost[op][*manyMembers]
		if few > 0 && many > 0 {
			fmt.Printf("%-8s p50 %8v with %d members, %8v with %d: %.2f times\n", op,
				few.Round(time.Microsecond), *fewMembers, many.Round(time.Microsecond), *manyMembers, float64(many)/float64(few))
		}
	}
}

// crowd is a combined member, and a channel with many members in it.
type crowd struct {
	dir, leaf, clients, admin string
	signer                    *token.Signer
	stop                      func() error
	chat                      chatv1connect.ChatServiceClient
	channel                   string
	// joined users are those with the numbers below; the banned are the first of them.
	joined, banned int
	posts          uint64
}

// newCrowd is a member in whose streams n users have joined a channel, and the channel has not been told.
func newCrowd(b *testing.B, n int) *crowd {
	b.Helper()
	c := &crowd{dir: b.TempDir(), leaf: freeAddress(b), joined: n}
	begun := time.Now()
	c.write(b)
	fmt.Printf("members=%d: written in %v, %d MiB on disk\n", n, time.Since(begun).Round(time.Millisecond), diskMiB(c.dir))
	begun = time.Now()
	c.start(b)
	ready := time.Since(begun)
	c.settle(b)
	fmt.Printf("members=%d: ready after %v, counted after %v, heap %d MiB\n", n, ready.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond), heapMiB())
	return c
}

// write makes the streams what they are when so many users have joined, by the states' own decisions: an event, a snapshot of each user's own log,
// a tally and a checkpoint of each partition.
func (c *crowd) write(b *testing.B) {
	b.Helper()
	store, err := bus.StartStore(bus.Config{Name: "m", Region: "test", Partitions: crowdPartitions, Secret: []byte(crowdSecret), Dir: c.dir,
		Durability: bus.Replicated, Replicas: 1, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Stop()
	eventually(b, store.Ready)
	w := &writer{b: b}
	js, err := jetstream.New(store.Conn(), jetstream.WithPublishAsyncMaxPending(2048),
		jetstream.WithPublishAsyncErrHandler(func(jetstream.JetStream, *nats.Msg, error) { w.failed.Add(1) }))
	if err != nil {
		b.Fatal(err)
	}
	w.js = js
	channel := chatv1.LogKind_LOG_KIND_CHANNEL
	c.channel = logid.Create(channel, "ann", 1)
	w.command(c.channel, chatlog.Command{User: "ann", Create: &wire.Create{Request: &chatv1.CreateRequest{Kind: channel, Title: "t", RandomId: 1}}})
	var tallies [crowdPartitions]wire.Tally
	for i := range c.joined {
		user := userNumber(i)
		p := w.command(logid.User(user), chatlog.Command{User: user, Note: &wire.UserNote{Log: c.channel, Kind: channel, AsOf: 1}})
		tallies[p].Joined++
	}
	for p := range tallies {
		tallies[p].Seq = w.seqs[p]
		w.publish("state", p, "-tally-"+c.channel, &tallies[p])
		w.publish("state", p, "-checkpoint", &wire.Checkpoint{Seq: w.seqs[p], Term: 1, UntoldChannels: []string{c.channel}})
	}
	<-js.PublishAsyncComplete()
	if w.failed.Load() > 0 {
		b.Fatalf("%d messages were not stored", w.failed.Load())
	}
}

// writer writes partitions' streams as their owner's first term would have.
type writer struct {
	b      *testing.B
	js     jetstream.JetStream
	seqs   [crowdPartitions]uint64
	failed atomic.Int64
}

// command carries out the first command of a log.
func (w *writer) command(log string, c chatlog.Command) (partition int) {
	p := logid.Partition(log, crowdPartitions)
	c.NowMs = time.Now().UnixMilli()
	s := &chatlog.State{ID: log}
	d, failed := s.Decide(c)
	if failed != nil {
		w.b.Fatal(failed)
	}
	d.Event.Term, d.Event.FirstOfTerm = 1, w.seqs[p] == 0
	w.seqs[p]++
	s.Apply(d.Event, d.Content, w.seqs[p])
	w.publish("log", p, log, d.Event)
	w.publish("state", p, log, s.Snapshot())
	return p
}

func (w *writer) publish(stream string, partition int, log string, m proto.Message) {
	data, err := proto.Marshal(m)
	if err == nil {
		_, err = w.js.PublishAsync(fmt.Sprintf("%s.test.%d.%s", stream, partition, log), data)
	}
	if err != nil {
		w.b.Fatal(err)
	}
}

const (
	crowdPartitions = 16
	crowdSecret     = "a secret of the whole fleet"
)

// start runs the member; again, if it ran before.
func (c *crowd) start(b *testing.B) {
	b.Helper()
	signer, err := token.GenerateSigner(nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	keys := b.TempDir()
	if err := signer.WriteKeyPair(keys); err != nil {
		b.Fatal(err)
	}
	cfg := node.Config{
		Role: node.Combined, Admin: freeAddress(b), Listen: freeAddress(b), TokenKeys: filepath.Join(keys, token.KeySetFile),
		DrainPerSecond: 100, DrainTimeout: 10 * time.Second, Logger: slog.New(slog.NewTextHandler(b.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		Bus: bus.Config{Name: "m", Region: "test", Partitions: crowdPartitions, Secret: []byte(crowdSecret), Dir: c.dir, LeafListen: c.leaf,
			Durability: bus.Replicated, Replicas: 1},
	}
	cfg.Sessions.UserRequestsPerSecond, cfg.Sessions.UserRequestBurst = 1e6, 1e6
	c.signer, c.clients, c.admin = signer, "http://"+cfg.Listen, "http://"+cfg.Admin
	c.chat = chatv1connect.NewChatServiceClient(http.DefaultClient, c.clients)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx, context.Background(), cfg) }()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	c.stop = stop
	b.Cleanup(func() { _ = stop() })
	eventually(b, func() error {
		resp, err := http.Get(c.admin + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
}

// signIn begins a session that attaches the channel.
func (c *crowd) signIn(ctx context.Context, raw string) (*websocket.Conn, error) {
	conn, _, err := websocket.Dial(ctx, c.clients+gateway.SessionPath, &websocket.DialOptions{Subprotocols: []string{engine.SubprotocolProtobuf}})
	if err != nil {
		return nil, err
	}
	data, err := proto.Marshal(&chatv1.ClientFrame{Ref: 1, Body: &chatv1.ClientFrame_SignIn{SignIn: &chatv1.SignInRequest{
		Token: raw, Device: "d", Cursors: []*chatv1.Cursor{{Log: c.channel}}}}})
	if err == nil {
		err = conn.Write(ctx, websocket.MessageBinary, data)
	}
	f := new(chatv1.ServerFrame)
	if err == nil {
		if _, data, err = conn.Read(ctx); err == nil {
			err = proto.Unmarshal(data, f)
		}
	}
	if logs := f.GetSignedIn().GetLogs(); err == nil && (len(logs) != 1 || logs[0].GetStatus() != chatv1.LogState_STATUS_LIVE) {
		err = fmt.Errorf("signed in with %v", f)
	}
	return conn, err
}

func userNumber(i int) string {
	if i == 0 {
		return "ann"
	}
	return fmt.Sprint("user", i)
}

// generate makes users join until there are n, each by a note in his own log, as a shard has it made.
func (c *crowd) generate(b *testing.B, n int) {
	sh, err := bus.StartShard(bus.Config{
		Name: "generator", Region: "test", Partitions: crowdPartitions, Secret: []byte(crowdSecret), Stores: []string{c.leaf},
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		b.Fatal(err)
	}
	defer sh.Stop()
	if err := sh.Start(deaf{}); err != nil {
		b.Fatal(err)
	}
	eventually(b, sh.Ready)
	var next atomic.Int64
	next.Store(int64(c.joined))
	var group sync.WaitGroup
	for range 64 {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && !b.Failed(); i = int(next.Add(1)) - 1 {
				user := userNumber(i)
				note := &wire.UserNote{UserLog: logid.User(user), Log: c.channel, Kind: chatv1.LogKind_LOG_KIND_CHANNEL, AsOf: 1}
				ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
				reply, err := sh.Ask(ctx, logid.Partition(note.UserLog, crowdPartitions), &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_Note{Note: note}})
				cancel()
				if err != nil || reply.GetError() != nil {
					b.Errorf("%s does not join: %v, %v", user, err, reply.GetError())
				}
			}
		})
	}
	group.Wait()
	if b.Failed() {
		b.FailNow()
	}
	c.joined = n
}

// deaf is a shard's receiver that hears nothing.
type deaf struct{}

func (deaf) Live(string, []byte)      {}
func (deaf) Digest(int, *wire.Digest) {}
func (deaf) Relinked()                {}

// as is a request of a user.
func as[T any](b *testing.B, c *crowd, user string, r *T) *connect.Request[T] {
	b.Helper()
	raw, err := c.signer.Sign(user, time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	req := connect.NewRequest(r)
	req.Header().Set("Authorization", "Bearer "+raw)
	return req
}

// members is the count as a client reads it, who knows nothing of the channel yet.
func (c *crowd) members(b *testing.B, req *connect.Request[chatv1.DifferenceRequest]) int {
	b.Helper()
	d, err := c.chat.Difference(b.Context(), req)
	if err != nil {
		b.Fatal(err)
	}
	return int(d.Msg.GetInfo().GetMembers())
}

func (c *crowd) readCount(b *testing.B) *connect.Request[chatv1.DifferenceRequest] {
	return as(b, c, "ann", &chatv1.DifferenceRequest{Cursor: &chatv1.Cursor{Log: c.channel}, Limit: 1})
}

// settle waits until the count is the truth.
func (c *crowd) settle(b *testing.B) {
	b.Helper()
	want, req := c.joined-c.banned, c.readCount(b)
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		got := c.members(b, req)
		if got == want {
			return
		}
		if time.Since(begun) > 2*time.Minute {
			b.Fatalf("the channel counts %d members, and has %d", got, want)
		}
	}
}

// measure does an operation again and again and says how long each took.
func (c *crowd) measure(b *testing.B, op string) (took []time.Duration) {
	ctx := b.Context()
	for b.Loop() {
		var done func() error
		after := func() {}
		switch op {
		case "attach":
			// Of members all over the number line, whose own logs nobody has used for a while.
			raw, err := c.signer.Sign(userNumber(1+(len(took)*7919+c.banned)%(c.joined-1)), time.Hour)
			if err != nil {
				b.Fatal(err)
			}
			var conn *websocket.Conn
			done = func() (err error) { conn, err = c.signIn(ctx, raw); return err }
			after = func() { conn.CloseNow() }
		case "post":
			c.posts++
			req := as(b, c, "ann", &chatv1.PostRequest{Log: c.channel, RandomId: c.posts, Message: &chatv1.Message{Text: "hello"}})
			done = func() error { _, err := c.chat.Post(ctx, req); return err }
		case "ban":
			c.banned++
			req := as(b, c, "ann", &chatv1.SetRoleRequest{Log: c.channel, User: userNumber(c.banned), Role: chatv1.Role_ROLE_BANNED})
			done = func() error { _, err := c.chat.SetRole(ctx, req); return err }
		case "read":
			req := c.readCount(b)
			done = func() error { c.members(b, req); return nil }
		case "counted":
			if len(took) == 0 {
				c.settle(b) // the bans before it
			}
			req := as(b, c, userNumber(c.joined), &chatv1.JoinRequest{Log: c.channel})
			c.joined++
			count := c.readCount(b)
			done = func() error {
				_, err := c.chat.Join(ctx, req)
				for err == nil && c.members(b, count) != c.joined-c.banned {
					err = ctx.Err()
				}
				return err
			}
		}
		begun := time.Now()
		if err := done(); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begun))
		after()
	}
	return took
}

// restart stops the member with joins that no other partition has been told of for good, and measures how it takes everything over.
func (c *crowd) restart(b *testing.B) {
	b.Helper()
	c.generate(b, c.joined+min(c.joined/20, 5000))
	untold := c.sum(b, "chatd_owner_untold")
	if err := c.stop(); err != nil {
		b.Fatal(err)
	}
	begun := time.Now()
	c.start(b)
	ready := time.Since(begun)
	took := c.sum(b, "chatd_owner_take_over_seconds_sum")
	c.settle(b)
	fmt.Printf("take-over with %d members: ready after %v, the partitions' own take-overs %.3f s in sum, counted after %v, %v untold before it, heap %d MiB\n",
		c.joined, ready.Round(time.Millisecond), took, time.Since(begun).Round(time.Millisecond), untold, heapMiB())
}

// sum is that of a metric's series.
func (c *crowd) sum(b *testing.B, name string) (total float64) {
	b.Helper()
	resp, err := http.Get(c.admin + "/metrics")
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) == 2 && (fields[0] == name || strings.HasPrefix(fields[0], name+"{")) {
			n, _ := strconv.ParseFloat(fields[1], 64)
			total += n
		}
	}
	return total
}

func heapMiB() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc >> 20
}

func diskMiB(dir string) (size int64) {
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if info, err2 := d.Info(); err == nil && err2 == nil && !d.IsDir() {
			size += info.Size()
		}
		return nil
	})
	return size >> 20
}
