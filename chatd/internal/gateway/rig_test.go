package gateway_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/engine/perconn"
	"github.com/chatfleet/chatfleet/chatd/internal/gateway"
	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	"github.com/chatfleet/chatfleet/chatd/internal/token"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// clusterSecret is what resume tokens are sealed by.
const clusterSecret = "the secret of this cluster"

// patience bounds a wait for what must happen: who reaches it has failed, whatever the machine does.
const patience = 40 * time.Second

// world is one store with an owner, and doors to it: shards with gateways, each of other limits.
type world struct {
	t     testing.TB
	store *bus.Store
	// key signs tokens of the fleet's issuer, other is a stranger's own.
	key, other ed25519.PrivateKey
	signer     *token.Signer
	keys       *token.KeySet

	// channel is ann's, group is ann's and mallory is no member of it, his group is mallory's own. epoch is the channel's.
	channel, group, his string
	epoch               uint32

	// setUp is the door by which they were made.
	setUp *door

	mu    sync.Mutex
	doors map[*doorKind]*door
	// elsewhere are those to other stores, each made by the first who wants it.
	elsewhere   map[*doorKind]*door
	elsewhereMu sync.Mutex
	// from numbers the addresses of strangers.
	from atomic.Uint32
	post chan struct{}
	id   atomic.Uint64
}

// doorKind is a shard and gateway with limits of its own.
type doorKind struct {
	name    string
	shard   func(*shard.Config)
	gateway func(*gateway.Config)
	engine  func(*engine.Config)
	// store, if not nil, is what is other about its store, which is then one of its own, and full says that this has no room.
	store func(*bus.Config)
	full  bool
	// memory: clients connect by pipes in memory and not by sockets.
	memory bool
}

// usual is a door as it is without any setting, but for loopback: whoever comes from there counts as a stranger.
var usual = &doorKind{name: "usual"}

// door is a running doorKind with a well-behaved session.
type door struct {
	*world
	kind      *doorKind
	addr      string
	shard     *shard.Shard
	link      *bus.Shard
	resume    *token.Resumer
	revoked   *token.Revoked
	dial      func(from string) (net.Conn, error)
	bystander *bystander
	// beside, if not nil, is where the bystander is instead.
	beside *door
}

func newWorld(t testing.TB) *world {
	w := newWorldOf(t, nil)
	if _, fuzzes := t.(*testing.F); !fuzzes { // who would take what posts cover for what an input does
		w.chatter(w.setUp)
	}
	return w
}

func newWorldOf(t testing.TB, change func(*bus.Config)) *world {
	t.Helper()
	w := &world{t: t, doors: map[*doorKind]*door{}, post: make(chan struct{})}
	cfg := bus.Config{Name: "s", Region: "test", Partitions: 2, Secret: []byte("sixteen bytes at least"), Logger: quiet(),
		Registerer: prometheus.NewRegistry(), Dir: t.TempDir(), Durability: bus.Replicated, Replicas: 1}
	if change != nil {
		change(&cfg)
	}
	var err error
	if w.store, err = bus.StartStore(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.store.Stop)
	w.makeKeys()
	d := w.open(&doorKind{name: "setting up", memory: true})
	w.channel, w.epoch = d.create("ann", chatv1.LogKind_LOG_KIND_CHANNEL)
	w.group, _ = d.create("ann", chatv1.LogKind_LOG_KIND_GROUP)
	w.his, _ = d.create("mallory", chatv1.LogKind_LOG_KIND_GROUP)
	w.setUp = d
	return w
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func (w *world) makeKeys() {
	// The same in every process, so that what a fuzzer has found is found again.
	w.key = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	w.other = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, ed25519.SeedSize))
	var err error
	if w.signer, err = token.NewSigner(w.key, nil); err != nil {
		w.t.Fatal(err)
	}
	jwks, err := w.signer.KeySetJSON()
	if err != nil {
		w.t.Fatal(err)
	}
	if w.keys, err = token.ParseKeySet(jwks); err != nil {
		w.t.Fatal(err)
	}
}

// token is a good one.
func (w *world) token(user string) string {
	raw, err := w.signer.Sign(user, time.Hour)
	if err != nil {
		w.t.Fatal(err)
	}
	return raw
}

// open makes a door when it is first asked for.
func (w *world) open(kind *doorKind) *door {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d := w.doors[kind]; d != nil {
		return d
	}
	link, err := w.store.Shard()
	if err != nil {
		w.t.Fatal(err)
	}
	d := &door{world: w, kind: kind, link: link, resume: w.resumer(clusterSecret, 0), revoked: token.NewRevoked()}
	cfg := shard.Config{Name: kind.name, Region: "test", Partitions: 2, Logger: quiet(), Resume: d.resume, Revoked: d.revoked, Revoke: link.Revoke, Soft: link.Soft()}
	if kind.shard != nil {
		kind.shard(&cfg)
	}
	limits := cfg.Engine()
	if kind.engine != nil {
		kind.engine(&limits)
	}
	var eng engine.Engine = perconn.New(limits)
	if !kind.memory {
		eng = newEngine(w.t, limits)
	}
	sh, err := shard.New(cfg, eng, link, token.NewVerifier(w.keys, nil), shard.NewMetrics(prometheus.NewRegistry()))
	if err != nil {
		w.t.Fatal(err)
	}
	sh.Start()
	link.FollowRevocations(sh)
	if err := link.Start(sh); err != nil {
		w.t.Fatal(err)
	}
	await(w.t, "the door knows what was revoked", d.revoked.Complete)
	gw := gateway.Config{Shard: sh, Logger: quiet(), MaxBodyBytes: cfg.FrameBytes()}
	gw.Opener, _ = eng.(engine.Opener)
	if w.address() != "" {
		gw.ExemptAddresses = []netip.Prefix{}
	}
	if kind.gateway != nil {
		kind.gateway(&gw)
	}
	d.shard = sh
	listener := d.listen()
	server := gateway.NewServer(gw)
	served := make(chan error, 1)
	go func() { served <- server.Serve(gateway.LimitListener(listener, gw)) }()
	w.doors[kind] = d
	w.t.Cleanup(func() {
		server.Close()
		<-served
		sh.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := eng.Shutdown(ctx); err != nil {
			w.t.Errorf("the engine of %s: %v", kind.name, err)
		}
		link.Stop()
	})
	if w.channel != "" && !kind.memory {
		d.bystander = d.newBystander()
	}
	return d
}

// resumer makes resume tokens by a clock that is off by so much.
func (w *world) resumer(secret string, off time.Duration) *token.Resumer {
	r, err := token.NewResumer(token.FixedSeal([]byte(secret)), "test", func() time.Time { return time.Now().Add(off) })
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// await waits for what must come true.
func await(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("waited in vain: %s", what)
			return
		}
	}
}

func (d *door) listen() net.Listener {
	if d.kind.memory {
		l := newMemory()
		d.addr, d.dial = "memory", func(string) (net.Conn, error) { return l.dial() }
		return l
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		d.t.Fatal(err)
	}
	d.addr = l.Addr().String()
	d.dial = func(from string) (net.Conn, error) {
		dialer := net.Dialer{Timeout: patience}
		if from != "" {
			dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
		}
		return dialer.Dial("tcp4", d.addr)
	}
	return l
}

// address is one that no other stranger has, so that what counts by the address does not mix rows. Systems with one loopback address
// only share it.
func (w *world) address() string {
	n := w.from.Add(1)
	from := "127.1." + strconv.Itoa(int(n>>8&0xff)) + "." + strconv.Itoa(int(n&0xff))
	l, err := net.Listen("tcp4", from+":0")
	if err != nil {
		return ""
	}
	l.Close()
	return from
}

func (d *door) create(owner string, kind chatv1.LogKind) (log string, epoch uint32) {
	return d.createAs(owner, kind, "t", d.id.Add(1))
}

func (d *door) createAs(owner string, kind chatv1.LogKind, title string, id uint64) (log string, epoch uint32) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, failed := d.shard.Create(ctx, owner, &chatv1.CreateRequest{Kind: kind, Title: title, RandomId: id})
	if failed != nil {
		d.t.Fatal(failed)
	}
	return r.Log, r.Epoch
}

// say posts to the channel, and returns the position.
func (d *door) say() uint64 {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, failed := d.shard.Post(ctx, "ann", &chatv1.PostRequest{Log: d.channel, RandomId: d.id.Add(1), Message: &chatv1.Message{Text: "all is well"}})
	if failed != nil {
		d.t.Errorf("a post of a well-behaved user: %v", failed)
		return 0
	}
	return r.Pts
}

// chatter posts all the while.
func (w *world) chatter(d *door) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				d.say()
			case <-stop:
				return
			}
		}
	}()
	w.t.Cleanup(func() { close(stop); <-done })
}

// memory is a listener whose connections are pipes.
type memory struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newMemory() *memory { return &memory{conns: make(chan net.Conn), done: make(chan struct{})} }

func (m *memory) dial() (net.Conn, error) {
	server, client := net.Pipe()
	select {
	case m.conns <- server:
		return client, nil
	case <-m.done:
		return nil, http.ErrServerClosed
	}
}

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.done:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error   { m.once.Do(func() { close(m.done) }); return nil }
func (m *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

func contains(text, words string) bool { return strings.Contains(text, words) }
