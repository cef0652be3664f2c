package logsync

import (
	"fmt"
	"strings"
	"testing"
	"time"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// The tests below are scripts: each line is an input, what it must lead to stands behind the arrow. Events are written
// epoch:pts; "ask 1:4" is a question from that cursor; "reset 2:9[2]" a reset to 2:9 with two events.

const (
	live    = chatv1.LogState_STATUS_LIVE
	behind  = chatv1.LogState_STATUS_BEHIND
	empty   = chatv1.DifferenceResponse_KIND_EMPTY
	slice   = chatv1.DifferenceResponse_KIND_SLICE
	final   = chatv1.DifferenceResponse_KIND_FINAL
	tooLong = chatv1.DifferenceResponse_KIND_TOO_LONG
)

var start = time.Unix(1_700_000_000, 0)

type step struct {
	// after is the time since the start of the script.
	after time.Duration
	input func(l *Log, now time.Time) Effects
	want  string
}

func attached(status chatv1.LogState_Status, epoch uint32, pts uint64) func(*Log, time.Time) Effects {
	return func(l *Log, now time.Time) Effects {
		return l.Attached(now, &chatv1.LogState{Status: status, Epoch: epoch, Pts: pts})
	}
}

func push(epoch uint32, pts uint64) func(*Log, time.Time) Effects {
	return func(l *Log, now time.Time) Effects { return l.Push(now, &chatv1.Event{Epoch: epoch, Pts: pts}) }
}

func pushedTooLong(epoch uint32, pts uint64) func(*Log, time.Time) Effects {
	return func(l *Log, now time.Time) Effects { return l.TooLong(now, &chatv1.TooLong{Epoch: epoch, Pts: pts}) }
}

// answer is a difference whose events are the positions from..to, and whose cursor is the last of them.
func answer(kind chatv1.DifferenceResponse_Kind, epoch uint32, from, to uint64) func(*Log, time.Time) Effects {
	return func(l *Log, now time.Time) Effects { return l.Answer(now, difference(kind, epoch, from, to)) }
}

func difference(kind chatv1.DifferenceResponse_Kind, epoch uint32, from, to uint64) *chatv1.DifferenceResponse {
	d := &chatv1.DifferenceResponse{Kind: kind, Cursor: &chatv1.Cursor{Epoch: epoch, Pts: to}}
	for pts := from; pts <= to; pts++ {
		d.Events = append(d.Events, &chatv1.Event{Epoch: epoch, Pts: pts})
	}
	if kind == tooLong {
		d.Info = &chatv1.LogInfo{Pts: to}
	}
	return d
}

func failed(retryAfter time.Duration) func(*Log, time.Time) Effects {
	return func(l *Log, now time.Time) Effects { return l.Failed(now, retryAfter) }
}

func handled(weight int) func(*Log, time.Time) Effects {
	return func(l *Log, now time.Time) Effects { return l.Handled(now, weight) }
}

func tick(l *Log, now time.Time) Effects { return l.Tick(now) }

func lost(l *Log, _ time.Time) Effects {
	l.Lost()
	return Effects{}
}

func (e Effects) String() string {
	var s []string
	if e.Started.Epoch != 0 {
		s = append(s, "started")
	}
	for _, u := range e.Updates {
		if u.Reset != nil {
			s = append(s, fmt.Sprintf("reset %d:%d[%d]", u.Cursor.Epoch, u.Cursor.PTS, len(u.Reset.Events)))
		} else {
			s = append(s, fmt.Sprintf("%d:%d", u.Cursor.Epoch, u.Cursor.PTS))
		}
	}
	if e.Ask != nil {
		s = append(s, fmt.Sprintf("ask %d:%d", e.Ask.Cursor.Epoch, e.Ask.Cursor.PTS))
	}
	return strings.Join(s, " ")
}

func TestClientRule(t *testing.T) {
	const ms = time.Millisecond
	at5 := Config{Cursor: Cursor{1, 5}, Capacity: 8}
	for _, test := range []struct {
		name   string
		config Config
		script []step
	}{
		{"in order", at5, []step{
			{0, attached(live, 1, 5), ""},
			{0, push(1, 6), "1:6"},
			{0, push(1, 7), "1:7"},
		}},
		{"doubled events are dropped", at5, []step{
			{0, attached(live, 1, 5), ""},
			{0, push(1, 5), ""},
			{0, push(1, 6), "1:6"},
			{0, push(1, 6), ""},
			{0, push(1, 1), ""},
		}},
		{"swapped events wait for each other", at5, []step{
			{0, attached(live, 1, 5), ""},
			{0, push(1, 7), ""},
			{499 * ms, tick, ""},
			{499 * ms, push(1, 6), "1:6 1:7"},
			{900 * ms, tick, ""},
		}},
		{"a gap is asked for after the hold, not before", at5, []step{
			{0, attached(live, 1, 5), ""},
			{0, push(1, 7), ""},
			{300 * ms, push(1, 8), ""},
			{499 * ms, tick, ""},
			{500 * ms, tick, "ask 1:5"},
			{500 * ms, push(1, 9), ""},
			{600 * ms, answer(final, 1, 6, 8), "1:6 1:7 1:8 1:9"},
			{2000 * ms, tick, ""},
		}},
		{"the hold of a second gap counts from its own first event", at5, []step{
			{0, attached(live, 1, 5), ""},
			{0, push(1, 7), ""},
			{300 * ms, push(1, 9), ""},
			{400 * ms, push(1, 6), "1:6 1:7"},
			{799 * ms, tick, ""},
			{800 * ms, tick, "ask 1:7"},
		}},
		{"one question at a time", at5, []step{
			{0, attached(behind, 1, 9), "ask 1:5"},
			{0, pushedTooLong(1, 20), ""},
			{0, push(1, 21), ""},
			{900 * ms, tick, ""},
			{900 * ms, answer(final, 1, 6, 9), "1:6 1:7 1:8 1:9 ask 1:9"},
		}},
		{"behind is asked for at once, in slices", at5, []step{
			{0, attached(behind, 1, 9), "ask 1:5"},
			{0, answer(slice, 1, 6, 7), "1:6 1:7 ask 1:7"},
			{0, answer(slice, 1, 8, 8), "1:8 ask 1:8"},
			{0, answer(final, 1, 9, 9), "1:9"},
		}},
		{"a slice means more, even where nothing else says so", at5, []step{
			{0, attached(live, 1, 5), ""},
			{0, push(9, 1), "ask 1:5"},
			{0, answer(slice, 1, 6, 7), "1:6 1:7 ask 1:7"},
		}},
		{"behind and nothing there", at5, []step{
			{0, attached(behind, 1, 5), "ask 1:5"},
			{0, answer(empty, 1, 6, 5), ""},
			{9000 * ms, tick, ""},
		}},
		{"a slow session is told too long", at5, []step{
			{0, attached(live, 1, 5), ""},
			{0, pushedTooLong(1, 8), "ask 1:5"},
			{0, push(1, 9), ""},
			{0, answer(final, 1, 6, 8), "1:6 1:7 1:8 1:9"},
		}},
		{"too long replaces, and what was pushed meanwhile follows", at5, []step{
			{0, attached(behind, 1, 900), "ask 1:5"},
			{0, push(1, 901), ""},
			{0, answer(tooLong, 1, 899, 900), "reset 1:900[2] 1:901"},
		}},
		{"a cursor never moves back in its epoch", at5, []step{
			{0, attached(behind, 1, 9), "ask 1:5"},
			{0, push(1, 6), "1:6"},
			{0, push(1, 7), "1:7"},
			{0, push(1, 8), "1:8"},
			{0, push(1, 9), "1:9"},
			{0, answer(tooLong, 1, 7, 8), ""},
			{0, push(1, 10), "1:10"},
		}},
		{"another epoch: asked at once, what is newer than the answer follows it", at5, []step{
			{0, attached(live, 1, 5), ""},
			{0, push(2, 3), "ask 1:5"},
			{0, push(2, 4), ""},
			{0, answer(tooLong, 2, 2, 3), "reset 2:3[2] 2:4 ask 2:4"}, // 2:4 came after the question: ask again, to be sure
			{0, answer(empty, 2, 5, 4), ""},
			{0, push(2, 5), "2:5"},
		}},
		{"another epoch at the attach", at5, []step{
			{0, attached(behind, 7, 2), "ask 1:5"},
			{0, answer(tooLong, 7, 1, 2), "reset 7:2[2]"},
			{0, push(7, 3), "7:3"},
		}},
		{"a straggler of the old epoch costs one question and changes nothing", Config{Cursor: Cursor{2, 5}, Capacity: 8}, []step{
			{0, attached(live, 2, 5), ""},
			{0, push(1, 90), "ask 2:5"},
			{0, answer(empty, 2, 6, 5), ""},
			{0, push(2, 6), "2:6"},
			{9000 * ms, tick, ""},
		}},
		{"no cursor: begin at the head", Config{Capacity: 8}, []step{
			{0, attached(live, 3, 40), "started"},
			{0, push(3, 41), "3:41"},
		}},
		{"no cursor, empty log", Config{Capacity: 8, FromBeginning: true}, []step{
			{0, attached(live, 3, 0), "started"},
			{0, push(3, 1), "3:1"},
		}},
		{"no cursor: a push overtakes the answer", Config{Capacity: 8}, []step{
			{0, push(3, 41), ""},
			{0, push(3, 40), ""},
			{0, attached(live, 3, 40), "started 3:41"},
		}},
		{"no cursor: begin at the beginning", Config{Capacity: 8, FromBeginning: true}, []step{
			{0, attached(live, 3, 3), "started ask 3:0"},
			{0, push(3, 4), ""},
			{0, answer(final, 3, 1, 3), "3:1 3:2 3:3 3:4"},
		}},
		{"failures are followed by growing pauses, a hint by a longer one", at5, []step{
			{0, attached(behind, 1, 6), "ask 1:5"},
			{0, failed(0), ""},
			{499 * ms, tick, ""},
			{500 * ms, tick, "ask 1:5"},
			{500 * ms, failed(0), ""},
			{1499 * ms, tick, ""},
			{1500 * ms, tick, "ask 1:5"},
			{1500 * ms, failed(time.Minute), ""},
			{60 * time.Second, tick, ""},
			{62 * time.Second, tick, "ask 1:5"},
			{62 * time.Second, answer(final, 1, 6, 6), "1:6"},
		}},
		{"a difference that does not bring what is missing is not asked for in a loop", at5, []step{
			{0, attached(live, 1, 5), ""},
			{0, push(1, 7), ""},
			{500 * ms, tick, "ask 1:5"},
			{500 * ms, answer(empty, 1, 6, 5), ""},
			{999 * ms, tick, ""},
			{1000 * ms, tick, "ask 1:5"},
			{1000 * ms, answer(empty, 1, 6, 5), ""},
			{1999 * ms, tick, ""},
			{2000 * ms, tick, "ask 1:5"},
			{2000 * ms, answer(final, 1, 6, 7), "1:6 1:7"},
		}},
		{"a hole in a difference is not stepped over", at5, []step{
			{0, attached(behind, 1, 9), "ask 1:5"},
			{0, func(l *Log, now time.Time) Effects {
				d := difference(final, 1, 6, 9)
				d.Events = append(d.Events[:1], d.Events[2:]...)
				return l.Answer(now, d)
			}, "1:6 ask 1:6"},
			{0, answer(final, 1, 7, 9), "1:7 1:8 1:9"},
		}},
		{"an answer of another epoch that is not too long is no answer", at5, []step{
			{0, attached(behind, 1, 6), "ask 1:5"},
			{0, answer(final, 2, 6, 6), ""},
			{500 * ms, tick, "ask 1:5"},
		}},
		{"after a loss nothing is asked before the next attach", at5, []step{
			{0, attached(live, 1, 5), ""},
			{0, push(1, 7), ""},
			{100 * ms, lost, ""},
			{5000 * ms, tick, ""},
			{5000 * ms, attached(live, 1, 5), ""},
			{5000 * ms, push(1, 6), "1:6"},
			{5000 * ms, push(1, 7), "1:7"},
		}},
		{"an answer from before the loss is nobody's", at5, []step{
			{0, attached(behind, 1, 6), "ask 1:5"},
			{0, lost, ""},
			{0, answer(final, 1, 6, 6), ""},
			{0, attached(behind, 1, 6), "ask 1:5"},
		}},
		{"a slow application: what there is no room for is asked for when there is", Config{Cursor: Cursor{1, 0}, Capacity: 4}, []step{
			{0, attached(live, 1, 0), ""},
			{0, push(1, 1), "1:1"},
			{0, push(1, 2), "1:2"},
			{0, push(1, 3), "1:3"},
			{0, push(1, 4), "1:4"},
			{0, push(1, 5), ""},
			{0, push(1, 6), ""},
			{0, push(1, 7), ""},
			{0, push(1, 8), ""},
			{0, push(1, 9), ""}, // no place to hold it either
			{900 * ms, tick, ""},
			{900 * ms, handled(1), "1:5"},
			{900 * ms, handled(4), "1:6 1:7 1:8"},
			{900 * ms, handled(1), "ask 1:8"}, // half of the room: now a question is worth its while
			{900 * ms, answer(final, 1, 9, 9), "1:9"},
		}},
		{"the next event has a place, however much is held", Config{Cursor: Cursor{1, 0}, Capacity: 2}, []step{
			{0, attached(live, 1, 0), ""},
			{0, push(1, 2), ""},
			{0, push(1, 3), ""},
			{0, push(1, 1), "1:1 1:2"},
			{0, handled(2), "1:3"},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := New(test.config)
			for i, s := range test.script {
				if got := s.input(l, start.Add(s.after)).String(); got != s.want {
					t.Fatalf("step %d: got %q, want %q", i+1, got, s.want)
				}
			}
		})
	}
}

func TestAskLeavesRoom(t *testing.T) {
	l := New(Config{Cursor: Cursor{1, 0}, Capacity: 10})
	l.Attached(start, &chatv1.LogState{Status: live, Epoch: 1})
	for pts := uint64(1); pts <= 5; pts++ {
		l.Push(start, &chatv1.Event{Epoch: 1, Pts: pts})
	}
	e := l.TooLong(start, &chatv1.TooLong{Epoch: 1, Pts: 100})
	if e.Ask == nil || e.Ask.Limit != 5 {
		t.Fatalf("with 5 of 10 places taken, got %+v, want a question for at most 5 events", e.Ask)
	}
}

func TestDueIsWhenTickActs(t *testing.T) {
	l := New(Config{Cursor: Cursor{1, 5}, Capacity: 8})
	l.Attached(start, &chatv1.LogState{Status: live, Epoch: 1, Pts: 5})
	if _, ok := l.Due(); ok {
		t.Fatal("nothing is missing, and yet a tick is due")
	}
	l.Push(start, &chatv1.Event{Epoch: 1, Pts: 7})
	due, ok := l.Due()
	if want := start.Add(HoldTime); !ok || !due.Equal(want) {
		t.Fatalf("due at %v (%v), want %v", due, ok, want)
	}
	if e := l.Tick(due); e.Ask == nil {
		t.Fatal("the tick that was due does nothing")
	}
	if _, ok := l.Due(); ok {
		t.Fatal("a question is under way, and yet a tick is due")
	}
}
