package enginetest

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

// testHistories: whatever is appended, attached, detached, reset and read in whatever order, a session that is attached
// sees each position at most once, in order, and without a hole that it was not told of.
func testHistories(t *testing.T, s Suite) {
	rapid.Check(t, func(rt *rapid.T) {
		h := &history{rt: rt, rig: s.start(t, engine.Config{
			RingFrames:      rapid.IntRange(1, 20).Draw(rt, "ring"),
			AllRingsBytes:   rapid.SampledFrom([]int{1000, 10_000, 0}).Draw(rt, "all rings"),
			SendBufferBytes: rapid.SampledFrom([]int{4 << 10, 64 << 10, 64 << 10}).Draw(rt, "send buffer"),
		})}
		defer h.rig.stop()
		for i := range 2 {
			h.logs = append(h.logs, &loggy{name: fmt.Sprint("c", i), epoch: 1})
			h.logs[i].fanout = h.rig.engine.OpenLog(h.logs[i].name, 1, 0)
		}
		for range rapid.IntRange(1, 4).Draw(rt, "sessions") {
			h.readers = append(h.readers, &reader{client: h.rig.connect(encodings[rapid.IntRange(0, 1).Draw(rt, "encoding")]), at: map[string]*place{}})
		}
		rt.Repeat(map[string]func(*rapid.T){
			"append": h.append, "attach": h.attach, "detach": h.detach, "read": h.read, "reset": h.reset,
		})
		h.settle()
		for _, r := range h.readers {
			_ = r.conn.Close()
			_ = r.recorder.cause(t)
		}
	})
}

type history struct {
	rt      *rapid.T
	rig     *rig
	logs    []*loggy
	readers []*reader
}

type loggy struct {
	name   string
	epoch  uint32
	fanout engine.Fanout
}

// reader is a session and what it may expect.
type reader struct {
	*client
	at map[string]*place
}

// place is where a session is in a log: what it has, as far as it was told.
type place struct {
	epoch uint32
	pts   uint64
}

func (h *history) log(rt *rapid.T) *loggy {
	return h.logs[rapid.IntRange(0, len(h.logs)-1).Draw(rt, "log")]
}

func (h *history) reader(rt *rapid.T) *reader {
	return h.readers[rapid.IntRange(0, len(h.readers)-1).Draw(rt, "reader")]
}

func (h *history) append(rt *rapid.T) {
	l := h.log(rt)
	for range rapid.IntRange(1, 30).Draw(rt, "events") {
		if !l.fanout.Append(frameOf(rt, l.name, l.epoch, l.fanout.Head()+1, rapid.SampledFrom([]int{10, 3000}).Draw(rt, "size"))) {
			rt.Fatal("the next event was refused")
		}
	}
}

func (h *history) reset(rt *rapid.T) {
	l := h.log(rt)
	l.epoch++
	l.fanout.Reset(l.epoch, l.fanout.Head()+uint64(rapid.IntRange(0, 3).Draw(rt, "ahead")))
}

// attach first reads all that was sent before, by an answer as a mark, so that it knows what belongs to which attachment.
func (h *history) attach(rt *rapid.T) {
	r, l := h.reader(rt), h.log(rt)
	h.detachFrom(rt, r, l)
	cursor := l.fanout.Head() - min(l.fanout.Head(), uint64(rapid.IntRange(0, 25).Draw(rt, "behind")))
	from, covered := r.attach(l.fanout, cursor)
	if covered && from != cursor || !covered && from != l.fanout.Head() {
		rt.Fatalf("attached at %d with head %d: begins after %d, covered %v", cursor, l.fanout.Head(), from, covered)
	}
	r.at[l.name] = &place{l.epoch, from}
}

func (h *history) detach(rt *rapid.T) { h.detachFrom(rt, h.reader(rt), h.log(rt)) }

func (h *history) detachFrom(rt *rapid.T, r *reader, l *loggy) {
	l.fanout.Detach(r.session)
	r.session.Send(pong(1))
	for h.readOne(rt, r) {
	}
	delete(r.at, l.name)
}

func (h *history) read(rt *rapid.T) {
	r := h.reader(rt)
	for range rapid.IntRange(1, 10).Draw(rt, "frames") {
		if !h.behind(r) {
			return
		}
		h.readOne(rt, r)
	}
}

// behind reports whether there is something that the session must yet be sent.
func (h *history) behind(r *reader) bool {
	for _, l := range h.logs {
		if p := r.at[l.name]; p != nil && (p.pts < l.fanout.Head() || p.epoch != l.epoch) {
			return true
		}
	}
	return false
}

// readOne reads a frame and checks that it may come; false if it was an answer.
func (h *history) readOne(rt *rapid.T, r *reader) bool {
	g, err := r.tryRead(patience)
	if err != nil {
		rt.Fatalf("no frame: %v", err)
	}
	switch f := g.frame; {
	case f.GetPong() != nil:
		return false
	case f.GetEvent() != nil:
		e := f.GetEvent()
		p := r.at[e.GetLog()]
		if p == nil || e.GetEpoch() != p.epoch || e.GetPts() != p.pts+1 {
			rt.Fatalf("got event %d of epoch %d of %s at %+v", e.GetPts(), e.GetEpoch(), e.GetLog(), p)
		}
		p.pts++
	case f.GetTooLong() != nil:
		e := f.GetTooLong()
		p := r.at[e.GetLog()]
		if p == nil || e.GetEpoch() < p.epoch || (e.GetEpoch() == p.epoch && e.GetPts() <= p.pts) {
			rt.Fatalf("got too long up to %d of epoch %d of %s at %+v", e.GetPts(), e.GetEpoch(), e.GetLog(), p)
		}
		p.epoch, p.pts = e.GetEpoch(), e.GetPts()
	default:
		rt.Fatalf("got %v", g)
	}
	return true
}

// settle reads everything: each session comes to the head of all its logs.
func (h *history) settle() {
	end := time.Now().Add(patience)
	for _, r := range h.readers {
		for h.behind(r) {
			if time.Now().After(end) {
				h.rt.Fatal("a session does not come to the head")
			}
			h.readOne(h.rt, r)
		}
	}
}
