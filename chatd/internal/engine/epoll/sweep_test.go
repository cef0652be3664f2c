//go:build linux

package epoll

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/engine/enginetest"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// tb is what a test and a property's check have in common.
type tb interface {
	Helper()
	Fatalf(format string, args ...any)
}

// field is an engine that stands, one log, and its members with the other ends of their sockets.
type field struct {
	t       tb
	e       *Engine
	l       *loop
	f       *fanout
	kind    int // of sockets
	members []*member
	text    string
	ended   func() // called when a member has ended
}

type member struct {
	s        *session
	reader   int
	got      []byte // and not parsed
	writes   int
	last     uint64 // position
	epoch    uint32
	attached bool
}

func newField(t tb, e *Engine, l *loop, kind int) *field {
	return &field{t: t, e: e, l: l, kind: kind, f: e.OpenLog("c1", 1, 0).(*fanout)}
}

func (fd *field) close() {
	fd.l.ready, fd.l.sweeps = nil, nil
	for _, m := range fd.members {
		fd.l.end(m.s, nil)
		fd.vanish(m)
	}
	fd.l.doOps()
}

// vanish closes the other end of a member's socket.
func (fd *field) vanish(m *member) {
	if m.reader >= 0 {
		_ = unix.Close(m.reader)
		m.reader = -1
	}
}

// join has somebody come who attaches the log.
func (fd *field) join(cursor uint64) *member {
	fd.t.Helper()
	m := fd.connect()
	fd.attach(m, cursor)
	return m
}

// connect has somebody come. He is detached once he is told to have ended.
func (fd *field) connect() *member {
	fd.t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, fd.kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		fd.t.Fatalf("no sockets: %v", err)
	}
	setSendBuffer(pair[0], 1) // the least that the system gives
	m := &member{reader: pair[1]}
	m.s = &session{loop: fd.l, fd: int32(pair[0]), h: &enginetest.Listener{Ended: func() {
		fd.leaveSoon(m)
		if fd.ended != nil {
			fd.ended()
		}
	}}}
	fd.e.sessions++
	fd.l.adopt(m.s, nil)
	fd.members = append(fd.members, m)
	return m
}

// comeSoon and leaveSoon are as others than the loop have it: it does so when it comes to it.
func (fd *field) comeSoon(m *member) {
	from, _ := fd.f.Attach(m.s, engine.Newest)
	m.last, m.epoch, m.attached = from, fd.f.Epoch(), true
}

func (fd *field) leaveSoon(m *member) {
	fd.f.Detach(m.s)
	m.attached = false
}

func (fd *field) attach(m *member, cursor uint64) {
	ring := fd.f.ring.Load()
	from, _ := ring.Start(cursor)
	fd.f.at[0].members.Add(1)
	m.last, m.epoch, m.attached = from, ring.Epoch(), true
	fd.l.attach(m.s, fd.f, ring, from+1)
}

func (fd *field) post() {
	fd.t.Helper()
	frame := frameAfter(fd.t, fd.f, fd.text)
	if !fd.f.ring.Load().Append(frame) {
		fd.t.Fatalf("event %d is refused", fd.f.Head()+1)
	}
	if p := fd.f.parts[0]; p != nil {
		fd.l.lacks(p)
	}
}

// append is post as the shard does it.
func (fd *field) append() { appendTo(fd.t, fd.f) }

func appendTo(t tb, f *fanout) {
	t.Helper()
	if !f.Append(frameAfter(t, f, "")) {
		t.Fatalf("event %d is refused", f.Head()+1)
	}
}

func frameAfter(t tb, f *fanout, text string) *engine.Frame {
	t.Helper()
	frame, err := engine.NewFrame(&chatv1.Event{Log: "c1", Epoch: f.Epoch(), Pts: f.Head() + 1,
		Content: &chatv1.Event_Message{Message: &chatv1.Message{Text: text}}})
	if err != nil {
		t.Fatalf("event %d cannot be encoded: %v", f.Head()+1, err)
	}
	return frame
}

// serve has those who are ready served, one after the other.
func (fd *field) serve() {
	ready := fd.l.ready
	fd.l.ready = nil
	for _, s := range ready {
		s.ready = false
		fd.l.flush(s)
	}
}

// stride goes on with a sweep; false if there is none.
func (fd *field) stride() bool {
	if len(fd.l.sweeps) == 0 {
		return false
	}
	if p := fd.l.sweeps[0]; fd.l.sweep(p) {
		fd.l.sweeps, p.queued = fd.l.sweeps[1:], false
		if len(p.members) > 0 && p.lacks() {
			fd.l.lacks(p)
		}
	}
	return true
}

// read takes what a member's socket has, and checks that it is what comes next.
func (fd *field) read(m *member) (some bool) {
	fd.t.Helper()
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(m.reader, buf)
		if n <= 0 || err != nil {
			break
		}
		m.got, m.writes, some = append(m.got, buf[:n]...), m.writes+1, true
	}
	for {
		r := bytes.NewReader(m.got)
		h, err := ws.ReadHeader(r)
		if err != nil || int64(r.Len()) < h.Length {
			return some
		}
		if h.OpCode == ws.OpClose {
			m.got = nil
			return some
		}
		payload := m.got[len(m.got)-r.Len():][:h.Length]
		var frame chatv1.ServerFrame
		if err := proto.Unmarshal(payload, &frame); err != nil {
			fd.t.Fatalf("a frame cannot be read: %v", err)
		}
		m.got = m.got[len(m.got)-r.Len()+int(h.Length):]
		switch e, far := frame.GetEvent(), frame.GetTooLong(); {
		case far != nil:
			m.last, m.epoch = far.GetPts(), far.GetEpoch()
		case e.GetPts() != m.last+1 || e.GetEpoch() != m.epoch:
			fd.t.Fatalf("event %d of epoch %d comes after %d of %d", e.GetPts(), e.GetEpoch(), m.last, m.epoch)
		default:
			m.last++
		}
	}
}

// check looks at what always holds of a part.
func (fd *field) check() {
	fd.t.Helper()
	p := fd.f.parts[0]
	if p == nil {
		return
	}
	ends := make([]int, len(p.segments))
	for i := range p.segments {
		ends[i] = p.segments[i].end
	}
	if !slices.IsSorted(ends) || len(p.members) > 0 && ends[len(ends)-1] != len(p.members) {
		fd.t.Fatalf("the segments of %d members end at %v", len(p.members), ends)
	}
	here := make(map[*session]bool)
	for i, m := range p.members {
		s := fd.l.sessions[m&^hasCursor]
		if s == nil || s.slot != m&^hasCursor {
			fd.t.Fatalf("the member at %d is not there, or has another slot", i)
		}
		if i > 0 && p.members[i-1]&^hasCursor >= s.slot {
			fd.t.Fatalf("the member at %d is not in the order of slots", i)
		}
		if has := s.cursorOf(p) != nil; has != (s.phase == open && m&hasCursor != 0) { // who is over is owed nothing
			fd.t.Fatalf("the member at %d has a cursor (%v), and its part does not know", i, has)
		}
		here[s] = true
	}
	if vacant := len(slices.DeleteFunc(slices.Clone(fd.l.sessions), func(s *session) bool { return s != nil })); vacant != len(fd.l.free) {
		fd.t.Fatalf("%d slots are vacant, %d of them are to be had", vacant, len(fd.l.free))
	}
	for _, m := range fd.members {
		if m.s.phase == ended && m.s.joined == 0 && fd.l.sessions[m.s.slot] == m.s {
			fd.t.Fatalf("a session that has ended and is nowhere keeps its slot")
		}
		if (m.s.joined == 1) != here[m.s] || m.s.joined > 1 {
			fd.t.Fatalf("a session is said to be in %d parts, and is there: %v", m.s.joined, here[m.s])
		}
		// Who is over when the loop comes to attach him is not attached.
		if len(fd.l.inbox.ops) == 0 && m.attached != here[m.s] && (here[m.s] || m.s.phase == open) {
			fd.t.Fatalf("a session is attached: %v, and is there: %v", m.attached, here[m.s])
		}
	}
}

// Whatever comes in between, who stays gets everything, in order and once; who leaves gets it up to some event.
func TestASweepBringsEverybodyEverything(t *testing.T) {
	e, l := standing(t, engine.Config{RingFrames: 64})
	rapid.Check(t, func(t *rapid.T) {
		fd := newField(t, e, l, unix.SOCK_STREAM)
		defer fd.close()
		fd.text = string(make([]byte, rapid.SampledFrom([]int{0, 700}).Draw(t, "bytes")))
		for range rapid.IntRange(1, 60).Draw(t, "members at first") {
			fd.join(engine.Newest)
		}
		some := func() *member { return fd.members[rapid.IntRange(0, len(fd.members)-1).Draw(t, "member")] }
		t.Repeat(map[string]func(*rapid.T){
			"post": func(t *rapid.T) {
				for range rapid.IntRange(1, 6).Draw(t, "events") {
					fd.post()
				}
			},
			"stride": func(*rapid.T) { fd.stride() },
			"serve":  func(*rapid.T) { fd.serve() },
			"poll":   func(*rapid.T) { l.handle(l.poll.glance()) },
			"read":   func(*rapid.T) { fd.read(some()) },
			"join": func(t *rapid.T) {
				fd.join(rapid.SampledFrom([]uint64{engine.Newest, fd.f.Head() / 2, fd.f.Head() + 2}).Draw(t, "cursor"))
			},
			"leave": func(*rapid.T) {
				m := some()
				l.doOps()
				l.detach(m.s, fd.f)
				m.attached = false
			},
			"come back": func(*rapid.T) {
				if m := some(); m.s.phase == open && !m.attached && fd.settle(m) {
					fd.attach(m, engine.Newest)
				}
			},
			"leave soon": func(*rapid.T) { fd.leaveSoon(some()) },
			"come back soon": func(*rapid.T) {
				if m := some(); m.s.phase == open && !m.attached && fd.settle(m) {
					fd.comeSoon(m)
				}
			},
			"ops": func(*rapid.T) { l.doOps() },
			"end": func(*rapid.T) { l.end(some().s, nil) },
			"close": func(*rapid.T) {
				l.close(some().s, nil, nil, engine.CloseFrame(engine.CloseNormal, ""), true)
			},
			"vanish": func(*rapid.T) { fd.vanish(some()) },
			"reset": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "rarely") == 0 {
					fd.f.Reset(fd.f.Epoch()+1, 5)
					if p := fd.f.parts[0]; p != nil {
						l.lacks(p)
					}
					l.doOps()
				}
			},
			"": func(*rapid.T) { fd.check() },
		})
		fd.settleAll()
	})
}

// settleAll has everything done and read, and checks that nobody lacks anything.
func (fd *field) settleAll() {
	fd.t.Helper()
	for again := true; again; {
		fd.l.doOps()
		again = fd.stride() || len(fd.l.ready) > 0
		fd.serve()
		fd.l.handle(fd.l.poll.glance())
		for _, m := range fd.members {
			again = fd.read(m) || again
		}
	}
	fd.l.doOps()
	fd.check()
	for _, m := range fd.members {
		if !m.attached || m.s.phase != open {
			continue
		}
		if m.epoch != fd.f.Epoch() || m.last < fd.f.Head() {
			fd.t.Fatalf("a member has what is up to %d of epoch %d, of %d of %d", m.last, m.epoch, fd.f.Head(), fd.f.Epoch())
		}
		if m.s.cursorOf(fd.f.parts[0]) != nil && m.last == fd.f.Head() {
			fd.t.Fatalf("a member who is where the others are goes by a cursor of his own")
		}
	}
}

// Who comes and goes in the midst of a stride, before and behind the place that it has come to, moves others in the array: none is passed over, and none served twice.
func TestMembersComeAndGoInTheMidstOfAStride(t *testing.T) {
	e, l := standing(t, engine.Config{})
	rapid.Check(t, func(t *rapid.T) {
		fd := newField(t, e, l, unix.SOCK_STREAM)
		defer fd.close()
		var lag, vanish, come, leave []*member
		for range rapid.IntRange(3, 2*strideSessions).Draw(t, "members") {
			m := fd.connect()
			switch rapid.SampledFrom([]string{"stay", "stay", "lag", "lag", "vanish", "come", "come", "leave"}).Draw(t, "role") {
			case "lag": // has a cursor, so that it is served by its own, and the loop looks into its inbox
				lag = append(lag, m)
				m.s.corked.Add(1)
			case "vanish":
				vanish = append(vanish, m)
			case "come":
				come = append(come, m)
				continue
			case "leave":
				leave = append(leave, m)
			}
			fd.attach(m, engine.Newest)
		}
		fd.post()
		for fd.stride() {
		}
		for _, m := range lag {
			m.s.corked.Add(-1)
		}
		for _, m := range vanish {
			fd.vanish(m)
		}
		fd.ended = func() {
			for _, m := range come {
				fd.comeSoon(m)
			}
			for _, m := range leave {
				fd.leaveSoon(m)
			}
			come, leave = nil, nil
		}
		fd.post()
		for range rapid.IntRange(1, 3).Draw(t, "strides") {
			fd.stride()
			fd.check()
		}
		fd.post()
		fd.settleAll()
	})
}

// settle has a member take all that is on its way to him; false if there is more, of another log or an answer.
func (fd *field) settle(m *member) bool {
	fd.l.doOps()
	for range 100 {
		if !fd.read(m) && m.s.idle() {
			return len(m.got) == 0
		}
		fd.serve()
		fd.l.handle(fd.l.poll.glance())
	}
	return false
}

// A log that is closed lets go of its members, also of those who have ended and are not detached yet.
func TestAClosedLogLetsGo(t *testing.T) {
	e, l := standing(t, engine.Config{})
	fd := newField(t, e, l, unix.SOCK_STREAM)
	stays, ends := fd.join(engine.Newest), fd.join(engine.Newest)
	l.end(ends.s, nil)
	if fd.check(); stays.s.joined != 1 || ends.s.joined != 1 || len(l.free) != 0 {
		t.Fatalf("they are in %d and %d parts, %d slots are free", stays.s.joined, ends.s.joined, len(l.free))
	}
	l.closePart(fd.f)
	if stays.s.joined != 0 || ends.s.joined != 0 || l.sessions[stays.s.slot] != stays.s || !slices.Equal(l.free, []uint32{ends.s.slot}) {
		t.Errorf("they are in %d and %d parts, the slots %v are free", stays.s.joined, ends.s.joined, l.free)
	}
	fd.close()
	if len(l.free) != 2 {
		t.Errorf("%d slots are free, want those of both", len(l.free))
	}
}

// A log with few members does not wait until all of one with many have what is new there.
func TestSweepsTakeTurns(t *testing.T) {
	e, l := standing(t, engine.Config{})
	l.stretch = 0
	many, few := newField(t, e, l, unix.SOCK_STREAM), newField(t, e, l, unix.SOCK_STREAM)
	defer many.close()
	defer few.close()
	for range 10 * strideSessions {
		many.join(engine.Newest)
	}
	one := few.join(engine.Newest)
	many.post()
	l.write()
	few.post()
	many.post()
	for range 3 {
		l.write()
	}
	if few.read(one); one.last != 1 {
		t.Error("after three turns the member of the other log has nothing")
	}
	for range 100 {
		l.write()
	}
	for _, m := range many.members {
		if many.read(m); m.last != 2 {
			t.Fatalf("a member has what is up to %d of 2", m.last)
		}
	}
}

// What comes while a sweep is on its way goes along with it: in all there are as many writes as there are members, and one more for each whom it had passed.
func TestABurstCostsLittleMoreThanOne(t *testing.T) {
	const members = 10 * strideSessions
	e, l := standing(t, engine.Config{})
	fd := newField(t, e, l, unix.SOCK_DGRAM)
	defer fd.close()
	for range members {
		fd.join(engine.Newest)
	}
	for range 32 {
		fd.post()
		if fd.f.Head() <= 3 {
			fd.stride()
		}
	}
	for fd.stride() {
	}
	writes := 0
	for _, m := range fd.members {
		fd.read(m)
		if m.last != 32 {
			t.Errorf("a member has what is up to %d of 32", m.last)
		}
		writes += m.writes
	}
	if want := members + 3*strideSessions; writes != want {
		t.Errorf("%d writes to %d members, want %d", writes, members, want)
	}
}

// Of a burst that is expected each member is written to once, whatever the loop does meanwhile.
func TestABurstThatIsExpectedIsOneWrite(t *testing.T) {
	const members, posts = 2 * strideSessions, 8
	e, l := standing(t, engine.Config{})
	fd := newField(t, e, l, unix.SOCK_DGRAM)
	defer fd.close()
	for range members {
		fd.join(engine.Newest)
	}
	fd.f.at[0].members.Store(1_000_000_000) // as far as is known
	e.holdMost = time.Hour                  // however slow the machine is
	fd.f.Expect(posts)
	for range posts {
		fd.append()
		l.doOps()
		fd.stride()
		fd.f.Expect(-1)
	}
	for fd.stride() {
	}
	writes := 0
	for _, m := range fd.members {
		fd.read(m)
		if m.last != posts {
			t.Errorf("a member has what is up to %d of %d", m.last, posts)
		}
		writes += m.writes
	}
	if writes != members {
		t.Errorf("%d writes to %d members", writes, members)
	}
}

// What is expected holds nobody up for long, and nobody at all if it will not come, or has only few to be written to.
func TestWhatIsExpectedIsNotWaitedForLong(t *testing.T) {
	for name, c := range map[string]struct {
		members  int64
		expected int
		most     time.Duration
		then     func(*fanout)
		atOnce   bool
	}{
		"nothing more":       {1_000_000_000, 1, time.Hour, nil, true},
		"nothing at all":     {1_000_000_000, 0, time.Hour, nil, true},
		"few members":        {int64(holdLeast/holdEach) - 1, 5, time.Hour, nil, true},
		"it does not come":   {1_000_000_000, 5, holdMost, nil, false},
		"it will not come":   {1_000_000_000, 5, time.Hour, func(f *fanout) { f.Expect(-5) }, false},
		"it comes":           {1_000_000_000, 2, time.Hour, func(f *fanout) { f.Expect(-1); appendTo(t, f) }, false},
		"another time round": {1_000_000_000, 5, holdMost, func(f *fanout) { awaitNews(t, f); appendTo(t, f) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := standing(t, engine.Config{})
			f := e.OpenLog("c1", 1, 0).(*fanout)
			f.at[0].members.Store(c.members)
			e.holdMost = c.most
			f.Expect(c.expected)
			began := time.Now()
			appendTo(t, f)
			if told := f.at[0].told.Load(); told != c.atOnce && time.Since(began) < c.most { // a slow machine is not at once
				t.Fatalf("the loop is told at once: %v", told)
			}
			if c.then != nil {
				c.then(f)
			}
			awaitNews(t, f)
			if f.release(); f.at[0].told.Load() {
				t.Error("the loop is told twice")
			}
		})
	}
}

// awaitNews waits until the loop is told that there is something new, and takes it from it.
func awaitNews(t *testing.T, f *fanout) {
	t.Helper()
	l := f.e.loops[0]
	told := func() bool {
		l.inbox.Lock()
		defer l.inbox.Unlock()
		return len(l.inbox.ops) > 0
	}
	for until := time.Now().Add(20 * time.Second); !told(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(until) {
			t.Fatal("the loop is never told")
		}
	}
	l.doOps()
}

// BenchmarkStuckReader is what a delivery costs those who read, and how much more if one in a thousand does not.
func BenchmarkStuckReader(b *testing.B) {
	const members = 1000
	for _, stuck := range []int{0, 1} {
		b.Run(fmt.Sprintf("%d of %d", stuck, members), func(b *testing.B) {
			e, l := standing(b, engine.Config{WriteTimeout: time.Hour})
			fd := newField(b, e, l, unix.SOCK_STREAM)
			defer fd.close()
			fd.text = string(bytes.Repeat([]byte("x"), 200))
			for range members {
				fd.join(engine.Newest)
			}
			buf := make([]byte, 64<<10)
			read := func() {
				for _, m := range fd.members[stuck:] {
					_, _ = unix.Read(m.reader, buf)
				}
			}
			sweep := func() {
				fd.post()
				for fd.stride() {
				}
			}
			for range 100 { // until the sockets of those who do not read are full
				sweep()
				read()
				l.handle(l.poll.glance())
			}
			var swept time.Duration
			for b.Loop() {
				began := time.Now()
				sweep()
				swept += time.Since(began)
				read()
			}
			b.ReportMetric(float64(swept.Nanoseconds())/float64(b.N)/float64(members-stuck), "ns/delivery")
		})
	}
}
