package poster

import (
	"math"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/schedule"
)

// Tally is what became of the posts of a part of the schedule.
type Tally struct {
	Intended, Sent, Acknowledged int64
	// Sent and not acknowledged, by kind.
	Failed int64
	Errors map[string]int64
	// The longest response time; measure.Never if a post was sent and never acknowledged.
	LongestWait time.Duration
	// From the intended moment to being handed to the network.
	SendLag *measure.Histogram
	// From being handed to the network to the acknowledgement, all tries together.
	Service *measure.Histogram
	// From the intended moment to the acknowledgement.
	Response *measure.Histogram
}

// TallyDue tallies the posts that were due in [from, to), from the start of the schedule.
func TallyDue(posts []schedule.Post, outcomes []Outcome, from, to time.Duration) Tally {
	t := Tally{Errors: map[string]int64{}, SendLag: measure.NewHistogram(), Service: measure.NewHistogram(), Response: measure.NewHistogram()}
	for i, p := range posts {
		if p.Due >= from && p.Due < to {
			t.add(&outcomes[i])
		}
	}
	return t
}

func (t *Tally) add(o *Outcome) {
	t.Intended++
	if o.SentNs == 0 {
		return
	}
	t.Sent++
	t.SendLag.Record(time.Duration(o.SentNs - o.IntendedNs))
	t.LongestWait = max(t.LongestWait, o.Wait())
	if o.AcknowledgedNs == 0 {
		t.Failed++
		t.Errors[o.Failure]++
		return
	}
	t.Acknowledged++
	t.Service.Record(time.Duration(o.AcknowledgedNs - o.SentNs))
	t.Response.Record(time.Duration(o.AcknowledgedNs - o.IntendedNs))
}

// Wait is how long the post waited for its acknowledgement, from its intended moment: measure.Never if it did not get one.
func (o *Outcome) Wait() time.Duration {
	if o.AcknowledgedNs == 0 {
		return measure.Never
	}
	return time.Duration(o.AcknowledgedNs - o.IntendedNs)
}

// LongestWait returns the longest wait, for an acknowledgement, of the posts that were under way at fromNs or were due after it
// and before toNs, by the clock, and how many there were. Of a post that is still under way at toNs only the wait until then
// counts: the rest is somebody else's. At the end of a run, toNs is math.MaxInt64, and a post without an acknowledgement has
// waited for ever (measure.Never). Posts that were never sent do not count.
func LongestWait(outcomes []Outcome, fromNs, toNs int64) (longest time.Duration, posts int64) {
	for i := range outcomes {
		o := &outcomes[i]
		over := o.AcknowledgedNs != 0 && o.AcknowledgedNs < fromNs
		if o.SentNs == 0 || over || o.IntendedNs >= toNs {
			continue
		}
		wait := o.Wait()
		if toNs != math.MaxInt64 {
			wait = min(wait, time.Duration(toNs-o.IntendedNs))
		}
		longest = max(longest, wait)
		posts++
	}
	return longest, posts
}

// Oldest returns the intended moment of the oldest post that was under way at a moment, or that moment if none was.
func Oldest(outcomes []Outcome, ns int64) int64 {
	oldest := ns
	for i := range outcomes {
		o := &outcomes[i]
		if o.SentNs != 0 && o.SentNs <= ns && (o.AcknowledgedNs == 0 || o.AcknowledgedNs >= ns) {
			oldest = min(oldest, o.IntendedNs)
		}
	}
	return oldest
}
