package owner

import "time"

// mostPatience is the longest silence of its stream that an owner bears.
const mostPatience = 30 * time.Second

// patience is how long an owner waits for its stream to say something while appends are on the way. A term that ends too late keeps posts
// waiting whose outcome is lost; one that ends too soon costs more: what is on the way is stored all the same, has to be read back, and has
// the next term's appends refused, while a stream that is behind gets further behind.
//
// So what counts is silence, and not how long a single append takes, which on a busy stream waits for all before it. Silence is counted in
// ticks of the owner itself: a process that got no time to run has not listened. And an owner that its stream has kept waiting, or that
// gave up, is more patient from then on, for a while. It belongs to the goroutine of Lead, over all its terms.
type patience struct {
	least, tick time.Duration
	// now is how long a silence may last at the moment.
	now time.Duration
	// silent is for how many ticks nothing was heard, heard whether something was since the last one.
	silent int
	heard  bool
}

func newPatience(least, tick time.Duration) patience {
	return patience{least: least, tick: tick, now: least}
}

// begin forgets a silence of the term before.
func (p *patience) begin() { p.silent, p.heard = 0, false }

// answered takes note that the stream has said something.
func (p *patience) answered() {
	p.now = max(p.now, min(2*p.silence(), mostPatience))
	p.silent, p.heard = 0, true
}

func (p *patience) silence() time.Duration { return time.Duration(p.silent) * p.tick }

// isOver is asked at each tick, and says whether the stream has been silent for too long. waiting: something is on the way.
func (p *patience) isOver(waiting bool) bool {
	heard := p.heard
	p.heard = false
	switch {
	case heard:
		p.now = max(p.now-p.now/128, p.least)
		return false
	case !waiting:
		p.silent = 0
		return false
	}
	p.silent++
	if p.silence() <= p.now {
		return false
	}
	p.now = max(min(2*p.now, mostPatience), p.least)
	return true
}
