package swarm

import (
	"testing"
	"unsafe"

	"github.com/gobwas/ws"
	"google.golang.org/protobuf/proto"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/simulator/internal/stamp"
)

// liveLoop is a loop without sockets whose n sessions are attached to one log at position 0.
func liveLoop(t testing.TB, n int) *loop {
	s, err := New(t.Context(), Config{
		Run: testRun, StartNs: stamp.Now(), Sessions: n, Endpoints: []string{"127.0.0.1:1"},
		Token: func(user string) (string, error) { return user, nil },
		Logs:  []string{"c1"}, Attach: []Attachment{{Count: n}}, Groups: []Group{{Name: "all", Measured: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	l := s.loops[0]
	for i := range l.sessions {
		l.sessions[i].state = signedIn
		l.book.attached(int32(i), int32(i), 1, 0, false)
	}
	return l
}

// eventFrame is what a shard pushes for a post of 200 bytes, header and all.
func eventFrame(t testing.TB, pts uint64) []byte {
	data, err := stamp.Stamp{Run: testRun, Post: uint32(pts), IntendedNs: stamp.Now()}.Append(nil, 200)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := proto.Marshal(&chatv1.ServerFrame{Body: &chatv1.ServerFrame_Event{Event: &chatv1.Event{
		Log: "c1", Epoch: 1, Pts: pts, TimeMs: 1_700_000_000_000, Sender: "poster",
		Content: &chatv1.Event_Message{Message: &chatv1.Message{Data: data}}}}})
	if err != nil {
		t.Fatal(err)
	}
	return ws.MustCompileFrame(ws.NewBinaryFrame(payload))
}

func TestADeliveryAllocatesNothing(t *testing.T) {
	l := liveLoop(t, 1)
	const warm, runs = 10, 1000
	frames := make([][]byte, warm+runs+2)
	for i := range frames {
		frames[i] = eventFrame(t, uint64(i+1))
	}
	next := 0
	deliver := func() {
		if _, err := l.consume(0, frames[next], stamp.Now()); err != nil {
			t.Fatal(err)
		}
		next++
	}
	for range warm {
		deliver()
	}
	// What grows with the run's length (series, the log's tally) grows by doubling, and is no allocation a delivery.
	if n := testing.AllocsPerRun(runs, deliver); n > 0.05 {
		t.Errorf("%v allocations a delivery", n)
	}
	if l.counters.Delivered != int64(next) {
		t.Errorf("%d delivered of %d", l.counters.Delivered, next)
	}
}

// Parsing and accounting for one delivery, over the sessions of a whole loop.
func BenchmarkDelivery(b *testing.B) {
	const sessions = 9000
	l := liveLoop(b, sessions)
	pts := uint64(0)
	var frame []byte
	i := int32(sessions)
	b.ReportAllocs()
	for b.Loop() {
		if i == sessions {
			i = 0
			pts++
			b.StopTimer()
			frame = eventFrame(b, pts)
			b.StartTimer()
		}
		if _, err := l.consume(i, frame, stamp.Now()); err != nil {
			b.Fatal(err)
		}
		i++
	}
	if l.counters.Delivered < int64(b.N) || l.counters.Gaps > 0 {
		b.Fatalf("%d of %d delivered", l.counters.Delivered, b.N)
	}
}

func TestBytesPerSubscriberIsWhatIsHeld(t *testing.T) {
	const n = 1000
	l := liveLoop(t, n)
	held := int(unsafe.Sizeof(l.sessions[0]))*len(l.sessions) + int(unsafe.Sizeof(l.wheel.nodes[0]))*len(l.wheel.nodes) +
		int(unsafe.Sizeof(l.book.cursors[0]))*len(l.book.cursors) + len(l.tokens) + 4*len(l.firstCursor) + 4*len(l.firstToken)
	want := BytesPerSubscriber(1, len(l.tokens)/n)
	if got := held / n; got < want || got > want+1 {
		t.Errorf("%d bytes a subscriber are held, BytesPerSubscriber says %d", got, want)
	}
	if got := BytesPerSubscriber(1, 0); got > 128 {
		t.Errorf("a subscriber with one log takes %d bytes without its token: something has grown", got)
	}
}
