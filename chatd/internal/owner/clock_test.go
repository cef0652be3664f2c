package owner

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chatfleet/chatfleet/chatd/internal/chatlog"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// machine is a clock that can be set, and one that cannot.
type machine struct {
	wall   time.Time
	steady time.Duration
}

func (m *machine) pass(d time.Duration) { m.wall, m.steady = m.wall.Add(d), m.steady+d }
func (m *machine) set(d time.Duration)  { m.wall = m.wall.Add(d) }

func newMachine() *machine {
	return &machine{wall: time.UnixMilli(1_800_000_000_000)}
}

func (m *machine) clock() *clock {
	return &clock{now: func() time.Time { return m.wall }, steady: func() time.Duration { return m.steady }}
}

// Whatever is done to the machine's clock, the owner's never goes back, is never behind it, and does not stand still; and it has lost
// what it was ahead after sixteen times as long.
func TestTheClockNeverGoesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine()
		c := m.clock()
		last, _ := c.read()
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				m.set(time.Duration(rapid.IntRange(-3600, 3600).Draw(t, "seconds")) * time.Second)
			case 1: // another owner, on a machine whose clock is another
				m.set(time.Duration(rapid.IntRange(-3600, 3600).Draw(t, "seconds of another machine")) * time.Second)
				c = m.clock()
				c.notBefore(last)
			default:
			}
			passed := time.Duration(rapid.IntRange(0, 100_000).Draw(t, "ms")) * time.Millisecond
			m.pass(passed)
			ms, _ := c.read()
			if least := (passed - passed/slewPart).Milliseconds(); ms < last+least-1 || ms < m.wall.UnixMilli() {
				t.Fatalf("%d after %d, %v later, when the machine says %d", ms, last, passed, m.wall.UnixMilli())
			}
			last = ms
		}
		m.pass(time.Duration(last-m.wall.UnixMilli()) * time.Millisecond * slewPart)
		if ms, _ := c.read(); ms > m.wall.UnixMilli()+1 {
			t.Fatalf("still %d ms ahead", ms-m.wall.UnixMilli())
		}
	})
}

// A member in slow mode posts each time that its length has really passed, also when the machine's clock was set by an hour meanwhile;
// what he posts is never stamped earlier than what came before it.
func TestNobodyIsLockedOutBySlowMode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const length = 30 * time.Second
		m := newMachine()
		c := m.clock()
		s := &chatlog.State{ID: "g"}
		var seq uint64
		var lastMs int64
		do := func(user string, command chatlog.Command) *chatv1.Error {
			command.User = user
			command.NowMs, command.SlowMs = c.read()
			d, failed := s.Decide(command)
			if failed == nil && d.Event != nil {
				if d.Event.TimeMs < lastMs {
					t.Fatalf("stamped %d after %d", d.Event.TimeMs, lastMs)
				}
				seq, lastMs = seq+1, d.Event.TimeMs
				s.Apply(d.Event, d.Content, seq)
			}
			return failed
		}
		post := func(id uint64) *chatv1.Error {
			return do("bob", chatlog.Command{Post: &chatv1.PostRequest{Log: "g", RandomId: id, Message: &chatv1.Message{Text: "hi"}}})
		}
		_ = do("ann", chatlog.Command{Create: &wire.Create{Request: &chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_GROUP, Title: "t", RandomId: 1}}})
		_ = do("bob", chatlog.Command{Join: &chatv1.JoinRequest{Log: "g"}})
		_ = do("ann", chatlog.Command{SetPolicy: &chatv1.SetPolicyRequest{Log: "g", Policy: &chatv1.Policy{SlowModeSeconds: uint32(length / time.Second)}}})
		for id := range rapid.Uint64Range(1, 20).Draw(t, "posts") {
			if failed := post(id + 1); failed != nil {
				t.Fatalf("post %d after the length of slow mode: %v", id, failed)
			}
			if failed := post(id + 1000); failed.GetCode() != chatv1.Error_CODE_TOO_MANY || failed.GetRetryAfterMs() > uint32(length.Milliseconds()) {
				t.Fatalf("at once again: %v", failed)
			}
			early := time.Duration(rapid.IntRange(0, int(length/time.Millisecond)).Draw(t, "ms")) * time.Millisecond
			m.pass(early)
			m.set(time.Duration(rapid.SampledFrom([]int{0, 0, -1, 1, -3600, 3600}).Draw(t, "step")) * time.Second)
			c.read() // as others' requests make it do
			m.pass(length - early + time.Millisecond)
		}
	})
}

// What is thrown away by age is judged by time that has passed: a clock that is set forward, for less than a day, makes nothing older.
func TestNothingIsOlderForAClockSetForward(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine()
		c := newClock(func() time.Time { return m.wall }, func() time.Duration { return m.steady })
		began := m.wall
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			m.set(time.Duration(rapid.IntRange(-36_000, 36_000).Draw(t, "seconds")) * time.Second)
			m.pass(time.Duration(rapid.IntRange(0, 3600).Draw(t, "passed")) * time.Second)
			if by := c.careful(); by.After(began.Add(m.steady)) || by.After(m.wall) {
				t.Fatalf("%v, when %v have passed and the machine shows %v more", by.Sub(began), m.steady, m.wall.Sub(began))
			}
		}
		m.set(began.Add(m.steady).Sub(m.wall)) // right again
		m.pass(time.Hour)
		if by := c.careful(); !by.Equal(m.wall) {
			t.Fatalf("%v behind a clock that is right", m.wall.Sub(by))
		}
	})
	m := newMachine()
	c := newClock(func() time.Time { return m.wall }, func() time.Duration { return m.steady })
	m.set(365 * 24 * time.Hour)
	if by := c.careful(); !by.Before(m.wall) {
		t.Error("a year is believed at once")
	}
	m.pass(trustAfter)
	if by := c.careful(); !by.Equal(m.wall) {
		t.Errorf("after a day, the clock of a machine that began in the past is not believed: %v", m.wall.Sub(by))
	}
}
