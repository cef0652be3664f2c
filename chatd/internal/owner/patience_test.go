package owner

import (
	"testing"
	"time"
)

// Patience with a stream that answers each append only after a while, or never, counted in ticks: what an owner has learnt from the answers
// that it got, and from the terms that it ended.
func TestPatience(t *testing.T) {
	const least, tick = 100 * time.Millisecond, 10 * time.Millisecond
	// silence lets ticks pass while something is on the way, and says whether one of them ended the term, which begins anew then.
	silence := func(p *patience, ticks int) (ended bool) {
		for range ticks {
			if p.isOver(true) {
				p.begin()
				return true
			}
		}
		return false
	}
	for name, c := range map[string]struct {
		run  func(p *patience)
		want time.Duration
	}{
		"nothing has happened": {func(*patience) {}, least},
		"answers within the least change nothing": {func(p *patience) {
			for range 20 {
				silence(p, 5)
				p.answered()
			}
		}, least},
		"an answer after a silence makes it bear twice that": {func(p *patience) {
			silence(p, 9)
			p.answered()
		}, 180 * time.Millisecond},
		"a term that was given up makes it bear twice as much": {func(p *patience) {
			if !silence(p, 11) {
				t.Error("110 ms of silence have not ended a term where 100 ms is borne")
			}
		}, 2 * least},
		"an answer in the midst begins the count anew": {func(p *patience) {
			for range 10 {
				if silence(p, 10) {
					t.Error("a silence of 100 ms has ended a term")
				}
				p.answered()
				p.isOver(true) // the tick that notices
			}
		}, 189 * time.Millisecond},
		"nothing on the way is no silence": {func(p *patience) {
			silence(p, 9)
			p.isOver(false)
			if silence(p, 10) {
				t.Error("the silence counts from before")
			}
		}, least},
		"there is a most": {func(p *patience) {
			for range 30 {
				silence(p, 1<<20)
			}
		}, mostPatience},
		"hours of prompt answers make it as impatient as it was": {func(p *patience) {
			silence(p, 11)
			for range 1000 {
				p.answered()
				p.isOver(true)
			}
		}, least},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPatience(least, tick)
			c.run(&p)
			if diff := p.now - c.want; diff < -20*time.Millisecond || diff > 20*time.Millisecond {
				t.Errorf("a silence of %v is borne, want about %v", p.now, c.want)
			}
		})
	}
}
