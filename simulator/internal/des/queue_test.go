package des

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever is put in, and taken out in between, comes out as a stable sort has it.
func TestQueueIsAStableSort(t *testing.T) {
	type event struct {
		at     time.Duration
		number int
	}
	rapid.Check(t, func(t *rapid.T) {
		var q Queue[event]
		var waiting []event
		number := 0
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if len(waiting) == 0 || rapid.IntRange(0, 2).Draw(t, "push") > 0 {
				// Few different moments, so that many are equal; some have passed, and happen now.
				e := event{time.Duration(rapid.IntRange(0, 20).Draw(t, "at")), number}
				number++
				q.Push(e.at, e)
				e.at = max(e.at, q.Now())
				waiting = append(waiting, e)
				continue
			}
			slices.SortStableFunc(waiting, func(a, b event) int { return cmp.Compare(a.at, b.at) })
			got, ok := q.Pop()
			if !ok || got.number != waiting[0].number || q.Now() != waiting[0].at {
				t.Fatalf("got number %d at %d, want %+v", got.number, q.Now(), waiting[0])
			}
			waiting = waiting[1:]
		}
		if q.Len() != len(waiting) {
			t.Fatalf("%d wait, want %d", q.Len(), len(waiting))
		}
	})
}

func TestEmptyQueue(t *testing.T) {
	var q Queue[int]
	if _, ok := q.Pop(); ok {
		t.Error("something came out")
	}
	if _, ok := q.Next(); ok {
		t.Error("something is next")
	}
	q.Push(3, 1)
	if at, ok := q.Next(); at != 3 || !ok {
		t.Errorf("next at %d, %t", at, ok)
	}
}

func TestAnEventAllocatesNothing(t *testing.T) {
	var q Queue[[2]uint64]
	for i := range 1000 {
		q.Push(time.Duration(i), [2]uint64{})
	}
	if n := testing.AllocsPerRun(1000, func() {
		e, _ := q.Pop()
		q.Push(q.Now()+777, e)
	}); n != 0 {
		t.Errorf("%g allocations an event", n)
	}
}

// The hold model (Vaucher and Duval, 1975): so many events wait, and each that comes out puts one in, after an exponential time. An iteration is
// an event: 200 ns and less are 5 million events a second.
func BenchmarkHold(b *testing.B) {
	type event [2]uint64
	for name, waiting := range map[string]int{"1k": 1 << 10, "64k": 1 << 16, "1M": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			stream := NewStream(1, "hold")
			gaps := make([]time.Duration, 1<<12) // drawn before, so that the queue is measured and not logarithms
			for i := range gaps {
				gaps[i] = time.Duration(float64(waiting) * 1000 * stream.Exp())
			}
			var q Queue[event]
			for i := range waiting {
				q.Push(gaps[i%len(gaps)], event{uint64(i)})
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				e, _ := q.Pop()
				q.Push(q.Now()+gaps[i&(1<<12-1)], e)
				i++
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mevents/s")
		})
	}
}
