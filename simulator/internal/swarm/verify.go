package swarm

import (
	"fmt"
	"slices"

	"github.com/chatfleet/chatfleet/simulator/internal/stamp"
)

// LogList is what a log really holds, read by somebody else when the run is over: the post number (or stamp.NoPost) of
// each position from First on, up to the head. First may be anything up to the lowest position at which a session began,
// plus one.
type LogList struct {
	Log   string
	Epoch uint32
	First uint64
	Posts []uint32
}

// Head is the position of the newest event.
func (l LogList) Head() uint64 { return l.First + uint64(len(l.Posts)) - 1 }

// Verification is the account of every delivery: what the sessions got against what the logs hold.
type Verification struct {
	// Expected: for each session and log that it attached, the positions after the one at which it began, up to the head.
	// Delivered are those among them that reached the session with the right content. Lost is the rest.
	Expected  int64 `json:"expected"`
	Delivered int64 `json:"delivered"`
	Lost      int64 `json:"lost"`
	// Of the lost: Missing never came (the newest, if nothing followed), Skipped were left out by the server's answers,
	// Corrupt came with other content than the log has.
	Missing int64 `json:"missing"`
	Skipped int64 `json:"skipped"`
	Corrupt int64 `json:"corrupt"`
	// Repeated: a session was given the same post at two positions, as the log has it.
	Repeated int64 `json:"repeated"`
	// Cursors were checked; the sum of Mismatched ones is not that of the log.
	Cursors    int64 `json:"cursors"`
	Mismatched int64 `json:"mismatched"`
	// Slow is the account of the slow readers. They are in nothing of the above but Corrupt, and in no group.
	Slow SlowAccount `json:"slow"`
	// Groups has one entry for each of Config.Groups. What is no post of the run is in none.
	Groups []GroupAccount `json:"groups"`
	// Examples describes some of the lost, corrupt and repeated ones.
	Examples []Example `json:"examples,omitempty"`
}

// GroupAccount is the part of a Verification that is about one group's posts.
type GroupAccount struct {
	Expected  int64 `json:"expected"`
	Delivered int64 `json:"delivered"`
	Lost      int64 `json:"lost"`
}

// SlowAccount is what the protocol promises to who does not keep up: each position, or to be told that it is left out. They had
// read like everybody for a while when it was drawn up.
type SlowAccount struct {
	Expected  int64 `json:"expected"`
	Delivered int64 `json:"delivered"`
	// Told are the positions of which the server said that it leaves them out, Lost those that neither came nor were told of.
	Told int64 `json:"told"`
	Lost int64 `json:"lost"`
}

// Example is one delivery that went wrong.
type Example struct {
	Kind    string `json:"kind"` // missing, skipped, corrupt, repeated or epoch
	Session int    `json:"session"`
	Log     string `json:"log"`
	Pts     uint64 `json:"pts"`
	Detail  string `json:"detail"`
}

// String names the session, the log and the position.
func (e Example) String() string {
	return fmt.Sprintf("%s: session %d (sim-%d), log %s, pts %d: %s", e.Kind, e.Session, e.Session, e.Log, e.Pts, e.Detail)
}

const maxExamples = 10

// Merge adds another swarm's account.
func (v *Verification) Merge(o Verification) error {
	if len(v.Groups) == 0 {
		v.Groups = make([]GroupAccount, len(o.Groups))
	}
	if len(v.Groups) != len(o.Groups) {
		return fmt.Errorf("merge verifications: %d groups and %d", len(v.Groups), len(o.Groups))
	}
	v.Expected += o.Expected
	v.Delivered += o.Delivered
	v.Lost += o.Lost
	v.Missing += o.Missing
	v.Skipped += o.Skipped
	v.Corrupt += o.Corrupt
	v.Repeated += o.Repeated
	v.Slow.Expected += o.Slow.Expected
	v.Slow.Delivered += o.Slow.Delivered
	v.Slow.Told += o.Slow.Told
	v.Slow.Lost += o.Slow.Lost
	v.Cursors += o.Cursors
	v.Mismatched += o.Mismatched
	for i, g := range o.Groups {
		v.Groups[i].Expected += g.Expected
		v.Groups[i].Delivered += g.Delivered
		v.Groups[i].Lost += g.Lost
	}
	v.Examples = append(v.Examples, o.Examples...)
	v.Examples = v.Examples[:min(len(v.Examples), maxExamples)]
	return nil
}

// truth is a LogList made ready for checking many sessions.
type truth struct {
	LogList
	sums    []uint64 // sums[i]: of the first i positions' digests
	repeats []int64  // repeats[i]: how many of the first i positions hold a post that an earlier one holds
}

func newTruth(l LogList) *truth {
	t := &truth{LogList: l, sums: make([]uint64, len(l.Posts)+1), repeats: make([]int64, len(l.Posts)+1)}
	seen := make(map[uint32]bool, len(l.Posts))
	for i, post := range l.Posts {
		t.sums[i+1] = t.sums[i] + digest(l.First+uint64(i), post)
		t.repeats[i+1] = t.repeats[i]
		if post != stamp.NoPost && seen[post] {
			t.repeats[i+1]++
		}
		seen[post] = true
	}
	return t
}

// between returns the sum and the repeats of the positions after from, up to and including to.
func (t *truth) between(from, to uint64) (sum uint64, repeats int64) {
	i, j := from+1-t.First, to+1-t.First
	return t.sums[j] - t.sums[i], t.repeats[j] - t.repeats[i]
}

func (t *truth) post(pts uint64) uint32 { return t.Posts[pts-t.First] }

// check is the checking of one book against the truth.
type check struct {
	*book
	v         Verification
	names     []string
	truths    []*truth // by log; nil where there is no list
	sessionOf func(ci int32) int
	// lose is told how many deliveries of a cursor never came or were left out.
	lose func(ci int32, n int64)
	// expected and lost are, by log and position, changes from one position to the next.
	expected, lost [][]int64
	wrong          []int32 // some cursors whose sum is not the log's
}

// verify judges all cursors of the book. names are the logs', sessionOf gives a cursor's run-wide session number, and lose is told
// how many deliveries of a cursor never came or were left out.
func (b *book) verify(truths []*truth, names []string, sessionOf func(int32) int, lose func(ci int32, n int64)) (Verification, error) {
	k := check{book: b, truths: truths, names: names, sessionOf: sessionOf, lose: lose,
		expected: make([][]int64, len(truths)), lost: make([][]int64, len(truths))}
	k.v.Groups = make([]GroupAccount, len(b.meter.groups))
	for log, t := range truths {
		if t != nil {
			k.expected[log] = make([]int64, len(t.Posts)+1)
			k.lost[log] = make([]int64, len(t.Posts)+1)
		}
	}
	for ci := range b.cursors {
		before := k.v.Missing + k.v.Skipped
		if err := k.cursor(int32(ci)); err != nil {
			return Verification{}, err
		}
		if n := k.v.Missing + k.v.Skipped - before; n > 0 {
			k.lose(int32(ci), n)
		}
	}
	for log := range truths {
		k.log(int32(log))
	}
	k.nameWrong()
	// A sum that disagrees proves at least one wrong content, also where the tallies could not say which.
	if more := k.v.Mismatched - k.v.Corrupt; more > 0 {
		k.v.Corrupt += more
		k.v.Delivered -= more
	}
	k.v.Lost = k.v.Expected - k.v.Delivered
	return k.v, nil
}

// cursor takes one session's place in one log.
func (k *check) cursor(ci int32) error {
	c := &k.cursors[ci]
	if c.state == cursorNew {
		return nil
	}
	t := k.truths[c.log]
	switch {
	case t == nil:
		return fmt.Errorf("verify: there is no list of log %s, which session %d follows", k.names[c.log], k.sessionOf(ci))
	case c.base+1 < t.First:
		return fmt.Errorf("verify: the list of log %s begins at %d, session %d at %d: read it from there",
			k.names[c.log], t.First, k.sessionOf(ci), c.base+1)
	}
	k.v.Cursors++
	head := t.Head()
	if c.base >= head {
		return nil
	}
	if k.isSlow(ci) {
		k.v.Slow.Expected += int64(head - c.base)
	} else {
		k.v.Expected += int64(head - c.base)
		mark(k.expected[c.log], t, c.base+1, head)
	}
	if c.epoch != t.Epoch {
		k.neverCame(ci, t, c.base+1)
		k.example(Example{"epoch", k.sessionOf(ci), k.names[c.log], c.pts, fmt.Sprintf("the session is in epoch %d, the log in %d", c.epoch, t.Epoch)})
		return nil
	}
	k.span(ci, t)
	return nil
}

// span compares the range from the cursor's base to where it stands, or to the head if it is further.
func (k *check) span(ci int32, t *truth) {
	c := &k.cursors[ci]
	end := min(c.pts, t.Head())
	want, repeats := t.between(c.base, end)
	delivered := int64(end - c.base)
	got := c.sum
	// Positions past the head were posted after the list was read: what was seen there is taken back out.
	last := min(c.pts, k.tallies[c.log].last())
	for p := end + 1; p <= last; p++ {
		got -= digest(p, k.tallies[c.log].seen(p).post)
	}
	for h := c.skips; h != 0; h = k.skips.at(h).next {
		s := *k.skips.at(h)
		for p := max(s.from, end+1); p <= min(s.to, last); p++ {
			got += digest(p, k.tallies[c.log].seen(p).post)
		}
		if s.to = min(s.to, end); s.from > s.to {
			continue
		}
		sum, again := t.between(s.from-1, s.to)
		want, repeats = want-sum, repeats-again
		delivered -= int64(s.to - s.from + 1)
		k.leftOut(ci, t, s)
	}
	if end < t.Head() {
		k.neverCame(ci, t, end+1)
		k.example(Example{"missing", k.sessionOf(ci), k.names[c.log], end + 1, fmt.Sprintf("up to %d never came", t.Head())})
	}
	if repeats > 0 {
		k.v.Repeated += repeats
		k.example(Example{"repeated", k.sessionOf(ci), k.names[c.log], end, fmt.Sprintf("%d posts up to here are in the log twice", repeats)})
	}
	if k.isSlow(ci) {
		k.v.Slow.Delivered += delivered
	} else {
		k.v.Delivered += delivered
	}
	if want != got {
		k.v.Mismatched++
		if len(k.wrong) < maxSightings {
			k.wrong = append(k.wrong, ci)
		}
	}
}

func (k *check) isSlow(ci int32) bool { return k.slow != nil && k.slow(ci) }

// neverCame counts the positions of a log from one on for a cursor.
func (k *check) neverCame(ci int32, t *truth, from uint64) {
	n := int64(t.Head() - from + 1)
	if k.isSlow(ci) {
		k.v.Slow.Lost += n
		return
	}
	k.v.Missing += n
	mark(k.lost[k.cursors[ci].log], t, from, t.Head())
}

// leftOut counts what an answer of the server left out for a cursor. A slow reader that was told so has got what is promised.
func (k *check) leftOut(ci int32, t *truth, s span) {
	n := int64(s.to - s.from + 1)
	log := k.cursors[ci].log
	switch {
	case k.isSlow(ci) && s.told:
		k.v.Slow.Told += n
		return
	case k.isSlow(ci):
		k.v.Slow.Lost += n
	default:
		k.v.Skipped += n
		mark(k.lost[log], t, s.from, s.to)
	}
	k.example(Example{"skipped", k.sessionOf(ci), k.names[log], s.from, fmt.Sprintf("up to %d left out by the server's difference", s.to)})
}

// log adds a log's positions to the groups of their posts, and finds the deliveries with wrong content.
func (k *check) log(log int32) {
	t := k.truths[log]
	if t == nil {
		return
	}
	corrupt := k.corrupt(log, t)
	var expected, lost int64
	for i, post := range t.Posts {
		expected += k.expected[log][i]
		lost += k.lost[log][i]
		k.v.Corrupt += corrupt[i]
		k.v.Delivered -= corrupt[i]
		if post == stamp.NoPost {
			continue
		}
		g := &k.v.Groups[k.meter.group(post)]
		g.Expected += expected
		g.Lost += lost + corrupt[i]
		g.Delivered += expected - lost - corrupt[i]
	}
}

// corrupt counts, by position, the deliveries with other content than the log has.
func (k *check) corrupt(log int32, t *truth) []int64 {
	wrong := make([]int64, len(t.Posts))
	for i, post := range t.Posts {
		if cell := k.tallies[log].seen(t.First + uint64(i)); cell.count > 0 && cell.post != post {
			wrong[i] += int64(cell.count)
		}
	}
	for d, n := range k.deviations {
		if d.log == log && d.pts >= t.First && d.pts <= t.Head() && d.post != t.post(d.pts) {
			wrong[d.pts-t.First] += n
		}
	}
	return wrong
}

// nameWrong finds examples of wrong content: first those that were seen to differ from other sessions, then, where the
// first to see a position saw it wrong, the sessions that agreed with that.
func (k *check) nameWrong() {
	for _, s := range k.sightings {
		c := k.cursors[s.cursor]
		if t := k.truths[c.log]; t != nil && s.pts >= t.First && s.pts <= t.Head() && s.post != t.post(s.pts) {
			k.wrongContent(s.cursor, s.pts, s.post)
		}
	}
	for _, ci := range k.wrong {
		c := &k.cursors[ci]
		t := k.truths[c.log]
		for p := c.base + 1; p <= min(c.pts, t.Head()); p++ {
			cell := k.tallies[c.log].seen(p)
			sighted := slices.ContainsFunc(k.sightings, func(s sighting) bool { return s.cursor == ci && s.pts == p })
			if cell.count > 0 && cell.post != t.post(p) && !sighted {
				k.wrongContent(ci, p, cell.post)
			}
		}
	}
}

func (k *check) wrongContent(ci int32, pts uint64, got uint32) {
	log := k.cursors[ci].log
	k.example(Example{"corrupt", k.sessionOf(ci), k.names[log], pts,
		fmt.Sprintf("delivered %s, the log has %s", postName(got), postName(k.truths[log].post(pts)))})
}

func postName(post uint32) string {
	if post == stamp.NoPost {
		return "no post of this run"
	}
	return fmt.Sprintf("post %d", post)
}

// example keeps some of each kind, so that a thousand missing ones do not hide the one that is corrupt.
func (k *check) example(e Example) {
	same := 0
	for _, o := range k.v.Examples {
		if o.Kind == e.Kind {
			same++
		}
	}
	if same < maxExamples/2 && len(k.v.Examples) < maxExamples {
		k.v.Examples = append(k.v.Examples, e)
	}
}

// mark adds 1 to all positions from..to of a list of changes.
func mark(changes []int64, t *truth, from, to uint64) {
	changes[from-t.First]++
	changes[to+1-t.First]--
}
