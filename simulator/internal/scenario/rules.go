package scenario

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
)

const (
	maxSessions = 10_000_000
	maxPosts    = 20_000_000
	maxPhase    = 24 * time.Hour
	// maxMonth is the same where only windows of it, or the posts of a cascade, are played.
	maxMonth  = 31 * maxPhase
	maxWithin = 10 * time.Minute

	// A simulated post carries a header that says which post of which run it is.
	minMessageBytes = 32
	maxMessageBytes = 64 << 10

	// Slow readers have a turn ten times a second, and read at least a byte then.
	minSlowBytes = 10
	// Less does not fill a buffer.
	minAlternate = time.Second
	// What is held at a moment is looked at for so long.
	growthWindow = time.Minute
)

// rules finds what fields may not say together. The structure is known to be right.
type rules struct {
	s         *v1alpha1.Scenario
	positions map[string]position
	problems  Problems
}

// report notes a problem at a field, or where the nearest field around it stands if it is not in the document.
func (r *rules) report(path, format string, args ...any) {
	p := Problem{Path: path, Message: fmt.Sprintf(format, args...)}
	for at := path; ; {
		if pos, ok := r.positions[at]; ok {
			p.Line, p.Column = pos.line, pos.column
			break
		}
		i := strings.LastIndexAny(at, ".[")
		if i < 0 {
			i = 0
		}
		at = at[:i]
	}
	r.problems = append(r.problems, p)
}

// given says whether a field stands in the document.
func (r *rules) given(path string) bool {
	_, ok := r.positions[path]
	return ok
}

func (r *rules) check() {
	r.target()
	r.population()
	r.phases()
	r.posts()
	for i := range r.s.Broadcasts {
		r.broadcast(i)
	}
	r.groups()
	r.faults()
	r.growth()
	r.thresholds()
	r.workers()
	r.model()
	r.cascade()
}

func (r *rules) target() {
	l := r.s.Target.Local
	if l == nil {
		if r.given("target") && r.s.Target.Model == nil {
			r.report("target", "it says nothing; name a local fleet, or one for the model, or remove it")
		}
		return
	}
	if l.Replicas > l.Stores {
		r.report("target.local.replicas", "%d copies do not fit in %d stores; a store keeps one at most", l.Replicas, l.Stores)
	}
}

func (r *rules) population() {
	p := r.s.Population
	if n := p.Sessions(); n > maxSessions {
		r.report("population", "%d subscribers with %d devices are %d sessions; at most %d are allowed", p.Subscribers, p.DevicesPerUser, n, maxSessions)
	}
	if p.AttachPerSession > p.Channels {
		r.report("population.attachPerSession", "a session cannot read %d of %d channels; raise channels or lower it", p.AttachPerSession, p.Channels)
	}
	if s := p.SlowReaders; s != nil {
		if s.Share*float64(p.Sessions()) < 1 {
			r.report("population.slowReaders.share", "%g of %d sessions is none; raise one of them", s.Share, p.Sessions())
		}
		if s.ReadBytesPerSecond > 0 && s.ReadBytesPerSecond < minSlowBytes {
			r.report("population.slowReaders.readBytesPerSecond", "%d is too few; read nothing, which is 0, or at least %d", s.ReadBytesPerSecond, minSlowBytes)
		}
		r.alternate(*s)
	}
}

// alternate finds blocks in which there is nothing to compare.
func (r *rules) alternate(s v1alpha1.SlowReaders) {
	const path = "population.slowReaders.alternate"
	if s.Alternate == 0 {
		return
	}
	if s.Alternate.Std() < minAlternate {
		r.report(path, "%s is too short for buffers to fill; at least %s", s.Alternate.Std(), minAlternate)
		return
	}
	pairs := s.Pairs(r.s.Phases.Measure.Std())
	if pairs == 0 {
		r.report(path, "a measure phase of %s has no two blocks of %s", r.s.Phases.Measure.Std(), s.Alternate.Std())
		return
	}
	compared := map[int]bool{}
	for _, b := range r.s.Broadcasts {
		for _, at := range b.Moments() {
			if block, settled := s.Block(at); settled {
				compared[block] = true
			}
		}
	}
	for block := range 2 * pairs {
		if !compared[block] {
			from := time.Duration(block) * s.Alternate.Std()
			r.report(path, "no broadcast is in the second half of the block from %s to %s, so it cannot be compared; have broadcasts at least every %s",
				from, from+s.Alternate.Std(), s.Alternate.Std()/2)
			return
		}
	}
}

// growth finds moments that cannot be looked at.
func (r *rules) growth() {
	g := r.s.Growth
	switch {
	case g == nil:
	case g.To.Std()-g.From.Std() < growthWindow:
		r.report("growth.to", "%s is less than %s after from, %s", g.To.Std(), growthWindow, g.From.Std())
	case g.To > r.s.Phases.Measure:
		r.report("growth.to", "%s is after the end of the measure phase, which is %s long", g.To.Std(), r.s.Phases.Measure.Std())
	}
}

func (r *rules) phases() {
	p := r.s.Phases
	switch rate, over := p.Connect.RatePerSecond > 0, p.Connect.Duration > 0; {
	case rate && over:
		r.report("phases.connect", "ratePerSecond and duration contradict each other; keep one")
	case !rate && !over:
		r.report("phases.connect", "say how fast sessions connect: ratePerSecond or a duration above 0s")
	case p.Connect.ConnectsOver(r.s.Population.Sessions()) > maxPhase:
		r.report("phases.connect", "connecting %d sessions takes longer than %s", r.s.Population.Sessions(), maxPhase)
	}
	if p.Measure == 0 {
		r.report("phases.measure", "it must be above 0s: only what is posted in it is measured")
	}
	for path, d := range map[string]time.Duration{"phases.warmup": p.Warmup.Std(), "phases.measure": p.Measure.Std(), "phases.settle": settle(r.s)} {
		most := maxPhase
		if path == "phases.measure" && (p.Windows != nil || r.s.Cascade != nil) {
			most = maxMonth
		}
		if d > most {
			r.report(path, "%s is too long; at most %s is allowed", d, most)
		}
	}
}

func (r *rules) posts() {
	c := r.s.Chatter
	if c == nil && len(r.s.Broadcasts) == 0 && r.s.Cascade == nil {
		r.report("", "nothing is posted; add broadcasts, chatter or a cascade")
	}
	if c != nil {
		if r.s.Population.Channels == 0 {
			r.report("chatter", "there is no channel for it; give population.channels")
		}
		r.content("chatter", c.MessageBytes, c.DeliverWithin)
		if end := (r.s.Phases.Warmup + r.s.Phases.Measure).Std(); c.For.Std() > end {
			r.report("chatter.for", "%s is longer than warm-up and measure phase together, %s", c.For.Std(), end)
		}
	}
	e := Expect(r.s)
	if e.Posts > 0 && e.Deliveries == 0 {
		r.report("population", "nobody reads what is posted; give attachPerSession, or more chatter")
	}
	posts := e.Posts
	if w := r.s.Phases.Windows; w != nil && c != nil {
		posts = int64(c.RatePerSecond * w.Played(r.s.Phases.Measure.Std()).Seconds())
	}
	if c != nil {
		posts += int64(c.RatePerSecond * min(r.s.ChatterEnds(), r.s.Phases.Warmup.Std()).Seconds())
	}
	if posts > maxPosts {
		r.report("phases.measure", "that is %d posts in all; a run keeps account of at most %d", posts, maxPosts)
	}
}

func (r *rules) content(path string, size v1alpha1.Size, within v1alpha1.Duration) {
	if at := path + ".messageBytes"; r.given(at) && (size < minMessageBytes || size > maxMessageBytes) {
		r.report(at, "%s is out of range; a simulated post has %d to %d bytes", size, minMessageBytes, maxMessageBytes)
	}
	at := path + ".deliverWithin"
	switch {
	case r.given(at) && within == 0:
		r.report(at, "nothing is delivered within 0s")
	case within.Std() > maxWithin:
		r.report(at, "%s is too long; at most %s is measured", within, maxWithin)
	case within.Std() > settle(r.s):
		r.report(at, "what is posted last has only the settle phase, %s, to arrive in; raise phases.settle to at least %s", settle(r.s), within)
	}
}

func (r *rules) broadcast(i int) {
	path := fmt.Sprintf("broadcasts[%d]", i)
	b := r.s.Broadcasts[i]
	r.schedule(path, b.Schedule, 0)
	r.content(path, b.MessageBytes, b.DeliverWithin)
}

// groups finds more broadcasts than have room for figures of their own.
func (r *rules) groups() {
	e := Expect(r.s)
	most := measure.MaxGroups - (e.Groups - e.Broadcasts)
	var so int64
	for i, b := range r.s.Broadcasts {
		if so += int64(max(b.Count, 1)); so > most {
			r.report(fmt.Sprintf("broadcasts[%d].count", i), "with it there are %d broadcasts or more, each with figures of its own, and a run keeps those of %d; lower it, or have the posts as chatter",
				so, most)
			return
		}
	}
}

// schedule checks when something happens, each time for a while that must be over before the measure phase is.
func (r *rules) schedule(path string, s v1alpha1.Schedule, lasts time.Duration) {
	switch {
	case s.Count > 1 && s.Every == 0:
		r.report(path+".count", "%d times need every: the time from one to the next", s.Count)
		return
	case s.Every > 0 && s.Count <= 1:
		r.report(path+".every", "it needs count: how many times")
		return
	}
	measure := r.s.Phases.Measure.Std()
	// Not Moments: the count is large and the sum may overflow.
	times := max(s.Count, 1) - 1
	last := s.At.Std() + time.Duration(times)*s.Every.Std()
	if s.At.Std() > maxPhase || s.Every.Std() > maxPhase || float64(times)*float64(s.Every) > float64(maxPhase) {
		last = maxPhase
	}
	switch {
	case last >= measure:
		r.report(path, "the last one is at %s, after the measure phase of %s", last, measure)
	case lasts > 0 && last+lasts > measure:
		r.report(path, "the last one is at %s and over at %s, after the measure phase of %s", last, last+lasts, measure)
	}
}

func (r *rules) workers() {
	for i, text := range r.s.Workers.SourceAddresses {
		if _, err := netip.ParseAddr(text); err != nil {
			r.report(fmt.Sprintf("workers.sourceAddresses[%d]", i), "%s is not an IP address", strconv.Quote(text))
		}
	}
}
