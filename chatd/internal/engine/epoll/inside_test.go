//go:build linux

package epoll

import (
	"bytes"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/engine/enginetest"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// standing is an engine whose one loop does not run: the test does its part.
func standing(t testing.TB, cfg engine.Config) (*Engine, *loop) {
	t.Helper()
	e := &Engine{cfg: cfg.WithDefaults(), held: engine.NewHeld(cfg), holdMost: holdMost, idle: make(chan struct{})}
	l, err := newLoop(e, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.poll.close)
	e.loops = []*loop{l}
	return e, l
}

// What is done for each delivery allocates nothing, in passes of one event and of many. Those of many put the frames together once for all.
func TestADeliveryAllocatesNothing(t *testing.T) {
	const members = 50
	for _, events := range []uint64{1, 5} {
		e, l := standing(t, engine.Config{})
		f := e.OpenLog("c1", 1, 0).(*fanout)
		var readers []int
		for range members {
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(pair[0])
			defer unix.Close(pair[1])
			s := &session{loop: l, h: &enginetest.Listener{}, fd: int32(pair[0])}
			e.sessions++
			l.adopt(s, nil)
			f.at[0].members.Add(1)
			l.attach(s, f, f.ring.Load(), 1)
			readers = append(readers, pair[1])
		}
		for pts := uint64(1); pts <= events; pts++ {
			frame, err := engine.NewFrame(&chatv1.Event{Log: "c1", Epoch: 1, Pts: pts})
			if err != nil || !f.ring.Load().Append(frame) {
				t.Fatalf("event %d is refused (%v)", pts, err)
			}
		}
		p := f.parts[0]
		buf := make([]byte, 4096)
		n := testing.AllocsPerRun(100, func() {
			p.segments[0].at = 0
			for !l.sweep(p) {
			}
			for _, r := range readers {
				if n, err := unix.Read(r, buf); n <= 0 {
					t.Fatalf("a member got nothing (%v)", err)
				}
			}
		})
		if n > 0 {
			t.Errorf("%v allocations to bring %d events to %d members, want none", n, events, members)
		}
		if got := l.count.deliveries.Load(); got != 101*members*events {
			t.Errorf("%d deliveries counted, want %d", got, 101*members*events)
		}
	}
}

// A million sessions are a million of these: what is added to them is weighed. 96 bytes is one of the allocator's sizes.
func TestASessionIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(session{}); size > 96 {
		t.Errorf("a session has %d bytes of its own, want at most 96: what few have belongs to extra", size)
	}
}

// Each log that a session has attached costs a loop a number in the log's array, and what room there is in that: a session has no list of them. Who has gone leaves
// no more behind than as much again.
func TestAMembershipIsSmall(t *testing.T) {
	const sessions, logs = 1000, 64
	e, l := standing(t, engine.Config{})
	all := make([]*session, sessions)
	for i := range all {
		all[i] = &session{loop: l, slot: uint32(i)}
	}
	l.sessions = slices.Clone(all)
	fanouts := make([]*fanout, logs)
	each := func(members int) float64 {
		bytes := 0
		for _, f := range fanouts {
			if got := len(f.parts[0].members); got != members {
				t.Fatalf("%d members, want %d", got, members)
			}
			bytes += cap(f.parts[0].members) * int(unsafe.Sizeof(f.parts[0].members[0]))
		}
		return float64(bytes) / float64(members*logs)
	}
	for i := range fanouts {
		fanouts[i] = e.OpenLog("c", 1, 0).(*fanout)
		rand.Shuffle(sessions, func(a, b int) { all[a], all[b] = all[b], all[a] })
		for _, s := range all {
			l.attach(s, fanouts[i], fanouts[i].ring.Load(), 1)
		}
	}
	if got := each(sessions); got > 5 {
		t.Errorf("%.1f bytes a membership, want at most 5", got)
	}
	for _, s := range all[sessions/4:] {
		for _, f := range fanouts {
			l.detach(s, f)
		}
	}
	if got := each(sessions / 4); got > 8 {
		t.Errorf("%.1f bytes a membership that is left, want at most 8", got)
	}
	if all[0].joined != logs || all[sessions-1].joined != 0 || all[0].x != nil {
		t.Errorf("who stays is in %d parts, who has left in %d; want %d and none", all[0].joined, all[sessions-1].joined, logs)
	}
}

func FuzzReading(f *testing.F) {
	e, l := standing(f, engine.Config{MaxMessageBytes: 1 << 10})
	enginetest.FuzzReading(f, func(_ *testing.T, enc engine.Encoding, pieces [][]byte) *enginetest.Listener {
		h := &enginetest.Listener{}
		s := &session{loop: l, h: h, enc: enc, fd: -1}
		e.sessions++
		l.sessions, l.ages, l.free, l.ready = []*session{s}, []uint32{1}, nil, nil
		for _, piece := range pieces {
			if s.phase != ended {
				l.take(s, piece)
			}
		}
		l.end(s, io.EOF)
		return h
	})
}

// TestDeadlinesComeUp: a session comes up when its deadline has passed, within a tick, wherever that was moved meanwhile; and no sooner.
func TestDeadlinesComeUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &loop{e: &Engine{}}
		w := &l.wheel
		sessions := make([]*session, rapid.IntRange(1, 5).Draw(t, "sessions"))
		for i := range sessions {
			sessions[i] = &session{readBy: uint32(rapid.IntRange(1, 5000).Draw(t, "first"))}
			l.arm(sessions[i])
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			s := sessions[rapid.IntRange(0, len(sessions)-1).Draw(t, "session")]
			if s.readBy > w.now && rapid.Bool().Draw(t, "move") {
				s.readBy = w.now + uint32(rapid.IntRange(1, 3000).Draw(t, "to"))
				l.arm(s)
			}
			if ticks, found := w.next(); !found || ticks == 0 {
				t.Fatal("nobody is to come up")
			}
			to := w.now + uint32(rapid.IntRange(0, 400).Draw(t, "ticks"))
			w.advance(to, func(s *session) {
				switch {
				case s.readBy > w.now:
					w.add(s, s.readBy)
				case s.readBy < w.now:
					t.Fatalf("came up at %d, its deadline was %d", w.now, s.readBy)
				default:
					s.readBy = w.now + uint32(rapid.IntRange(1, 3000).Draw(t, "next"))
					w.add(s, s.readBy)
				}
			})
			for _, s := range sessions {
				if s.readBy <= w.now {
					t.Fatalf("at %d nobody came up for the deadline %d", w.now, s.readBy)
				}
			}
		}
	})
}

// patience is until the wheel's next tick with somebody, and no longer.
func TestALoopWaitsForItsDeadlines(t *testing.T) {
	_, l := standing(t, engine.Config{})
	if until, idle := l.patience(); !idle || until != never {
		t.Errorf("with nothing to come it waits until %v, %t", until, idle)
	}
	l.arm(&session{readBy: 4})
	until, idle := l.patience()
	if !idle || until.Sub(l.began) != 4*tick {
		t.Errorf("with a deadline at %v it waits until %v, %t", 4*tick, until.Sub(l.began), idle)
	}
	if events := l.poll.wait(until); len(events) > 0 || time.Now().Before(until) {
		t.Errorf("it waited until %v and has %v", time.Since(l.began), events)
	}
	l.sweeps = append(l.sweeps, nil)
	if _, idle := l.patience(); idle {
		t.Error("it waits though it has somebody to write to")
	}
}

// A loop with nothing to do uses no CPU time: it waits until it is woken, and by Go's poller, as one that waits in a system call keeps Go's monitor busy.
func TestALoopWithoutSessionsWaits(t *testing.T) {
	_, l := standing(t, engine.Config{})
	woken := make(chan struct{})
	go func() {
		defer close(woken)
		until, _ := l.patience()
		l.poll.wait(until)
	}()
	select {
	case <-woken:
		t.Fatal("it did not wait")
	case <-time.After(100 * time.Millisecond):
	}
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for one := range bytes.SplitSeq(stacks, []byte("\n\n")) {
		if state, _, _ := bytes.Cut(one, []byte("\n")); bytes.Contains(one, []byte("(*poll).wait(")) && !bytes.Contains(state, []byte("[IO wait")) {
			t.Errorf("it waits elsewhere than in Go's poller: %s", one)
		}
	}
	l.post(op{kind: opGoAway})
	select {
	case <-woken:
	case <-time.After(10 * time.Second):
		t.Fatal("it was not woken")
	}
}

// Where crypto/tls has other fields, sessions over TLS keep its buffers: this says so after an upgrade of Go.
func TestTheBuffersOfTLSAreFound(t *testing.T) {
	if len(kept.buffers) != 2 || len(kept.readers) != 1 {
		t.Errorf("of a tls.Conn %d buffers and %d readers are found, want 2 and 1: see releaseBuffers", len(kept.buffers), len(kept.readers))
	}
}

// A session that was on its way when the engine was shut down is closed as the others are.
func TestWhoComesToAnEngineThatIsShutDown(t *testing.T) {
	for kind, want := range map[opKind]phase{opGoAway: closing, opCut: ended} {
		e, l := standing(t, engine.Config{})
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(pair[1])
		e.sessions++
		l.do(&op{kind: kind})
		s := &session{loop: l, h: &enginetest.Listener{}, fd: int32(pair[0])}
		l.adopt(s, nil)
		if s.phase != want {
			t.Errorf("after %d it is in phase %d, want %d", kind, s.phase, want)
		}
		l.end(s, nil)
	}
}
