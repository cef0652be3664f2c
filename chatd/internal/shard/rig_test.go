package shard_test

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/engine/perconn"
	"github.com/chatfleet/chatfleet/chatd/internal/gateway"
	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	"github.com/chatfleet/chatfleet/chatd/internal/token"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

var (
	_ bus.Receiver  = (*shard.Shard)(nil)
	_ gateway.Shard = (*shard.Shard)(nil)
)

const partitions = 4

// rig is a shard with the goroutine-per-connection engine, stores in memory, and devices that connect by pipes; all in a bubble whose
// time passes when nobody has anything to do.
type rig struct {
	t        *testing.T
	stores   *stores
	engine   *audit
	shard    *shard.Shard
	registry *prometheus.Registry
	signer   *token.Signer
	stop     context.CancelFunc
	devices  []*device
}

// inBubble runs a test against a new rig.
func inBubble(t *testing.T, change func(*shard.Config), test func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, change)
		defer r.end()
		test(r)
	})
}

func newRig(t *testing.T, change func(*shard.Config)) *rig {
	t.Helper()
	signer, err := token.GenerateSigner(rand.Reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	data, err := signer.KeySetJSON()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := token.ParseKeySet(data)
	if err != nil {
		t.Fatal(err)
	}
	cfg := shard.Config{Name: "shard-0", Region: "test", Partitions: partitions, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if change != nil {
		change(&cfg)
	}
	r := &rig{t: t, stores: newStores(partitions), registry: prometheus.NewRegistry(), signer: signer}
	r.engine = newAudit(t, perconn.New(cfg.Engine()))
	r.shard, err = shard.New(cfg, r.engine, r.stores, token.NewVerifier(keys, cfg.Now), shard.NewMetrics(r.registry))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	r.shard.Start()
	go r.stores.pump(ctx, r.shard)
	return r
}

func (r *rig) end() {
	for _, d := range r.devices {
		_ = d.conn.Close()
	}
	if err := r.engine.Shutdown(context.Background()); err != nil {
		r.t.Errorf("shutdown: %v", err)
	}
	r.shard.Close()
	r.stop()
}

// metric reads a counter or gauge.
func (r *rig) fetches(reason string) int {
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "chatd_fetches_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == reason {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	return 0
}

func (r *rig) metric(name string) float64 {
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	total := 0.0
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return total
}

func (r *rig) token(user string) string {
	raw, err := r.signer.Sign(user, time.Hour)
	if err != nil {
		r.t.Fatal(err)
	}
	return raw
}

// device is a client.
type device struct {
	t    *testing.T
	conn net.Conn
	enc  engine.Encoding
	ref  uint32

	mu      sync.Mutex
	gate    chan struct{} // empty: the device does not read
	answers map[uint32]chan *chatv1.ServerFrame
	pushed  []*chatv1.ServerFrame // what came with ref 0
	all     []*chatv1.ServerFrame
	code    engine.CloseCode
	done    chan struct{}
}

// connect makes a device that has said nothing yet.
func (r *rig) connect(enc engine.Encoding) *device {
	server, client := net.Pipe()
	d := &device{t: r.t, conn: client, enc: enc, answers: map[uint32]chan *chatv1.ServerFrame{}, done: make(chan struct{}), gate: make(chan struct{}, 1)}
	d.gate <- struct{}{}
	if err := r.shard.Connect(server, nil, enc); err != nil {
		r.t.Fatal(err)
	}
	r.devices = append(r.devices, d)
	go d.read()
	return d
}

// signIn makes a device of a user, with logs attached.
func (r *rig) signIn(user string, cursors ...*chatv1.Cursor) (*device, *chatv1.SignInResponse) {
	r.t.Helper()
	d := r.connect(engine.Encoding(len(r.devices) % 2))
	got := d.ask(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_SignIn{SignIn: &chatv1.SignInRequest{
		Token: r.token(user), Device: "phone", Client: "test", Cursors: cursors}}})
	if got.GetSignedIn() == nil {
		r.t.Fatalf("sign-in of %s was answered %v", user, got)
	}
	return d, got.GetSignedIn()
}

func (d *device) read() {
	defer close(d.done)
	for {
		<-d.gate
		d.gate <- struct{}{}
		h, err := ws.ReadHeader(d.conn)
		if err != nil {
			return
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(d.conn, payload); err != nil {
			return
		}
		if h.OpCode == ws.OpClose {
			code, _ := ws.ParseCloseFrameData(payload)
			d.mu.Lock()
			d.code = engine.CloseCode(code)
			d.mu.Unlock()
			_ = ws.WriteFrame(d.conn, ws.MaskFrameInPlace(ws.NewCloseFrame(payload)))
			_ = d.conn.Close()
			return
		}
		f := new(chatv1.ServerFrame)
		if err := d.decode(payload, f); err != nil {
			d.t.Errorf("a frame that is none: %v", err)
			return
		}
		d.take(f)
	}
}

func (d *device) decode(payload []byte, f *chatv1.ServerFrame) error {
	if d.enc == engine.JSON {
		return protojson.Unmarshal(payload, f)
	}
	return proto.Unmarshal(payload, f)
}

func (d *device) take(f *chatv1.ServerFrame) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, f)
	if f.GetRef() == 0 {
		d.pushed = append(d.pushed, f)
		return
	}
	if ch := d.answers[f.GetRef()]; ch != nil {
		ch <- f
		delete(d.answers, f.GetRef())
		return
	}
	d.t.Errorf("an answer to nothing: %v", f)
}

// begin sends a request, and returns where its answer will be.
func (d *device) begin(f *chatv1.ClientFrame) <-chan *chatv1.ServerFrame {
	d.t.Helper()
	answer := make(chan *chatv1.ServerFrame, 1)
	d.mu.Lock()
	d.ref++
	f.Ref = d.ref
	d.answers[f.Ref] = answer
	d.mu.Unlock()
	d.send(f)
	return answer
}

func (d *device) send(f *chatv1.ClientFrame) {
	d.t.Helper()
	marshal := proto.Marshal
	if d.enc == engine.JSON {
		marshal = protojson.Marshal
	}
	payload, err := marshal(f)
	if err != nil {
		d.t.Fatal(err)
	}
	d.sendRaw(payload)
}

func (d *device) sendRaw(payload []byte) {
	if err := ws.WriteFrame(d.conn, ws.MaskFrameInPlace(ws.NewFrame(d.enc.OpCode(), true, payload))); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		d.t.Fatal(err)
	}
}

// ask sends a request and waits for its answer, or for the end of the session: then it returns what was said last.
func (d *device) ask(f *chatv1.ClientFrame) *chatv1.ServerFrame {
	d.t.Helper()
	answer := d.begin(f)
	select {
	case got := <-answer:
		return got
	case <-d.done:
		return d.last()
	case <-time.After(time.Minute):
		d.t.Fatalf("no answer to %v", f)
		return nil
	}
}

func (d *device) last() *chatv1.ServerFrame {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.all) == 0 {
		return nil
	}
	return d.all[len(d.all)-1]
}

func (d *device) closeCode() engine.CloseCode {
	select {
	case <-d.done:
	case <-time.After(time.Minute):
		d.t.Fatal("the session does not end")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.code
}

// positions are what was pushed of a log: positions, negative where it was TooLong. Nobody has anything left to do when it returns.
func (d *device) positions(log string) (pts []int) {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.pushed {
		switch {
		case f.GetEvent().GetLog() == log:
			pts = append(pts, int(f.GetEvent().GetPts()))
		case f.GetTooLong().GetLog() == log:
			pts = append(pts, -int(f.GetTooLong().GetPts()))
		}
	}
	return pts
}

// pause keeps the device from reading, until resume.
func (d *device) pause()  { <-d.gate }
func (d *device) resume() { d.gate <- struct{}{} }

// The requests.

func (d *device) attach(cursors ...*chatv1.Cursor) []*chatv1.LogState {
	d.t.Helper()
	f := d.ask(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Attach{Attach: &chatv1.AttachRequest{Cursors: cursors}}})
	if f.GetAttached() == nil {
		d.t.Fatalf("attach was answered %v", f)
	}
	return f.GetAttached().GetLogs()
}

func (d *device) difference(log string, epoch uint32, pts uint64, limit uint32) *chatv1.ServerFrame {
	d.t.Helper()
	return d.ask(differenceOf(log, epoch, pts, limit))
}

func differenceOf(log string, epoch uint32, pts uint64, limit uint32) *chatv1.ClientFrame {
	return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_Difference{Difference: &chatv1.DifferenceRequest{Cursor: at(log, epoch, pts), Limit: limit}}}
}

func postOf(log string, randomID uint64, text string) *chatv1.ClientFrame {
	return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_Post{Post: &chatv1.PostRequest{Log: log, RandomId: randomID, Message: &chatv1.Message{Text: text}}}}
}

func pingOf(nonce uint64) *chatv1.ClientFrame {
	return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_Ping{Ping: &chatv1.PingRequest{Nonce: nonce}}}
}

func at(log string, epoch uint32, pts uint64) *chatv1.Cursor {
	return &chatv1.Cursor{Log: log, Epoch: epoch, Pts: pts}
}

// none is a cursor of a device that has nothing of a log.
func none(log string) *chatv1.Cursor { return at(log, 0, 0) }

func upTo(from, to int) (all []int) {
	for i := from; i <= to; i++ {
		all = append(all, i)
	}
	return all
}

func contextWithin(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}
