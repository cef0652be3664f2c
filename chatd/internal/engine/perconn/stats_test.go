package perconn

import (
	"testing"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// What rings hold is counted while they hold it: events push each other off, a reset and a close empty them.
func TestRingBytesAreCounted(t *testing.T) {
	e := New(engine.Config{RingFrames: 4})
	defer e.Shutdown(t.Context())
	var size int64
	fill := func(f engine.Fanout, epoch uint32) {
		for range 10 {
			frame, err := engine.NewFrame(&chatv1.Event{Log: "c1", Epoch: epoch, Pts: f.Head() + 1})
			if err != nil || !f.Append(frame) {
				t.Fatalf("an event is refused (%v)", err)
			}
		}
		if size == 0 {
			size = e.Stats().RingBytes / 4
		}
	}
	expect := func(frames int) {
		t.Helper()
		if got := e.Stats().RingBytes; got != int64(frames)*size {
			t.Errorf("%d bytes in rings, want %d frames of %d", got, frames, size)
		}
	}
	one, two := e.OpenLog("c1", 1, 0), e.OpenLog("c2", 1, 0)
	fill(one, 1)
	fill(two, 1)
	expect(8)
	one.Reset(2, 0)
	expect(4)
	fill(one, 2)
	expect(8)
	one.Close()
	one.Close()
	two.Close()
	expect(0)
}
