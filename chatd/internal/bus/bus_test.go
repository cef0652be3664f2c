package bus_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// region is a running fleet of stores and one shard, all in this process.
type region struct {
	partitions int
	configs    []bus.Config
	stores     []*bus.Store
	shard      *bus.Shard
	seen       *seen
}

// seen collects what the shard was told.
type seen struct {
	mu      sync.Mutex
	live    map[string][]uint64
	digests map[int]uint64
	heads   map[string]uint64
}

func (s *seen) Live(log string, stored []byte) {
	e := new(wire.StoredEvent)
	if err := proto.Unmarshal(stored, e); err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[log] = append(s.live[log], e.Pts)
}

func (s *seen) Digest(partition int, d *wire.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.digests[partition]++
	for _, h := range d.Moved {
		s.heads[h.Log] = h.Pts
	}
}

func (s *seen) Relinked() {}

func (s *seen) get(log string) (live []uint64, head uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]uint64(nil), s.live[log]...), s.heads[log]
}

// startRegion starts a fleet; change, if not nil, has a say in each store's configuration.
func startRegion(t testing.TB, stores, partitions int, change func(*bus.Config)) *region {
	t.Helper()
	return startRegionWith(t, stores, partitions, nil, change)
}

// startRegionWith is the same with a say in the shard's.
func startRegionWith(t testing.TB, stores, partitions int, changeShard, change func(*bus.Config)) *region {
	t.Helper()
	dir := t.TempDir()
	var cluster, leaf []string
	for range stores {
		cluster, leaf = append(cluster, freeAddress(t)), append(leaf, freeAddress(t))
	}
	base := bus.Config{
		Region: "test", Partitions: partitions, Secret: []byte("sixteen bytes at least"),
		Logger: slog.New(slog.NewTextHandler(lastLines(t), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	r := &region{partitions: partitions, seen: &seen{live: map[string][]uint64{}, digests: map[int]uint64{}, heads: map[string]uint64{}}}
	for i := range stores {
		c := base
		c.Name, c.Dir, c.Durability, c.Replicas = fmt.Sprintf("store-%d", i), filepath.Join(dir, fmt.Sprint(i)), bus.Replicated, min(stores, 3)
		if stores > 1 {
			c.ClusterListen, c.Peers = cluster[i], cluster
		}
		c.LeafListen = leaf[i]
		if change != nil {
			change(&c)
		}
		r.configs = append(r.configs, c)
	}
	c := base
	c.Name, c.Stores, c.Registerer = "shard-0", leaf, prometheus.NewRegistry()
	if changeShard != nil {
		changeShard(&c)
	}
	var err error
	if r.shard, err = bus.StartShard(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.shard.Stop)
	if err := r.shard.Start(r.seen); err != nil {
		t.Fatal(err)
	}
	r.startStores(t)
	t.Cleanup(r.stopStores)
	return r
}

// startStores starts all stores, again if they ran before, and waits until they are of use.
func (r *region) startStores(t testing.TB) {
	t.Helper()
	for _, c := range r.configs {
		c.Registerer = prometheus.NewRegistry()
		s, err := bus.StartStore(c)
		if err != nil {
			t.Fatal(err)
		}
		r.stores = append(r.stores, s)
	}
	for _, s := range r.stores {
		eventually(t, s.Ready)
	}
	eventually(t, r.shard.Ready)
}

func (r *region) stopStores() {
	var all sync.WaitGroup
	for _, s := range r.stores {
		all.Go(s.Stop)
	}
	all.Wait()
	r.stores = nil
}

// given are the ports that freeAddress has given, none of them twice.
var given sync.Map

// freeAddress is a loopback address of which nobody makes use. Its port is none that the system gives to outgoing connections, which come and go meanwhile.
func freeAddress(t testing.TB) string {
	t.Helper()
	for range 1000 {
		port := 10_000 + rand.IntN(22_000)
		address := "127.0.0.1:" + strconv.Itoa(port)
		if _, twice := given.LoadOrStore(port, true); twice {
			continue
		}
		if l, err := net.Listen("tcp", address); err == nil {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			return address
		}
	}
	panic("no free port between 10000 and 32000 in 1000 tries")
}

// eventually waits for check to say nil; a fleet that never gets there fails the test.
func eventually(t testing.TB, check func() error) {
	t.Helper()
	var err error
	for begun := time.Now(); time.Since(begun) < 30*time.Second; time.Sleep(10 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatal("not within 30 s: ", err)
}

func (r *region) ask(t testing.TB, log string, req *wire.OwnerRequest) *wire.OwnerReply {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	reply, err := r.shard.Ask(ctx, logid.Partition(log, r.partitions), req)
	if err != nil {
		t.Fatal(err)
	}
	if reply.Error != nil {
		t.Fatalf("%v: %v", req, reply.Error)
	}
	return reply
}

func (r *region) create(t testing.TB, user string, id uint64) string {
	t.Helper()
	log := logid.Create(chatv1.LogKind_LOG_KIND_CHANNEL, user, id)
	r.ask(t, log, &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_Create{Create: &wire.Create{
		Log: log, Request: &chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_CHANNEL, Title: "t", RandomId: id}}}})
	return log
}

func (r *region) post(t testing.TB, user, log string, id uint64) *wire.OwnerReply {
	t.Helper()
	return r.ask(t, log, &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_Post{Post: &chatv1.PostRequest{
		Log: log, RandomId: id, Message: &chatv1.Message{Text: fmt.Sprint("post ", id)}}}})
}

func (r *region) fetch(t testing.TB, log string, after uint64, limit uint32) []uint64 {
	t.Helper()
	reply := r.ask(t, log, &wire.OwnerRequest{User: "reader", Body: &wire.OwnerRequest_Fetch{Fetch: &wire.Fetch{Log: log, AfterPts: after, Limit: limit}}})
	var got []uint64
	for _, data := range reply.Events {
		e := new(wire.StoredEvent)
		if err := proto.Unmarshal(data, e); err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Pts)
	}
	return got
}

// A post goes through: acknowledged, announced live, in the digest, and there to be fetched.
func TestPost(t *testing.T) {
	for _, stores := range []int{1, 3} {
		t.Run(fmt.Sprintf("stores=%d", stores), func(t *testing.T) {
			r := startRegion(t, stores, 4, nil)
			log := r.create(t, "ann", 1)
			if err := r.shard.Follow(logid.Partition(log, r.partitions), log); err != nil {
				t.Fatal(err)
			}
			r.fetch(t, log, 0, 1) // the interest is in force
			const posts = 200
			for i := range uint64(posts) {
				if got := r.post(t, "ann", log, i+1); got.Pts != i+2 || got.Epoch == 0 {
					t.Fatalf("post %d got position %d in epoch %d", i, got.Pts, got.Epoch)
				}
			}
			if got := r.post(t, "ann", log, 7); got.Pts != 8 || !got.Repeated {
				t.Errorf("a repeat got position %d, repeated %v; want 8, true", got.Pts, got.Repeated)
			}
			eventually(t, func() error {
				if live, head := r.seen.get(log); len(live) != posts || live[posts-1] != posts+1 || head != posts+1 {
					return fmt.Errorf("live %d events, digest at %d; want %d and %d", len(live), head, posts, posts+1)
				}
				return nil
			})
			if got := r.fetch(t, log, 10, 5); fmt.Sprint(got) != "[11 12 13 14 15]" {
				t.Errorf("fetched %v, want 11 to 15", got)
			}
		})
	}
}
