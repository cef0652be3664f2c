package cascade

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// Render writes what a study comes to in Markdown, for people: what was assumed, what follows, and what would follow from other assumptions.
func Render(w io.Writer, r Result, variations []Variation) error {
	var text bytes.Buffer
	renderAssumptions(&text, r.Params)
	renderAnswer(&text, r)
	renderDemand(&text, r)
	if len(variations) > 0 {
		renderSensitivity(&text, r, variations)
	}
	_, err := w.Write(text.Bytes())
	return err
}

func renderAssumptions(w io.Writer, p Params) {
	fmt.Fprintf(w, `## What is assumed

Nothing here was measured. All figures follow from these assumptions, over %d seeds; intervals are 95 %% of a mean over seeds, and say
nothing of how true an assumption is.

`, p.Seeds)
	renderList(w, Assumptions(p))
}

func renderList(w io.Writer, sentences []string) {
	for _, s := range sentences {
		fmt.Fprintln(w, "- "+s)
	}
	fmt.Fprintln(w)
}

// Assumptions says what a study takes for granted, in sentences.
func Assumptions(p Params) []string {
	c, s := p.Crowd, p.Spread
	return []string{
		fmt.Sprintf("%s people in %d communities. The coalition has %d channels with %s subscriptions in all, and outside of it are %d with %s. The falsehood is posted outside only, the correction everywhere; they meet in people who subscribe to both.",
			Count(float64(c.People)), c.Communities, c.Coalition.Count, Count(float64(c.Coalition.Subscriptions)), c.Outside.Count, Count(float64(c.Outside.Subscriptions))),
		fmt.Sprintf("%s of the subscribers see a post, at once; the others never see it in that channel. %s of the people are online by habit, always or never.", percent(c.OnlineShare), percent(c.OnlineByHabit)),
		fmt.Sprintf("%s of the views of the correction are forwarded, and %.3g times as many of the falsehood, to one channel each; %s of them within the community, after %s in the middle (log-normal, σ %.3g). Who saw the correction first forwards the falsehood %.3g times as often.",
			percent(s.ForwardTrue), s.FalseFactor, percent(s.Inside), Span(s.ReactionMedianNs), s.ReactionSigma, s.Forewarned),
		"Both begin in one channel, as large as the one that a subscription is typically of. " + delivery(s.DeliveryNs),
	}
}

func delivery(d time.Duration) string {
	if d == 0 {
		return "Deliveries take no time: all time here is people's."
	}
	return fmt.Sprintf("A delivery takes %s; all other time is people's.", Span(d))
}

func renderAnswer(w io.Writer, r Result) {
	fmt.Fprintf(w, `## What follows

A post in an average channel leads to %.3g further ones of the falsehood and %.3g of the correction, while hardly anybody has them: above 1
a message may spread, below it dies out. Uncorrected, the falsehood reaches %s people. The coalition's %s subscriptions are %s
different people.

| correction after | by | saw the correction before the falsehood, of all reached | of those whom the falsehood reached | the falsehood reaches | the correction reaches | ahead from |
|---|---|---|---|---|---|---|
`, r.ForwardsPerPost[Falsehood], r.ForwardsPerPost[Correction], r.Uncorrected.Counts(), Count(float64(r.Params.Crowd.Coalition.Subscriptions)), r.CoalitionPeople.Counts())
	for _, delay := range r.Params.DelaysNs {
		for _, arm := range arms {
			c, _ := r.Cell(arm, delay)
			fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s |\n", Span(delay), arm, c.CorrectionFirst.Shares(), c.Forewarned.Shares(), c.Falsehood.Counts(), c.Correction.Counts(), ahead(c.Ahead, r.Params.Seeds))
		}
	}
	fmt.Fprintf(w, "\n\"Of all reached\" has those who never saw the falsehood as well; those whom the falsehood reached are the ones whom a correction can forewarn.\n\n")
	renderList(w, Findings(r))
}

// Findings says what follows for each delay, in sentences.
func Findings(r Result) []string {
	var out []string
	for _, g := range r.Gains {
		hub, _ := r.Cell(ByHub, g.DelayNs)
		alone, _ := r.Cell(ByForwards, g.DelayNs)
		out = append(out, fmt.Sprintf("After %s: of all reached, %s saw the correction first with the hub, and %s without; of those whom the falsehood reached, %s and %s. The hub changes the latter by %s, and %s.",
			Span(g.DelayNs), most(hub.CorrectionFirst), most(alone.CorrectionFirst), most(hub.Forewarned), most(alone.Forewarned), g.Forewarned.Points(), fewer(g.Falsehood)))
	}
	return out
}

func renderDemand(w io.Writer, r Result) {
	fmt.Fprint(w, `## What it asks of the fleet

Deliveries, if each post went to all who are online in no time; how long the fleet takes for them is the fleet's matter, and not in these figures.

| correction after | by | deliveries | in the busiest second |
|---|---|---|---|
`)
	for _, delay := range r.Params.DelaysNs {
		for _, arm := range arms {
			c, _ := r.Cell(arm, delay)
			fmt.Fprintf(w, "| %s | %s | %s | %s |\n", Span(delay), arm, c.Deliveries.Counts(), c.PeakDeliveriesPerSecond.Counts())
		}
	}
	fmt.Fprintln(w)
}

func renderSensitivity(w io.Writer, r Result, variations []Variation) {
	fmt.Fprintf(w, "## What it hangs on\n\nOne assumption changed at a time, over %d seeds. Of those whom the falsehood reached, the share that had seen the correction before, by forwards / by the hub:\n\n| | forwards a post, false / true |", variations[0].Result.Params.Seeds)
	for _, delay := range r.Params.DelaysNs {
		fmt.Fprintf(w, " %s |", Span(delay))
	}
	fmt.Fprintf(w, "\n|---|---|%s\n", strings.Repeat("---|", len(r.Params.DelaysNs)))
	row := func(name string, of Result) {
		fmt.Fprintf(w, "| %s | %.3g / %.3g |", name, of.ForwardsPerPost[Falsehood], of.ForwardsPerPost[Correction])
		for _, delay := range r.Params.DelaysNs {
			fmt.Fprintf(w, " %s / %s |", of.forewarned(ByForwards, delay).Shares(), of.forewarned(ByHub, delay).Shares())
		}
		fmt.Fprintln(w)
	}
	row("as above", r)
	for _, v := range variations {
		row(v.Name, v.Result)
	}
	fmt.Fprintln(w)
	for _, delay := range r.Params.DelaysNs {
		for _, arm := range arms {
			said := most(r.forewarned(arm, delay))
			var others []string
			for _, v := range variations {
				if it := most(v.Result.forewarned(arm, delay)); it != said {
					others = append(others, fmt.Sprintf("%s: %s", v.Name, it))
				}
			}
			if len(others) > 0 {
				fmt.Fprintf(w, "- After %s by %s it is %s. %s.\n", Span(delay), arm, said, strings.Join(others, "; "))
			}
		}
	}
}

func (r Result) forewarned(arm Arm, delay time.Duration) Interval {
	c, _ := r.Cell(arm, delay)
	return c.Forewarned
}

// most says whether it is more than half; where the interval has the half in it, perhaps.
func most(i Interval) string {
	switch {
	case i.Low > 0.5:
		return "most"
	case i.High >= 0.5:
		return "perhaps most"
	}
	return "a minority"
}

// fewer says what becomes of the falsehood's reach.
func fewer(i Interval) string {
	if i.Low <= 0 && i.High >= 0 {
		return "not visibly how many it reaches"
	}
	if i.Mean < 0 {
		return fmt.Sprintf("saves %s people from it", Interval{-i.Mean, -i.High, -i.Low}.Counts())
	}
	return fmt.Sprintf("lets it reach %s more people", i.Counts())
}

func ahead(a Ahead, seeds int) string {
	if a.Seeds == 0 {
		return "never"
	}
	return fmt.Sprintf("%s (in %d of %d seeds)", Span(*a.MedianNs), a.Seeds, seeds)
}

// Shares writes a share in percent, with its interval.
func (i Interval) Shares() string {
	return fmt.Sprintf("%s (%s to %s)", percent(i.Mean), bare(i.Low), bare(i.High))
}

// Points writes a difference of shares, with its interval.
func (i Interval) Points() string {
	return fmt.Sprintf("%+.1f points (%+.1f to %+.1f)", 100*i.Mean, 100*i.Low, 100*i.High)
}

func percent(share float64) string { return bare(share) + " %" }

// bare is a share in percent, with a decimal where it is small.
func bare(share float64) string {
	switch p := 100 * share; {
	case p > 0 && p < 0.1:
		return "<0.1"
	case p > 0 && p < 9.95:
		return fmt.Sprintf("%.1f", p)
	default:
		return fmt.Sprintf("%.0f", p)
	}
}

// Counts writes a number of people or deliveries, with its interval.
func (i Interval) Counts() string {
	return fmt.Sprintf("%s (%s to %s)", Count(i.Mean), Count(i.Low), Count(i.High))
}

// Count writes a number with three digits.
func Count(n float64) string {
	switch {
	case math.Abs(n) >= 999_500:
		return fmt.Sprintf("%.3g M", n/1e6)
	case math.Abs(n) >= 9_950:
		return fmt.Sprintf("%.0f k", n/1e3)
	}
	return fmt.Sprintf("%.0f", n)
}

// Span is a time as people say it.
func Span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.3g s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%.3g min", d.Minutes())
	}
	return fmt.Sprintf("%.3g h", d.Hours())
}
