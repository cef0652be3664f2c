package swarm

import (
	"bytes"
	"testing"

	"github.com/gobwas/ws"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/simulator/internal/stamp"
)

// payloadOf strips the WebSocket header from a frame of eventFrame.
func payloadOf(t testing.TB, frame []byte) []byte {
	h, n, err := parseHeader(frame)
	if err != nil || n == 0 || int(h.length)+n != len(frame) {
		t.Fatalf("header %+v, %d, %v", h, n, err)
	}
	return frame[n:]
}

func marshal(t testing.TB, f *chatv1.ServerFrame) []byte {
	b, err := proto.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// agree holds the fast path to the generated code: where it claims to have read a frame, both have read the same.
func agree(t *testing.T, payload []byte) (fast bool) {
	ev, ok := parseEvent(payload)
	if !ok {
		return false
	}
	var f chatv1.ServerFrame
	if err := proto.Unmarshal(payload, &f); err != nil {
		t.Fatalf("the fast path has read %x, the generated code says %v", payload, err)
	}
	e := f.GetEvent()
	if e == nil || f.GetRef() != 0 || e.GetMessage() == nil {
		t.Fatalf("the fast path has read an event in %x, the generated code reads %v", payload, &f)
	}
	if string(ev.log) != e.GetLog() || ev.epoch != e.GetEpoch() || ev.pts != e.GetPts() || !bytes.Equal(ev.data, e.GetMessage().GetData()) {
		t.Fatalf("the fast path has read %+v, the generated code %v", ev, e)
	}
	return true
}

func TestTheFastPathReadsWhatIsPushed(t *testing.T) {
	if !agree(t, payloadOf(t, eventFrame(t, 12345))) {
		t.Error("a stamped post is not read by the fast path")
	}
	withRef := protowire.AppendVarint(protowire.AppendTag(nil, frameRef, protowire.VarintType), 0)
	if !agree(t, append(withRef, payloadOf(t, eventFrame(t, 1))...)) {
		t.Error("a ref of 0 that was written out is not read by the fast path")
	}
}

func TestTheFastPathLeavesTheUnusual(t *testing.T) {
	event := &chatv1.Event{Log: "c1", Epoch: 1, Pts: 2, Content: &chatv1.Event_Message{Message: &chatv1.Message{Text: "é", Data: []byte("x")}}}
	twice := append(payloadOf(t, eventFrame(t, 1)), payloadOf(t, eventFrame(t, 2))...)
	for name, payload := range map[string][]byte{
		"empty":         {},
		"two events":    twice,
		"an answer":     marshal(t, &chatv1.ServerFrame{Ref: 3, Body: &chatv1.ServerFrame_Event{Event: event}}),
		"a text":        marshal(t, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_Event{Event: event}}),
		"another event": marshal(t, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_Event{Event: &chatv1.Event{Log: "c1", Epoch: 1, Pts: 1, Content: &chatv1.Event_Erased{}}}}),
		"a pong":        marshal(t, &chatv1.ServerFrame{Ref: 1, Body: &chatv1.ServerFrame_Pong{Pong: &chatv1.PingResponse{}}}),
	} {
		if agree(t, payload) {
			t.Errorf("%s: the fast path took it", name)
		}
	}
}

// Whatever a server sends, in whatever pieces: no panic, no endless loop, and the fast path agrees with the generated code.
func FuzzServerFrames(f *testing.F) {
	one := eventFrame(f, 1)
	f.Add(one, uint8(3), false)
	f.Add(append(bytes.Clone(one), eventFrame(f, 2)...), uint8(200), false)
	f.Add(ws.MustCompileFrame(ws.NewPingFrame([]byte("x"))), uint8(1), false)
	f.Add(ws.MustCompileFrame(ws.NewCloseFrame([]byte{0x03, 0xE8})), uint8(1), false)
	f.Add(ws.MustCompileFrame(ws.NewTextFrame([]byte(`{"event":{"log":"c1","epoch":1,"pts":"1"}}`))), uint8(9), true)
	f.Add(ws.MustCompileFrame(ws.NewBinaryFrame(marshal(f, &chatv1.ServerFrame{Ref: 2, Body: &chatv1.ServerFrame_Difference{
		Difference: &chatv1.DifferenceResponse{Kind: chatv1.DifferenceResponse_KIND_TOO_LONG, Cursor: &chatv1.Cursor{Epoch: 1, Pts: 1 << 60},
			Events: []*chatv1.Event{{Log: "c1", Epoch: 1, Pts: 1 << 59}}}}}))), uint8(0), false)
	f.Add(ws.MustCompileFrame(ws.NewBinaryFrame(marshal(f, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_TooLong{
		TooLong: &chatv1.TooLong{Log: "c1", Epoch: 1, Pts: 1 << 63}}}))), uint8(0), false)
	l := liveLoop(f, 1)
	f.Fuzz(func(t *testing.T, data []byte, piece uint8, json bool) {
		agree(t, data)
		s := &l.sessions[0]
		s.state, s.flags = signedIn, 0
		if json {
			s.set(flagJSON)
		}
		l.book.disconnected(0)
		l.book.cursors[0].state = cursorNew
		l.book.attached(0, 0, 1, 0, false)
		// A difference is under way, so that an answer finds somebody who waits for it.
		l.book.gapOf(0, 0).ref = 2
		var rest []byte
		for len(data) > 0 {
			n := min(int(piece)+1, len(data))
			got, err := l.consume(0, append(rest, data[:n]...), 0)
			if err != nil {
				break
			}
			rest = append([]byte(nil), got...)
			data = data[n:]
		}
		if len(rest) > l.behaviour.MaxMessageBytes+14 {
			t.Fatalf("%d bytes are kept", len(rest))
		}
		l.partials.release(s)
		c := &l.book.cursors[0]
		freeSpans(&l.book.skips, c.skips)
		c.skips = 0
		if _, err := l.book.verify([]*truth{newTruth(LogList{Log: "c1", Epoch: 1, First: 1, Posts: []uint32{1, stamp.NoPost}})},
			l.logs, func(int32) int { return 0 }, func(int32, int64) {}); err != nil {
			t.Fatal(err)
		}
	})
}
