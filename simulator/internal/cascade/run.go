package cascade

import (
	"container/heap"
	"time"
)

// Arm is how the correction is posted.
type Arm string

// The arms.
const (
	// ByHub posts it to all channels of the coalition at once.
	ByHub Arm = "hub"
	// ByForwards posts it in the fact-checker's own channel, and people carry it on.
	ByForwards Arm = "forwards"
	// Never posts none: what the falsehood does by itself.
	Never Arm = "never"
)

// Post is a message in a channel: what a fleet is asked to deliver, at once, to all who are online of so many subscribers.
type Post struct {
	// From the first post of the falsehood.
	AtNs        time.Duration `json:"atNs"`
	Message     Message       `json:"message"`
	Channel     uint32        `json:"channel"`
	Subscribers int           `json:"subscribers"`
	Online      int           `json:"online"`
	// Of those who are online: who had not seen the message before.
	News int `json:"news"`
	// How many forwards it is away from the first post of its message.
	Generation int `json:"generation"`
}

// Reached is how many people have seen what, each of them counted once.
type Reached struct {
	Correction, Falsehood, Both int
	// The correction before the falsehood, also those who have never seen the latter.
	CorrectionFirst int
}

// Either is how many have seen anything.
func (r Reached) Either() int { return r.Correction + r.Falsehood - r.Both }

// Forewarned is how many saw both, the correction first: all who saw it first but those who have never seen the falsehood.
func (r Reached) Forewarned() int { return r.CorrectionFirst - (r.Correction - r.Both) }

// Run is what became of one seed in one arm.
type Run struct {
	Reached
	// Until some moments, ascending, that were asked for.
	Over  []Reached
	Posts []Post
	// Deliveries in all, and the most in one second of the clock, if each post were delivered in no time.
	Deliveries, PeakDeliveriesPerSecond int
	// From when on the correction has reached more people than the falsehood, until the end; nil if it has not at the end.
	Ahead *time.Duration
	// From the first post of the correction until half of the people whom it ever reaches have been shown it, by the moments of posts: what people take,
	// and no delivery. nil if there was none.
	HalfNs *time.Duration
}

// play follows both messages from channel to channel up to the horizon. Over has what was reached at each of the moments, ascending.
func play(f *fates, arm Arm, delay, horizon time.Duration, moments []time.Duration) Run {
	r := runner{fates: f, horizon: horizon}
	n := f.Communities * f.perCommunity()
	r.saw = [2]bitset{newBitset(n), newBitset(n)}
	r.correctionFirst = newBitset(n)
	r.posted = [2][]bool{make([]bool, f.channels()), make([]bool, f.channels())}
	r.due(coming{at: 0, message: Falsehood, channel: f.origin[Falsehood]})
	switch arm {
	case ByForwards:
		r.due(coming{at: delay, message: Correction, channel: f.origin[Correction]})
	case ByHub:
		for i := range f.Coalition.Count {
			r.due(coming{at: delay, message: Correction, channel: uint32(i)})
		}
	case Never:
	}
	for len(r.queue) > 0 {
		c := heap.Pop(&r.queue).(coming)
		if r.posted[c.message][c.channel] {
			continue
		}
		for len(r.out.Over) < len(moments) && moments[len(r.out.Over)] < c.at+f.DeliveryNs {
			r.out.Over = append(r.out.Over, r.out.Reached)
		}
		r.post(c)
	}
	for len(r.out.Over) < len(moments) {
		r.out.Over = append(r.out.Over, r.out.Reached)
	}
	r.out.count()
	return r.out
}

// count adds up what the posts ask for. They are in the order of time.
func (r *Run) count() {
	second, inIt := time.Duration(-1), 0
	first, reached := time.Duration(-1), 0
	for _, p := range r.Posts {
		if p.Message == Correction {
			if first < 0 {
				first = p.AtNs
			}
			if reached += p.News; r.HalfNs == nil && 2*reached >= r.Correction {
				half := p.AtNs - first
				r.HalfNs = &half
			}
		}
		if p.AtNs/time.Second != second {
			second, inIt = p.AtNs/time.Second, 0
		}
		inIt += p.Online
		r.Deliveries += p.Online
		r.PeakDeliveriesPerSecond = max(r.PeakDeliveriesPerSecond, inIt)
	}
}

// runner is a run under way.
type runner struct {
	*fates
	horizon time.Duration
	queue   queue
	posted  [2][]bool
	// Who has seen each message, and who the correction first.
	saw             [2]bitset
	correctionFirst bitset
	out             Run
}

// due has a post in mind, unless it is after the end.
func (r *runner) due(c coming) {
	if c.at+r.DeliveryNs <= r.horizon {
		heap.Push(&r.queue, c)
	}
}

// post shows a message to those who are online in a channel, and then lets them forward it.
func (r *runner) post(c coming) {
	r.posted[c.message][c.channel] = true
	fate := r.of(c.message, c.channel)
	saw, other := r.saw[c.message], r.saw[1-c.message]
	news, both := 0, 0
	for _, person := range fate.viewers {
		if !saw.set(person) {
			continue
		}
		news++
		if other.has(person) {
			both++
		} else if c.message == Correction {
			r.correctionFirst.set(person)
			r.out.CorrectionFirst++
		}
	}
	r.out.Posts = append(r.out.Posts, Post{c.at, c.message, c.channel, len(r.subscribers(c.channel)), len(fate.viewers), news, c.generation})
	r.out.Both += both
	seen := c.at + r.DeliveryNs
	if c.message == Correction {
		r.out.Correction += news
	} else {
		r.out.Falsehood += news
	}
	if r.out.Correction <= r.out.Falsehood {
		r.out.Ahead = nil
	} else if r.out.Ahead == nil {
		r.out.Ahead = &seen
	}
	for _, fw := range fate.forwards {
		if c.message == Correction || fw.anyway || !r.correctionFirst.has(fw.by) {
			r.due(coming{at: seen + fw.after, message: c.message, channel: fw.to, generation: c.generation + 1})
		}
	}
}

// coming is a post that will be, if its channel has not got the message by then.
type coming struct {
	at         time.Duration
	message    Message
	channel    uint32
	generation int
}

// queue is a heap of what comes, the earliest first. What comes in one moment has an order too, so that nothing hangs on how it got in.
type queue []coming

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	a, b := q[i], q[j]
	switch {
	case a.at != b.at:
		return a.at < b.at
	case a.message != b.message:
		return a.message < b.message
	case a.channel != b.channel:
		return a.channel < b.channel
	}
	return a.generation < b.generation
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(coming)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
