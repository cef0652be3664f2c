package enginetest

import (
	"sync"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

// Events that reach every session of a log, each once and in order; and readers that come late, or fall behind.

func testFanOut(t *testing.T, s Suite) {
	const sessions, events = 200, 30 // more sessions than are woken at once, see perconn
	r := s.start(t, engine.Config{})
	log := r.engine.OpenLog("c1", 3, 0)
	var clients []*client
	for i := range sessions {
		c := r.connect(encodings[i%2])
		if from, covered := c.attach(log, engine.Newest); from != 0 || !covered {
			t.Fatalf("attached from %d (covered %v), want 0", from, covered)
		}
		clients = append(clients, c)
	}
	if log.Sessions() != sessions {
		t.Fatalf("%d sessions attached, want %d", log.Sessions(), sessions)
	}
	for pts := uint64(1); pts <= events; pts++ {
		if !log.Append(frameOf(t, "c1", 3, pts, 100)) {
			t.Fatalf("event %d refused", pts)
		}
	}
	for _, c := range clients {
		for want := uint64(1); want <= events; want++ {
			e := c.read().frame.GetEvent()
			if e.GetPts() != want || e.GetLog() != "c1" || e.GetEpoch() != 3 || e.GetSender() != "ann" || e.GetMessage().GetText() != text(want, 100) {
				t.Fatalf("got %v, want event %d", e, want)
			}
		}
	}
	if got := deliveries(r, sessions*events); got != sessions*events {
		t.Errorf("%d deliveries counted, want %d", got, sessions*events)
	}
	if r.engine.Stats().Sessions != sessions {
		t.Errorf("%d sessions counted, want %d", r.engine.Stats().Sessions, sessions)
	}
}

// deliveries waits for the counter, which follows the socket.
func deliveries(r *rig, want uint64) uint64 {
	for end := time.Now().Add(patience); r.engine.Stats().Deliveries < want && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	return r.engine.Stats().Deliveries
}

func testAttach(t *testing.T, s Suite) {
	r := s.start(t, engine.Config{RingFrames: 10})
	for _, c := range []struct {
		name         string
		cursor, from uint64
		covered      bool
	}{
		{"the newest", engine.Newest, 120, true},
		{"at the head", 120, 120, true},
		{"one behind", 119, 119, true},
		{"at the ring's end", 110, 110, true},
		{"before the ring", 109, 120, false},
		{"from the beginning", 0, 120, false},
		{"ahead of the head", 123, 123, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := r.engine.OpenLog("c1", 1, 100)
			for pts := uint64(101); pts <= 120; pts++ {
				log.Append(frameOf(t, "c1", 1, pts, 10))
			}
			client := r.connect(engine.Protobuf)
			client.t = t
			from, covered := client.attach(log, c.cursor)
			if from != c.from || covered != c.covered {
				t.Fatalf("begins after %d (covered %v), want %d (%v)", from, covered, c.from, c.covered)
			}
			client.wantEvents(c.from+1, 120)
			for pts := uint64(121); pts <= 125; pts++ {
				log.Append(frameOf(t, "c1", 1, pts, 10))
			}
			client.wantEvents(max(c.from, 120)+1, 125)
			client.wantQuiet()
		})
	}
}

func testAttachAnew(t *testing.T, s Suite) {
	r := s.start(t, engine.Config{})
	log := r.engine.OpenLog("c1", 1, 0)
	c := r.connect(engine.Protobuf)
	c.attach(log, 0)
	log.Append(frameOf(t, "c1", 1, 1, 10))
	log.Append(frameOf(t, "c1", 1, 2, 10))
	c.wantEvents(1, 2)
	c.attach(log, 1)
	c.wantEvents(2, 2)
	log.Append(frameOf(t, "c1", 1, 3, 10))
	c.wantEvents(3, 3)
	c.wantQuiet()
	if log.Sessions() != 1 {
		t.Errorf("%d sessions attached, want 1", log.Sessions())
	}
}

func testDetach(t *testing.T, s Suite) {
	r := s.start(t, engine.Config{})
	gone, kept := r.engine.OpenLog("c1", 1, 0), r.engine.OpenLog("c2", 1, 0)
	c := r.connect(engine.Protobuf)
	c.attach(gone, 0)
	c.attach(kept, 0)
	gone.Append(frameOf(t, "c1", 1, 1, 10))
	c.wantEvents(1, 1)
	gone.Detach(c.session)
	gone.Detach(c.session) // again, which is nothing
	gone.Append(frameOf(t, "c1", 1, 2, 10))
	c.wantQuiet()
	kept.Append(frameOf(t, "c2", 1, 1, 10))
	c.wantEvents(1, 1)
	if gone.Sessions() != 0 || kept.Sessions() != 1 {
		t.Errorf("%d and %d sessions attached, want 0 and 1", gone.Sessions(), kept.Sessions())
	}
}

// wantAttached waits until so many sessions are attached.
func wantAttached(t *testing.T, log engine.Fanout, want int) {
	t.Helper()
	for end := time.Now().Add(patience); log.Sessions() != want && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if got := log.Sessions(); got != want {
		t.Errorf("%d sessions attached, want %d", got, want)
	}
}

// Sessions that have ended may be detached late, and once more: who comes meanwhile is not taken for one of them, nor who comes later.
func testLateDetach(t *testing.T, s Suite) {
	const each = 20
	r := s.start(t, engine.Config{Loops: 1})
	log := r.engine.OpenLog("c1", 1, 0)
	connect := func() (clients []*client) {
		for range each {
			clients = append(clients, r.connect(engine.Protobuf))
		}
		return clients
	}
	gone := connect()
	for _, c := range gone {
		log.Attach(c.session, 0) // of which its handler knows nothing
		_ = c.conn.Close()
		_ = c.recorder.cause(t)
	}
	meanwhile := connect()
	log.Append(frameOf(t, "c1", 1, 1, 10))
	for _, c := range meanwhile {
		c.wantQuiet()
		c.attach(log, 1)
	}
	detachGone := func() {
		for _, c := range gone {
			log.Detach(c.session)
		}
	}
	detachGone()
	wantAttached(t, log, each)
	later := connect()
	for _, c := range later {
		c.wantQuiet()
		c.attach(log, 1)
	}
	detachGone()
	log.Append(frameOf(t, "c1", 1, 2, 10))
	for _, c := range append(meanwhile, later...) {
		c.wantEvents(2, 2)
		c.wantQuiet()
	}
	wantAttached(t, log, 2*each)
}

func testCloseLog(t *testing.T, s Suite) {
	r := s.start(t, engine.Config{})
	c := r.connect(engine.Protobuf)
	log := r.engine.OpenLog("c1", 1, 0)
	c.attach(log, 0)
	log.Close()
	log.Append(frameOf(t, "c1", 1, 1, 10))
	c.wantQuiet()
	if log.Sessions() != 0 {
		t.Errorf("%d sessions attached to a closed log", log.Sessions())
	}
	again := r.engine.OpenLog("c1", 1, 1)
	c.attach(again, 1)
	again.Append(frameOf(t, "c1", 1, 2, 10))
	c.wantEvents(2, 2)
}

func testCork(t *testing.T, s Suite) {
	r := s.start(t, engine.Config{})
	log := r.engine.OpenLog("c1", 1, 0)
	log.Append(frameOf(t, "c1", 1, 1, 10))
	c := r.connect(engine.Protobuf)
	c.session.Cork()
	c.session.Cork()
	c.attach(log, 0)
	log.Append(frameOf(t, "c1", 1, 2, 10))
	c.session.Uncork()
	c.wantQuiet()
	c.session.Uncork()
	c.wantEvents(1, 2)
}

func testSlowReader(t *testing.T, s Suite) {
	const events = 4000
	r := s.start(t, engine.Config{RingFrames: 64, SendBufferBytes: 4096})
	log := r.engine.OpenLog("c1", 7, 0)
	slow, quick := r.connect(engine.Protobuf), r.connect(engine.Protobuf)
	slow.attach(log, 0)
	quick.attach(log, 0)
	for pts := uint64(1); pts <= events; pts++ {
		log.Append(frameOf(t, "c1", 7, pts, 4000))
		if got, tooLong := quick.event(); got != pts || tooLong {
			t.Fatalf("the quick reader got %d (too long %v), want %d", got, tooLong, pts)
		}
	}
	var at uint64
	told := 0
	for at < events {
		pts, tooLong := slow.event()
		switch {
		case tooLong:
			told++
			if pts <= at {
				t.Fatalf("too long up to %d, when %d had come", pts, at)
			}
		case pts != at+1:
			t.Fatalf("event %d after %d, without a word", pts, at)
		}
		at = pts
	}
	if told == 0 {
		t.Error("the slow reader had every event: it was not slow, and nothing is shown")
	}
	slow.wantQuiet()
	if got := r.engine.Stats().TooLong; got != uint64(told) {
		t.Errorf("%d times too long counted, want %d", got, told)
	}
}

func testReset(t *testing.T, s Suite) {
	r := s.start(t, engine.Config{})
	log := r.engine.OpenLog("c1", 1, 0)
	var clients []*client
	for i := range 100 {
		c := r.connect(encodings[i%2])
		c.attach(log, 0)
		clients = append(clients, c)
	}
	log.Append(frameOf(t, "c1", 1, 1, 10))
	for _, c := range clients {
		c.wantEvents(1, 1)
	}
	log.Reset(2, 1) // the same head, yet another history
	for _, c := range clients {
		if f := c.read().frame.GetTooLong(); f.GetLog() != "c1" || f.GetEpoch() != 2 || f.GetPts() != 1 {
			t.Fatalf("got %v, want too long", f)
		}
	}
	log.Append(frameOf(t, "c1", 2, 2, 10))
	for _, c := range clients {
		c.wantEvents(2, 2)
		c.wantQuiet()
	}
	if log.Epoch() != 2 || log.Head() != 2 {
		t.Errorf("epoch %d, head %d, want 2 and 2", log.Epoch(), log.Head())
	}
}

func testAppendOutOfOrder(t *testing.T, s Suite) {
	r := s.start(t, engine.Config{})
	log := r.engine.OpenLog("c1", 1, 5)
	for _, pts := range []uint64{5, 7, 0} {
		if log.Append(frameOf(t, "c1", 1, pts, 10)) {
			t.Errorf("event %d was taken after 5", pts)
		}
	}
	if !log.Append(frameOf(t, "c1", 1, 6, 10)) || log.Head() != 6 {
		t.Errorf("event 6 was not taken after 5, the head is %d", log.Head())
	}
}

func testRecent(t *testing.T, s Suite) {
	r := s.start(t, engine.Config{RingFrames: 10})
	log := r.engine.OpenLog("c1", 1, 100)
	for pts := uint64(101); pts <= 120; pts++ {
		log.Append(frameOf(t, "c1", 1, pts, 10))
	}
	for _, c := range []struct {
		cursor      uint64
		limit       int
		first, last uint64
		ok          bool
	}{
		{110, 100, 111, 120, true},
		{115, 2, 116, 117, true},
		{120, 100, 0, 0, true},
		{130, 100, 0, 0, true},
		{109, 100, 0, 0, false},
	} {
		frames, head, ok := log.Recent(c.cursor, c.limit)
		var first, last uint64
		if len(frames) > 0 {
			first, last = frames[0].Pts(), frames[len(frames)-1].Pts()
		}
		if head != 120 || ok != c.ok || first != c.first || last != c.last {
			t.Errorf("after %d, at most %d: %d to %d, head %d, ok %v; want %d to %d", c.cursor, c.limit, first, last, head, ok, c.first, c.last)
		}
	}
	frames, _, _ := log.Recent(119, 1)
	if e, err := frames[0].Event(); err != nil || e.GetPts() != 120 || e.GetMessage().GetText() != text(120, 10) {
		t.Errorf("its event is %v (%v)", e, err)
	}
}

func testRingBytes(t *testing.T, s Suite) {
	r := s.start(t, engine.Config{RingBytes: 5000})
	log := r.engine.OpenLog("c1", 1, 0)
	for pts := uint64(1); pts <= 10; pts++ {
		log.Append(frameOf(t, "c1", 1, pts, 1000))
	}
	if _, _, ok := log.Recent(6, 10); !ok {
		t.Error("4 events of 1,000 bytes do not fit 5,000")
	}
	if _, _, ok := log.Recent(4, 10); ok {
		t.Error("6 events of 1,000 bytes fit 5,000")
	}
	log.Append(frameOf(t, "c1", 1, 11, 20_000))
	if frames, _, ok := log.Recent(10, 10); !ok || len(frames) != 1 {
		t.Error("an event larger than the ring is not held, and could reach nobody")
	}
}

// Logs share the memory: what was said first goes first, in whichever log. A session that had still to be sent it is told.
func testAllRingsBytes(t *testing.T, s Suite) {
	r := s.start(t, engine.Config{AllRingsBytes: 20_000})
	busy, quiet := r.engine.OpenLog("c1", 1, 0), r.engine.OpenLog("c2", 1, 0)
	quiet.Append(frameOf(t, "c2", 1, 1, 1000))
	for pts := uint64(1); pts <= 10; pts++ {
		busy.Append(frameOf(t, "c1", 1, pts, 1000))
	}
	if _, _, ok := quiet.Recent(0, 10); !ok {
		t.Error("11 events of 1,000 bytes do not fit 20,000")
	}
	for pts := uint64(11); pts <= 40; pts++ {
		busy.Append(frameOf(t, "c1", 1, pts, 1000))
	}
	if _, _, ok := quiet.Recent(0, 10); ok {
		t.Error("the oldest event of all is held, although newer ones have filled the room")
	}
	if held, _, _ := busy.Recent(30, 100); len(held) != 10 {
		t.Errorf("%d of the newest 10 events are held", len(held))
	}
	if _, _, ok := busy.Recent(20, 100); ok {
		t.Error("20 events of 1,000 bytes fit 20,000")
	}
	if got := r.engine.Stats().RingBytes; got > 20_000 {
		t.Errorf("%d bytes in rings", got)
	}
	c := r.connect(engine.Protobuf)
	if from, covered := c.attach(quiet, 0); from != 1 || covered {
		t.Errorf("attached to what is gone from %d, covered %v", from, covered)
	}
	quiet.Append(frameOf(t, "c2", 1, 2, 10))
	c.wantEvents(2, 2)
}

func testChurn(t *testing.T, s Suite) {
	const attached, churning, events = 150, 8, 300
	r := s.start(t, engine.Config{})
	log := r.engine.OpenLog("c1", 1, 0)
	var stay []*client
	for range attached {
		c := r.connect(engine.Protobuf)
		c.attach(log, 0)
		stay = append(stay, c)
	}
	stop := make(chan struct{})
	var churn sync.WaitGroup
	for range churning {
		churn.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c := r.connect(engine.JSON)
				from, _ := c.attach(log, engine.Newest)
				if from%2 == 0 {
					log.Detach(c.session)
				}
				if from%3 == 0 {
					c.session.Close(nil, engine.CloseNormal, "")
				}
				_ = c.conn.Close()
				_ = c.recorder.cause(t)
			}
		})
	}
	for pts := uint64(1); pts <= events; pts++ {
		log.Append(frameOf(t, "c1", 1, pts, 50))
	}
	for _, c := range stay {
		c.wantEvents(1, events)
	}
	close(stop)
	churn.Wait()
	wantAttached(t, log, attached) // those that stayed
}
