package owner

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// ticks asks so many times, and says at which the silence was over first; 0 for never.
func ticks(p *patience, n int, waiting bool) int {
	for i := range n {
		if p.isOver(waiting) {
			return i + 1
		}
	}
	return 0
}

func TestPatience(t *testing.T) {
	const tick = time.Second / 2
	begin := func() *patience {
		p := newPatience(3*time.Second, tick)
		return &p
	}
	t.Run("silence", func(t *testing.T) {
		p := begin()
		if at := ticks(p, 100, true); at != 7 {
			t.Errorf("over at tick %d, want the first after 3 s", at)
		}
		p.begin()
		if at := ticks(p, 100, true); at != 13 {
			t.Errorf("the next time it is over at tick %d, want the first after 6 s", at)
		}
	})
	t.Run("nothing on the way", func(t *testing.T) {
		p := begin()
		if at := ticks(p, 100, false); at != 0 {
			t.Errorf("over at tick %d", at)
		}
		if ticks(p, 6, true) != 0 || ticks(p, 1, false) != 0 || ticks(p, 6, true) != 0 {
			t.Error("what was waited for before counts")
		}
	})
	t.Run("a stream that answers now and then", func(t *testing.T) {
		p := begin()
		for range 100 {
			if at := ticks(p, 5, true); at != 0 {
				t.Fatalf("over at tick %d, though the last answer is 2.5 s old", at)
			}
			p.answered()
		}
	})
	t.Run("a stream that stalls", func(t *testing.T) {
		p, ends := begin(), 0
		for range 100 { // for 8 s, and answers for 8
			if ticks(p, 16, true) != 0 {
				ends++
				p.begin()
			}
			for range 16 {
				p.answered()
				p.isOver(true)
			}
		}
		if ends > 2 {
			t.Errorf("%d of 100 stalls have ended a term, want the first two", ends)
		}
	})
	t.Run("a stream that is well again", func(t *testing.T) {
		p := begin()
		for range 10 {
			ticks(p, 100, true)
			p.begin()
		}
		if p.now != mostPatience {
			t.Errorf("after ten ends it waits %v, want %v", p.now, mostPatience)
		}
		for range 600 { // five minutes
			p.answered()
			p.isOver(true)
		}
		if p.now != 3*time.Second {
			t.Errorf("five minutes later it still waits %v", p.now)
		}
	})
}

// Whatever happens, a silence that is borne is at least as long as was asked for and at most as long as may be, by the owner's own ticks.
func TestPatienceIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const tick = time.Second / 2
		p := newPatience(3*time.Second, tick)
		silent := time.Duration(0)
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				p.answered()
				silent = 0
				p.isOver(true) // the tick in which something was heard counts for nothing
			default:
				over := p.isOver(true)
				silent += tick
				if over && silent <= 3*time.Second || !over && silent > mostPatience {
					t.Fatalf("after %v of silence: over %v", silent, over)
				}
				if over {
					p.begin()
					silent = 0
				}
			}
		}
	})
}
