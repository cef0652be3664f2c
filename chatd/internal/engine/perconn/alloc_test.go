package perconn

import (
	"testing"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// What is done for each delivery allocates nothing: taking the frame from the ring, and moving the cursor when the socket has it. That a
// frame may be watched, for traces, costs those that are not a comparison.
func TestADeliveryAllocatesNothing(t *testing.T) {
	e := New(engine.Config{})
	defer e.Shutdown(t.Context())
	frame, err := engine.NewFrame(&chatv1.Event{Log: "c1", Epoch: 1, Pts: 1})
	if err != nil {
		t.Fatal(err)
	}
	f := e.OpenLog("c1", 1, 0).(*fanout)
	f.Append(frame)
	s := &session{e: e, enc: engine.Protobuf}
	m := &sub{s: s, f: f, ring: f.ring.Load()}
	b := newBatch(&e.count)
	deliver := func() {
		m.next = 1
		s.dirtyLocked(m)
		if !s.gatherLocked(b) {
			t.Fatal("there is nothing to send")
		}
		s.commitLocked(b, len(b.data()), false)
	}
	if n := testing.AllocsPerRun(1000, deliver); n != 0 {
		t.Errorf("%v allocations for a delivery", n)
	}
	if got := e.Stats(); got.Deliveries != 1001 || got.WrittenBytes != uint64(1001*frame.Size()) {
		t.Errorf("counted: %+v", got)
	}
}

// A frame that is watched counts its deliveries, and says when the last one has it.
func TestAWatchedFrameCountsItsDeliveries(t *testing.T) {
	w := engine.NewWatch(2)
	for n := range 2 {
		select {
		case <-w.Done():
			t.Fatalf("done after %d of 2", n)
		default:
		}
		w.Written()
	}
	<-w.Done()
	w.Written() // a session that came later
	if n, last := w.So(); n != 3 || last.IsZero() {
		t.Errorf("written to %d sessions, last at %v", n, last)
	}
}
