package planted

import (
	"math/rand/v2"
	"time"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// Plan says which faults are planted. The zero Plan plants none. A delivery suffers one fault at most: the first in the order
// of the fields whose rule hits it.
type Plan struct {
	// Seed is where the shares of the rules draw from.
	Seed uint64

	// Drop loses deliveries: events that are pushed to a session.
	Drop Rule
	// DropForGood loses them for the device: they are missing in its later differences too, and when they are pushed again
	// after a reconnect. Without it a client can heal the loss.
	DropForGood bool
	// Cut ends the connection in the middle of the frame.
	Cut Rule
	// Swap lets the next event of the same log, on the same connection, overtake the delivery. If none comes within SwapWithin
	// (1 s if 0) the delivery goes on late, unswapped and uncounted.
	Swap       Rule
	SwapWithin time.Duration
	// Double sends the delivery twice.
	Double Rule
	// Delay holds the delivery, and what follows it on the same connection, for DelayBy.
	Delay   Rule
	DelayBy time.Duration

	// Swallow acknowledges posts, over WebSocket or HTTP, that do not reach the shard. The position in the answer is the one
	// that a post would get as far as the proxy has seen. Posts to logs of which it has seen no position yet pass, and are no
	// occasions.
	Swallow Rule
}

// Rule picks some of a sequence of occasions, which are counted from 1 over all connections. With the same seed and the same
// number of occasions it picks the same ones.
type Rule struct {
	// Numbers are picked in any case.
	Numbers []uint64
	// Share is the probability of each other one.
	Share float64
	// Most, if not 0, is how many are picked at most.
	Most uint64
	// Only, if not nil, says what counts as an occasion at all.
	Only func(Occasion) bool
}

// Occasion is a delivery, or a post, that a fault may be planted in.
type Occasion struct {
	// Connection is the number of the connection, from 1 in the order in which they were made; 0 for HTTP.
	Connection uint64
	// User and Device are those that signed in; empty for HTTP.
	User, Device string
	// Event is set for a delivery.
	Event *chatv1.Event
	// Post is set for a post.
	Post *chatv1.PostRequest
}

// kind tells the faults apart.
type kind int

const (
	drop kind = iota
	cut
	swap
	double
	delay
	swallow
	kinds
)

func (p *Plan) rule(k kind) *Rule {
	return [kinds]*Rule{&p.Drop, &p.Cut, &p.Swap, &p.Double, &p.Delay, &p.Swallow}[k]
}

// picker is a Plan under way. It is not safe for concurrent use.
type picker struct {
	plan     Plan
	seen     [kinds]uint64
	picked   [kinds]uint64
	perKind  [kinds]*rand.Rand
	numbered [kinds]map[uint64]bool
}

func newPicker(p Plan) *picker {
	x := &picker{plan: p}
	for k := range kinds {
		x.perKind[k] = rand.New(rand.NewPCG(p.Seed, uint64(k)))
		x.numbered[k] = make(map[uint64]bool)
		for _, n := range p.rule(k).Numbers {
			x.numbered[k][n] = true
		}
	}
	return x
}

// pick says which of the kinds of fault hits the occasion. All rules see it, so that one does not shift the other's numbers.
func (x *picker) pick(o Occasion, among ...kind) (kind, bool) {
	hit := kinds
	for _, k := range among {
		if x.hits(k, o) && hit == kinds {
			hit = k
		}
	}
	if hit == kinds {
		return 0, false
	}
	x.picked[hit]++
	return hit, true
}

func (x *picker) hits(k kind, o Occasion) bool {
	r := x.plan.rule(k)
	if r.Only != nil && !r.Only(o) {
		return false
	}
	x.seen[k]++
	drawn := x.perKind[k].Float64() < r.Share
	if r.Most > 0 && x.picked[k] >= r.Most {
		return false
	}
	return drawn || x.numbered[k][x.seen[k]]
}
