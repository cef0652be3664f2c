package swarm

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chatfleet/chatfleet/simulator/internal/stamp"
)

// bookModel is one session's book against a server that does to its pushes whatever can be done, and has lost some
// positions for good. It counts faults the plain way, by sets, which is what the book must come to with ranges.
type bookModel struct {
	t      *rapid.T
	b      *book
	count  Counters
	base   uint64
	log    []uint32        // post of each position, from 1
	gone   map[uint64]bool // in no push and no difference
	queue  []uint64        // what the server is about to push on this connection
	armed  bool            // the hold timer
	asked  *uint64         // the cursor of the difference under way
	given  map[uint64]bool // pushed on this connection
	stated uint64          // by the sign-in
	top    uint64          // highest push on this connection
	drops  int

	duplicate, unordered int64
}

func newBookModel(t *rapid.T) *bookModel {
	m := &bookModel{t: t, gone: map[uint64]bool{}, given: map[uint64]bool{}}
	m.b = &book{run: testRun, cursors: make([]cursor, 1), tallies: make([]tally, 1), deviations: map[deviation]int64{},
		count: &m.count, meter: newMeter(newGrouping([]Group{{}}, nil), 0, 1)}
	for range rapid.IntRange(0, 3).Draw(t, "before") {
		m.log = append(m.log, stamp.NoPost)
	}
	m.base = uint64(len(m.log))
	m.stated = m.base
	m.b.attached(0, 0, 1, m.base, false)
	return m
}

func (m *bookModel) head() uint64 { return uint64(len(m.log)) }

func (m *bookModel) event(pts uint64) *event {
	ev := &event{epoch: 1, pts: pts}
	if post := m.log[pts-1]; post != stamp.NoPost {
		ev.data, _ = stamp.Stamp{Run: testRun, Post: post}.Append(nil, stamp.HeaderBytes)
	}
	return ev
}

// do is what a loop does with what the book wants.
func (m *bookModel) do(what todo) {
	switch what {
	case holdOn:
		m.armed = true
	case ask:
		m.armed = false
		at := m.b.cursors[0].pts
		m.asked = &at
		m.b.gaps.at(m.b.cursors[0].gap).ref = 1
	case settled:
		m.armed = false
		m.b.closeGap(0)
	}
	if c := m.b.cursors[0]; m.asked != nil && (c.gap == 0 || m.b.gaps.at(c.gap).ref == 0) {
		m.t.Fatal("a difference is under way and the book has forgotten it")
	}
}

func (m *bookModel) post() {
	post := uint32(len(m.log))
	if rapid.IntRange(0, 9).Draw(m.t, "kind") == 0 {
		post = stamp.NoPost
	}
	m.log = append(m.log, post)
	pts := m.head()
	switch how := rapid.IntRange(0, 9).Draw(m.t, "push"); {
	case how == 0 && m.drops < maxHoles/2:
		m.drops++
	case how == 1 && m.drops < maxHoles/2:
		m.drops++
		m.gone[pts] = true
	case how == 2:
		m.queue = append(m.queue, pts, pts)
	case how == 3:
		m.queue = append([]uint64{pts}, m.queue...)
	case how == 4 && len(m.queue) > 0:
		m.queue = append(m.queue, pts, m.queue[0])
	default:
		m.queue = append(m.queue, pts)
	}
}

func (m *bookModel) push() {
	if len(m.queue) == 0 {
		return
	}
	pts := m.queue[0]
	m.queue = m.queue[1:]
	switch {
	case m.given[pts] || pts <= m.stated:
		m.duplicate++
	case pts < m.top:
		m.unordered++
	}
	m.given[pts] = true
	m.top = max(m.top, pts)
	m.do(m.b.pushed(0, 0, m.event(pts), 0))
}

func (m *bookModel) timer() {
	if m.armed {
		m.do(ask)
	}
}

func (m *bookModel) answer() {
	if m.asked == nil {
		return
	}
	from := *m.asked
	m.asked = nil
	a := answer{kind: answerFinal, epoch: 1, pts: m.head()}
	if limit := rapid.Uint64Range(1, 20).Draw(m.t, "limit"); from+limit < m.head() {
		a.kind, a.pts = answerSlice, from+limit
	}
	for pts := from + 1; pts <= a.pts; pts++ {
		if !m.gone[pts] {
			a.events = append(a.events, answerEvent{pts, contentOf(m.event(pts).data, testRun)})
		}
	}
	if from == m.head() {
		a.kind = answerEmpty
	}
	m.do(m.b.answered(0, &a, 0))
}

// reconnect cuts the session and signs it in again.
func (m *bookModel) reconnect() {
	m.b.disconnected(0)
	m.queue, m.armed, m.asked, m.given, m.top, m.drops = nil, false, nil, map[uint64]bool{}, 0, 0
	m.stated = m.b.cursors[0].pts
	if rapid.Bool().Draw(m.t, "behind") && m.stated < m.head() {
		m.do(m.b.attached(0, 0, 1, m.head(), true))
		return
	}
	m.do(m.b.attached(0, 0, 1, m.stated, false))
	for pts := m.stated + 1; pts <= m.head(); pts++ {
		if !m.gone[pts] {
			m.queue = append(m.queue, pts)
		}
	}
}

func (m *bookModel) tooLong() {
	m.queue = nil
	m.drops++
	m.top = max(m.top, m.head())
	m.do(m.b.tooLong(0, 0, 1, m.head()))
}

func TestTheBookCountsEveryFaultOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newBookModel(t)
		step := func(f func()) func(*rapid.T) {
			return func(*rapid.T) {
				before := m.b.cursors[0].pts
				f()
				if m.b.cursors[0].pts < before {
					t.Fatal("the cursor has moved back")
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"post": step(m.post), "post again": step(m.post), "push": step(m.push), "push again": step(m.push),
			"timer": step(m.timer), "answer": step(m.answer), "reconnect": step(m.reconnect), "too long": step(m.tooLong),
		})
		m.settle()
		m.check()
	})
}

// settle lets the session have all that the server has.
func (m *bookModel) settle() {
	for range 10 * (len(m.log) + 1) {
		m.push()
		m.timer()
		m.answer()
	}
	if m.b.cursors[0].pts < m.head() {
		m.reconnect()
		for range 10 * (len(m.log) + 1) {
			m.push()
			m.timer()
			m.answer()
		}
	}
	// The last ones may be missing without anybody's knowledge.
	m.post()
	m.gone = without(m.gone, m.head())
	m.do(m.b.tooLong(0, 0, 1, m.head()))
	for m.b.cursors[0].pts < m.head() {
		m.timer()
		m.answer()
	}
}

func without(set map[uint64]bool, pts uint64) map[uint64]bool {
	delete(set, pts)
	return set
}

func (m *bookModel) check() {
	var told int64
	v, err := m.b.verify([]*truth{newTruth(LogList{Log: "c1", Epoch: 1, First: 1, Posts: m.log})}, []string{"c1"},
		func(int32) int { return 0 }, func(_ int32, n int64) { told += n })
	if err != nil {
		m.t.Fatal(err)
	}
	lost := int64(len(m.gone))
	if told != lost {
		m.t.Fatalf("the session is told to have lost %d, want %d", told, lost)
	}
	if v.Expected != int64(m.head()-m.base) || v.Lost != lost || v.Skipped != lost || v.Mismatched != 0 || v.Corrupt != 0 {
		m.t.Fatalf("lost for good are %v of %d after %d; the verification says %+v", m.gone, m.head(), m.base, v)
	}
	if m.count.Duplicate != m.duplicate || m.count.Unordered != m.unordered {
		m.t.Fatalf("%d duplicate, %d unordered; want %d and %d", m.count.Duplicate, m.count.Unordered, m.duplicate, m.unordered)
	}
	if m.count.Delivered != v.Delivered {
		m.t.Fatalf("%d were delivered, the verification finds %d", m.count.Delivered, v.Delivered)
	}
	if m.b.gaps.inUse() != 0 || m.b.held.inUse() != 0 {
		m.t.Fatalf("%d gaps and %d held events are left over", m.b.gaps.inUse(), m.b.held.inUse())
	}
}

// newBook has one session that follows one log.
func newBook() *book {
	return &book{run: testRun, cursors: make([]cursor, 1), tallies: make([]tally, 1), deviations: map[deviation]int64{},
		count: &Counters{}, meter: newMeter(newGrouping([]Group{{}}, nil), 0, 1)}
}

// A late push counts as out of order once; after that it is a duplicate, wherever in the hole it was.
func TestALatePushFillsItsHoleOnce(t *testing.T) {
	for _, late := range []uint64{2, 3, 4} {
		b := newBook()
		b.attached(0, 0, 1, 0, false)
		for _, pts := range []uint64{1, 5, late, late} {
			b.pushed(0, 0, &event{epoch: 1, pts: pts}, 0)
		}
		if b.count.Unordered != 1 || b.count.Duplicate != 1 {
			t.Errorf("%d twice after 1 and 5: %d unordered, %d duplicate; want one each", late, b.count.Unordered, b.count.Duplicate)
		}
	}
}

// An event at its place with another one's content is seen by the sum of all that came.
func TestOtherContentIsAMismatch(t *testing.T) {
	for other, want := range map[uint32]int64{stamp.NoPost: 0, 7: 1} {
		b := newBook()
		b.attached(0, 0, 1, 0, false)
		for pts := uint64(1); pts <= 3; pts++ {
			b.pushed(0, 0, &event{epoch: 1, pts: pts}, 0)
		}
		list := LogList{Log: "c1", Epoch: 1, First: 1, Posts: []uint32{stamp.NoPost, other, stamp.NoPost}}
		v, err := b.verify([]*truth{newTruth(list)}, []string{"c1"}, func(int32) int { return 0 }, func(int32, int64) {})
		if err != nil || v.Expected != 3 || v.Missing != 0 || v.Mismatched != want {
			t.Errorf("the log has %d where no post came: %+v, %v; want %d mismatched", other, v, err, want)
		}
	}
}

// What a session got of one history is not a delivery of another.
func TestAnotherHistoryIsNotDelivered(t *testing.T) {
	b := newBook()
	b.attached(0, 0, 1, 2, false)
	for pts := uint64(3); pts <= 5; pts++ {
		b.pushed(0, 0, &event{epoch: 1, pts: pts}, 0)
	}
	list := LogList{Log: "c1", Epoch: 2, First: 1, Posts: slices.Repeat([]uint32{stamp.NoPost}, 5)}
	v, err := b.verify([]*truth{newTruth(list)}, []string{"c1"}, func(int32) int { return 0 }, func(int32, int64) {})
	if err != nil || v.Expected != 3 || v.Lost != 3 || len(v.Examples) != 1 || v.Examples[0].Kind != "epoch" {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestAnotherHistoryBeginsAnew(t *testing.T) {
	b := newBook()
	b.attached(0, 0, 1, 10, false)
	b.pushed(0, 0, &event{epoch: 1, pts: 11}, 0)
	if got := b.pushed(0, 0, &event{epoch: 2, pts: 4}, 0); got != ask {
		t.Fatalf("an event of another epoch: %v, want a difference", got)
	}
	if got := b.answered(0, &answer{kind: answerTooLong, epoch: 2, pts: 5}, 0); got != settled {
		t.Fatalf("the answer: %v, want it settled", got)
	}
	b.closeGap(0)
	b.pushed(0, 0, &event{epoch: 2, pts: 6}, 0)
	v, err := b.verify([]*truth{newTruth(LogList{Log: "c1", Epoch: 2, First: 1, Posts: slices.Repeat([]uint32{stamp.NoPost}, 7)})},
		[]string{"c1"}, func(int32) int { return 0 }, func(int32, int64) {})
	if err != nil || b.count.EpochChanges != 1 || v.Expected != 2 || v.Delivered != 1 || v.Missing != 1 || v.Mismatched != 0 {
		t.Errorf("%+v, %v, %+v", v, err, b.count)
	}
}

// A server that pushed a position and does not find it any more is asked often enough, and then no more.
func TestAStaleServerIsGivenUp(t *testing.T) {
	b := newBook()
	b.attached(0, 0, 1, 0, false)
	b.pushed(0, 0, &event{epoch: 1, pts: 3}, 0)
	tries := 0
	for b.answered(0, &answer{kind: answerEmpty, epoch: 1, pts: 0}, 0) != settled {
		if tries++; tries > 100 {
			t.Fatal("it is asked for ever")
		}
	}
	b.closeGap(0)
	if c := b.cursors[0]; c.pts != 3 || b.count.SkippedHole != 2 || b.count.Delivered != 1 {
		t.Errorf("at %d, %+v", c.pts, b.count)
	}
}

// Latencies go to the group of the post and into the time of the intended moment.
func TestTheMeterTellsGroupsApart(t *testing.T) {
	g := newGrouping([]Group{{Name: "warm-up"}, {Name: "chatter", DeliverWithin: time.Second}, {Name: "broadcast", DeliverWithin: 2 * time.Second}},
		[]PostRange{{First: 10, Count: 100, Group: 1}, {First: 50, Count: 1, Group: 2}})
	m := newMeter(g, int64(time.Minute), 1)
	intended := int64(time.Minute + 5*time.Second)
	deliver := func(post uint32, took time.Duration) {
		m.delivered(content{post, intended}, intended+int64(took))
	}
	deliver(9, time.Hour)
	deliver(10, time.Second)
	deliver(49, time.Second+1)
	deliver(50, time.Second+1)
	deliver(51, 3*time.Second)
	deliver(110, time.Millisecond)
	m.delivered(content{post: stamp.NoPost}, intended)
	for i, want := range []struct {
		count, late int64
		max         time.Duration
	}{{2, 0, time.Hour}, {3, 2, 3 * time.Second}, {1, 0, time.Second + 1}} {
		if got := m.latency[i].Count(); got != want.count || m.exact[i].late != want.late || time.Duration(m.exact[i].maxNs) != want.max {
			t.Errorf("group %d: %d arrived, %+v; want %+v", i, got, m.exact[i], want)
		}
	}
	if m.deliveries.Total() != 7 || m.peaks.Longest(4*time.Second, 6*time.Second) != time.Hour || m.peaks.Longest(0, 5*time.Second) != 0 {
		t.Errorf("%d deliveries, the longest waits are %v", m.deliveries.Total(), m.peaks.Buckets())
	}
}

// What a device has said it has is not to be pushed again, on whatever connection it came.
func TestAPushBelowTheStatedCursorIsADuplicate(t *testing.T) {
	b := newBook()
	b.attached(0, 0, 1, 4, false)
	for pts := uint64(5); pts <= 8; pts++ {
		b.pushed(0, 0, &event{epoch: 1, pts: pts}, 0)
	}
	b.disconnected(0)
	if b.pushed(0, 0, &event{epoch: 1, pts: 9}, 0); b.count.Stray != 1 {
		t.Errorf("a push before the attach is answered: %+v", b.count)
	}
	b.attached(0, 0, 1, 8, false)
	for _, pts := range []uint64{8, 3, 9, 9} {
		b.pushed(0, 0, &event{epoch: 1, pts: pts}, 0)
	}
	if b.count.Duplicate != 3 || b.count.Unordered != 0 || b.count.Delivered != 5 || b.cursors[0].pts != 9 {
		t.Errorf("%+v", b.count)
	}
}
