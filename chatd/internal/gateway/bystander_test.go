package gateway_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/gateway"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// bystander is a session that does everything right, at the same door as the strangers. It must get every event of the channel, once,
// in order.
type bystander struct {
	conn *websocket.Conn

	mu     sync.Mutex
	pts    uint64
	broken error
	late   time.Duration // the longest way of an event, by the clocks of this machine
	news   chan struct{} // closed and made anew with each event
}

func (d *door) newBystander() *bystander {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	from := d.address()
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return d.dial(from) }}
	c, _, err := websocket.Dial(ctx, "http://"+d.addr+gateway.SessionPath, &websocket.DialOptions{
		Subprotocols: []string{engine.SubprotocolProtobuf}, HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		d.t.Fatalf("the bystander at %s: %v", d.kind.name, err)
	}
	b := &bystander{conn: c, news: make(chan struct{})}
	b.tell(ctx, &chatv1.ClientFrame{Ref: 1, Body: &chatv1.ClientFrame_SignIn{SignIn: &chatv1.SignInRequest{
		Token: d.token("ben"), Device: "d", Cursors: []*chatv1.Cursor{{Log: d.channel}}}}})
	f, err := b.read(ctx)
	if err != nil || len(f.GetSignedIn().GetLogs()) != 1 || f.GetSignedIn().GetLogs()[0].Status != chatv1.LogState_STATUS_LIVE {
		d.t.Fatalf("the bystander at %s signed in with %v (%v)", d.kind.name, f, err)
	}
	b.pts = f.GetSignedIn().GetLogs()[0].Pts
	var work sync.WaitGroup
	work.Go(func() { b.listen(ctx) })
	work.Go(func() { b.ping(ctx) })
	d.t.Cleanup(func() {
		b.mu.Lock()
		d.t.Logf("the bystander at %s came to position %d; the longest way of an event was %v", d.kind.name, b.pts, b.late.Round(time.Millisecond))
		b.mu.Unlock()
		cancel()
		c.CloseNow()
		work.Wait()
	})
	return b
}

func (b *bystander) tell(ctx context.Context, f *chatv1.ClientFrame) {
	if data, err := proto.Marshal(f); err == nil {
		_ = b.conn.Write(ctx, websocket.MessageBinary, data) // reading tells what is wrong
	}
}

func (b *bystander) read(ctx context.Context) (*chatv1.ServerFrame, error) {
	_, data, err := b.conn.Read(ctx)
	if err != nil {
		return nil, err
	}
	f := new(chatv1.ServerFrame)
	return f, proto.Unmarshal(data, f)
}

func (b *bystander) ping(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ref := uint32(2); ; ref++ {
		select {
		case <-tick.C:
			b.tell(ctx, &chatv1.ClientFrame{Ref: ref, Body: &chatv1.ClientFrame_Ping{Ping: &chatv1.PingRequest{}}})
		case <-ctx.Done():
			return
		}
	}
}

func (b *bystander) listen(ctx context.Context) {
	for {
		f, err := b.read(ctx)
		b.mu.Lock()
		switch event := f.GetEvent(); {
		case err != nil:
			b.broken = fmt.Errorf("its session ended: %w", err)
		case event != nil && event.Pts == b.pts+1:
			b.pts = event.Pts
			b.late = max(b.late, time.Since(time.UnixMilli(event.TimeMs)))
		case f.GetPong() != nil:
		default:
			b.broken = fmt.Errorf("at position %d it got %v", b.pts, f)
		}
		broken := b.broken != nil
		close(b.news)
		b.news = make(chan struct{})
		b.mu.Unlock()
		if broken {
			return
		}
	}
}

// lateAfter is what no event may take to come to a bystander, whatever strangers do beside it: five times the second that the fleet
// promises, as these tests share their machine. What it did take stands in the test's log.
const lateAfter = 5 * time.Second

// check waits until what is posted now has come, and looks whether anything until then came late. undisturbed is a bystander at a door
// that no stranger comes to: how late it was itself, was the machine.
func (b *bystander) check(t *testing.T, until uint64, undisturbed *bystander) {
	t.Helper()
	b.await(t, until)
	undisturbed.await(t, until)
	late, machine := b.worst(), undisturbed.worst()
	if late > machine+lateAfter {
		t.Errorf("an event took %v to the well-behaved session beside it, and at most %v to one without strangers", late, machine)
	}
	t.Logf("worst so far beside strangers %v, without them %v", late.Round(time.Millisecond), machine.Round(time.Millisecond))
}

func (b *bystander) worst() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.late
}

func (b *bystander) await(t *testing.T, until uint64) {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		b.mu.Lock()
		pts, broken, news := b.pts, b.broken, b.news
		b.mu.Unlock()
		switch {
		case broken != nil:
			t.Fatalf("the well-behaved session beside it was harmed: %v", broken)
		case pts >= until:
			return
		}
		select {
		case <-news:
		case <-timeout.C:
			t.Fatalf("the well-behaved session beside it is at position %d, and %d was posted", pts, until)
		}
	}
}
