package swarm

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A wheel against the plainest timer list: whatever is set, stopped and let run, the same timers expire at the same steps.
func TestWheelIsATimerList(t *testing.T) {
	const timers = 12
	rapid.Check(t, func(t *rapid.T) {
		w := newWheel(timers)
		want := map[int32]int64{} // due tick
		now := int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				id := rapid.Int32Range(0, timers-1).Draw(t, "id")
				after := rapid.OneOf(rapid.Int64Range(-5, 50), rapid.Int64Range(0, 5*wheelSlots)).Draw(t, "ticks") * wheelTickNs
				after += rapid.Int64Range(0, wheelTickNs-1).Draw(t, "part")
				w.set(id, now+after)
				want[id] = max((max(now+after, 0)+wheelTickNs-1)/wheelTickNs, now/wheelTickNs+1)
			},
			"stop": func(t *rapid.T) {
				id := rapid.Int32Range(0, timers-1).Draw(t, "id")
				w.stop(id)
				delete(want, id)
			},
			"advance": func(t *rapid.T) {
				now += rapid.OneOf(rapid.Int64Range(0, 30), rapid.Int64Range(0, 3*wheelSlots)).Draw(t, "ticks") * wheelTickNs
				var got, due []int32
				w.advance(now, func(id int32) { got = append(got, id) })
				for id, tick := range want {
					if tick <= now/wheelTickNs {
						due = append(due, id)
						delete(want, id)
					}
				}
				slices.Sort(got)
				slices.Sort(due)
				if !slices.Equal(got, due) {
					t.Fatalf("at tick %d expired %v, want %v", now/wheelTickNs, got, due)
				}
			},
		})
	})
}

func TestATimerThatIsStoppedByAnotherIsNotCalled(t *testing.T) {
	w := newWheel(2)
	w.set(0, wheelTickNs)
	w.set(1, wheelTickNs)
	var called []int32
	w.advance(5*wheelTickNs, func(id int32) {
		called = append(called, id)
		w.stop(1 - id)
	})
	if len(called) != 1 {
		t.Fatalf("called %v, want only the first", called)
	}
	w.set(called[0], 7*wheelTickNs)
	w.advance(7*wheelTickNs, func(id int32) { called = append(called, id) })
	if len(called) != 2 || called[1] != called[0] {
		t.Fatalf("called %v, want the timer that was set again, and it alone", called)
	}
}
