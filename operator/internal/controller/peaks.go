package controller

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// peakWithin is how long the most sessions of a fleet are remembered: clients that were sent away and find no place at once try again for some
// minutes.
const peakWithin = 5 * time.Minute

// peaks remembers the most sessions that each fleet has had lately. An operator that was just started has seen nothing yet.
type peaks struct {
	mu  sync.Mutex
	all map[types.UID][]peak
}

// peak of a fleet: it has not had more sessions since.
type peak struct {
	at       time.Time
	sessions int
}

// lately takes note that a fleet has so many sessions now, and says the most that it has had.
func (p *peaks) lately(uid types.UID, sessions int, now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = map[types.UID][]peak{}
	}
	mine := p.all[uid]
	for len(mine) > 0 && mine[len(mine)-1].sessions <= sessions {
		mine = mine[:len(mine)-1]
	}
	mine = append(mine, peak{now, sessions})
	for now.Sub(mine[0].at) > peakWithin {
		mine = mine[1:]
	}
	p.all[uid] = mine
	for other, theirs := range p.all { // those that are gone
		if now.Sub(theirs[len(theirs)-1].at) > time.Hour {
			delete(p.all, other)
		}
	}
	return mine[0].sessions
}
