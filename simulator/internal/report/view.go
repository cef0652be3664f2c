package report

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"strings"

	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// page is what the template shows. Whatever is words or numbers is made here; the script only draws.
type page struct {
	Report   Report
	Tone     string
	Word     string
	Headline string
	Started  string
	// The first of the report's, and how many there are besides.
	Reasons     []string
	MoreReasons int
	Chips       []chip
	Tiles       []tile

	Thresholds []thresholdRow
	// nil: the figures were measured.
	Model *modelView
	// nil: the scenario has no cascade.
	Cascade *cascadeView
	// All broadcasts, or the slowest of many.
	Broadcasts     []broadcastRow
	MoreBroadcasts int
	FaultKinds     []faultKind
	// The actions there were, for the legend of the marks.
	FaultMarks []string
	Faults     []faultRow
	Delays     []delayRow
	Grew       string
	Shards     []shardCard
	Generator  []gauge
	Facts      []group
	Processes  []processRow
	Spec       string
	Charts     chartData
	// What each plot shows, in words; and what the points of rates are means over.
	Alts, Means map[string]string

	UPlotJS, Script   template.JS
	UPlotCSS, Styling template.CSS
}

type chip struct{ Text, Tone, Hint string }

// tile is one figure at the top; Used is how much of its bound it used, in percent, or below 0.
type tile struct {
	Label, Value, Note, Tone string
	Used                     float64
}

type thresholdRow struct {
	Threshold
	Tone, Mark, ValueText, SamplesText string
	// The reason, unless it is only the value again.
	Why  string
	Used float64
}

type broadcastRow struct {
	Number                                      int
	At, Recipients, T50, T99, T999, Last, Bound string
	Late, Lost                                  string
	Used                                        float64
	Tone                                        string
}

type faultRow struct{ At, What, Processes, Role, Back, Ack, Delivery, Reconnects, Error string }

type group struct {
	Title string
	Items []fact
}

type fact struct{ Name, Value string }

type gauge struct {
	Label, Value, Limit, Tone string
	Used                      float64
}

type processRow struct{ Name, Role, RSS, CPU, Memory, Goroutines, Files string }

// tones are the classes of colours; the words beside them say the same, so that nobody needs to see the colour.
var tones = map[verdict.Verdict]struct{ tone, word, mark string }{
	verdict.Pass:               {"good", "Pass", "✓"},
	verdict.Fail:               {"bad", "Fail", "✕"},
	verdict.Inconclusive:       {"open", "Inconclusive", "?"},
	verdict.GeneratorUnhealthy: {"sick", "Generator unhealthy", "!"},
}

// maxReasons is how many reasons stand at the top of the page.
const maxReasons = 6

func makePage(r Report) page {
	tone := tones[r.Verdict]
	shown := min(len(r.Reasons), maxReasons)
	p := page{
		Report: r, Tone: cmp.Or(tone.tone, "open"), Word: cmp.Or(tone.word, string(r.Verdict)),
		Reasons: r.Reasons[:shown], MoreReasons: len(r.Reasons) - shown,
		Headline: headline(r), Started: r.StartedAt.UTC().Format("2 January 2006, 15:04 UTC"),
		Chips: chips(r), Tiles: tiles(r), Generator: gauges(r), Facts: facts(r),
		FaultKinds: faultKinds(r.Faults), FaultMarks: actions(r.Faults), Shards: shardCards(r), Charts: charts(r),
	}
	for _, t := range r.Thresholds {
		p.Thresholds = append(p.Thresholds, thresholdRowOf(t))
	}
	for _, i := range slowest(r.Broadcasts) {
		p.Broadcasts = append(p.Broadcasts, broadcastRowOf(i+1, r.Broadcasts[i]))
	}
	p.MoreBroadcasts = len(r.Broadcasts) - len(p.Broadcasts)
	for _, f := range r.Faults {
		p.Faults = append(p.Faults, faultRowOf(f))
	}
	p.Delays = delayRows(r.Faults)
	for _, proc := range r.Fleet.Processes {
		p.Processes = append(p.Processes, processRowOf(proc))
	}
	p.Spec, p.Grew = specText(r.Spec), grewText(r.Spec)
	p.Model, p.Cascade = modelViewOf(r.Model), cascadeViewOf(r)
	if p.Model != nil {
		p.Model.Fan = fan(r)
	}
	p.Alts = alternatives(r, p.Charts)
	p.Means = map[string]string{"posts": meanOver(p.Charts.Posts), "signIns": meanOver(p.Charts.SignIns), "arrivals": meanOver(p.Charts.Arrivals)}
	if r.StartedAt.IsZero() {
		p.Started = "in simulated time"
	}
	return p
}

// headline says in a sentence what was seen, whatever the verdict.
func headline(r Report) string {
	worst := Millis(-1)
	for _, b := range r.Broadcasts {
		worst = max(worst, b.TimeTo999Ms)
	}
	switch storm, ok := worstCut(r.Faults); {
	case r.Cascade != nil && worst >= 0 && !worst.Infinite():
		return fmt.Sprintf("A correction in all the coalition’s channels at once: 99.9 %% of those who were online had it within %s, whenever it was posted.", timeText(float64(worst)))
	case ok && storm.Reconnects.AllBackMs.Infinite():
		return fmt.Sprintf("%s sessions lost their connection at once, and not all of them came back.", countText(storm.Reconnects.Sessions))
	case ok:
		return fmt.Sprintf("%s sessions lost their connection at once; all were back after %s.", countText(storm.Reconnects.Sessions), timeText(float64(storm.Reconnects.AllBackMs)))
	case len(r.Broadcasts) > 0 && worst.Infinite():
		return fmt.Sprintf("%s to %s sessions, and not all of them reached 99.9 %%.", plural(len(r.Broadcasts), "broadcast"), countText(r.Sessions.SignedIn))
	case len(r.Broadcasts) > 0 && worst >= 0:
		return fmt.Sprintf("%s to %s sessions: 99.9 %% had each of them within %s.", plural(len(r.Broadcasts), "broadcast"), countText(r.Sessions.SignedIn), timeText(float64(worst)))
	case len(r.Faults) > 0:
		longest := Millis(0)
		for _, f := range r.Faults {
			longest = max(longest, f.LongestAckWaitMs)
		}
		return fmt.Sprintf("%s under load: of %s acknowledged posts %s missing, and the longest wait for an acknowledgement was %s.",
			plural(len(r.Faults), "fault"), countText(r.Posts.Acknowledged), areMissing(r.Posts.MissingAcknowledged), timeText(float64(longest)))
	case r.LatencyMs.Count > 0:
		return fmt.Sprintf("%s deliveries to %s sessions: 99.9 %% within %s.", countText(r.Deliveries.Delivered), countText(r.Sessions.SignedIn), timeText(float64(r.LatencyMs.P999)))
	}
	return "Nothing was delivered."
}

func areMissing(n int64) string {
	switch n {
	case 0:
		return "none is"
	case 1:
		return "one is"
	}
	return countText(n) + " are"
}

func plural(n int, what string) string {
	if n == 1 {
		return "One " + what
	}
	return countText(int64(n)) + " " + what + "s"
}

func chips(r Report) []chip {
	if r.Model != nil {
		return modelChips(r)
	}
	out := []chip{{Text: r.Label, Tone: "how", Hint: "How the figures came about."}}
	switch {
	case !r.Generator.Healthy:
		out = append(out, chip{"generator unhealthy", "sick", strings.Join(r.Generator.Reasons, "; ")})
	case len(r.Generator.Unknown) > 0:
		out = append(out, chip{"generator’s health unknown", "open", strings.Join(r.Generator.Unknown, "; ")})
	default:
		out = append(out, chip{"generator healthy", "good", "Send lag and hiccups are within their limits and no cap was reached."})
	}
	switch {
	case r.Clock.StepMs != 0:
		out = append(out, chip{"clock stepped", "bad", r.Clock.Source})
	case !r.Clock.Trusted:
		out = append(out, chip{"clocks not comparable", "open", r.Clock.Source})
	case r.Clock.ErrorMs > 0:
		out = append(out, chip{"clocks ± " + timeText(float64(r.Clock.ErrorMs)), "", r.Clock.Source})
	default:
		out = append(out, chip{"one clock", "good", r.Clock.Source})
	}
	if r.Generator.SharesCoresWithFleet {
		out = append(out, chip{"shares its cores with the fleet, ± " + timeText(float64(r.Generator.SharedCoresErrorMs)), "open",
			"Generator and fleet ran on the same cores. Latencies are overstated by at most about this; a pass holds in spite of it."})
	}
	if n := len(r.Generator.LostWorkers); n > 0 {
		out = append(out, chip{plural(n, "worker") + " lost", "bad", strings.Join(r.Generator.LostWorkers, "; ")})
	}
	return out
}

func tiles(r Report) []tile {
	var out []tile
	if len(r.Broadcasts) > 0 {
		var times []Millis
		for _, b := range r.Broadcasts {
			times = append(times, b.TimeTo999Ms)
		}
		slices.Sort(times)
		worst, bound := times[len(times)-1], r.Broadcasts[0].DeliverWithinMs
		out = append(out, tile{"Time to 99.9 %, slowest broadcast", timeText(float64(worst)),
			fmt.Sprintf("of %s; median %s", timeText(float64(bound)), timeText(float64(times[len(times)/2]))), toneOf(worst < bound), used(float64(worst), float64(bound))})
	}
	if storm, ok := worstCut(r.Faults); ok {
		out = append(out, reconnectTile(storm))
	}
	if len(r.Broadcasts) == 0 && len(r.Faults) > 0 {
		out = append(out, faultTile(r.Faults))
	}
	d := r.Deliveries
	wrong := d.Lost + d.Duplicate + d.Unordered
	note := fmt.Sprintf("%s lost, %s twice, %s out of order", countText(d.Lost), countText(d.Duplicate), countText(d.Unordered))
	if r.Model != nil { // It was built to do neither.
		note = countText(d.Lost) + " had not come at the end; what comes twice or out of order only a run can find"
	}
	out = append(out, tile{"Deliveries", countText(d.Delivered), note, toneIf(d.Expected > 0, wrong == 0), -1})
	if l := r.LatencyMs; l.Count+l.Lost > 0 {
		out = append(out, tile{"Delivery p99.9", timeText(float64(l.P999)), fmt.Sprintf("median %s, longest %s", timeText(float64(l.P50)), timeText(float64(l.Max))), "", -1})
	}
	if r.Posts.Intended > 0 {
		out = append(out, tile{"Longest wait for an acknowledgement", timeText(float64(r.Posts.LongestWaitMs)),
			fmt.Sprintf("%s of %s posts acknowledged", countText(r.Posts.Acknowledged), countText(r.Posts.Intended)), "", -1})
	}
	s := r.Sessions
	out = append(out, tile{"Sessions signed in", countText(s.SignedIn), fmt.Sprintf("of %s wanted; dropped %s times", countText(s.Wanted), countText(s.Dropped)), toneIf(s.Wanted > 0, s.SignedIn >= s.Wanted), -1})
	if w := r.WorstMargin; w != nil {
		value := "none left"
		if !w.Share.Infinite() {
			value = percentText(float64(w.Share))
		}
		out = append(out, tile{"Least margin", value, w.Title, toneOf(!w.Share.Infinite() && w.Share > 0), -1})
	}
	return out
}

func faultTile(all []Fault) tile {
	faults := slices.DeleteFunc(slices.Clone(all), func(f Fault) bool { return f.AtMs == 0 }) // Those that were not done.
	if len(faults) == 0 {
		return tile{"Faults", "0", countText(int64(len(all))) + " could not be done", "bad", -1}
	}
	worst := slices.MaxFunc(faults, func(a, b Fault) int { return cmp.Compare(a.LongestAckWaitMs, b.LongestAckWaitMs) })
	note := fmt.Sprintf("worst: %s, %s without an acknowledgement", worst.What, timeText(float64(worst.LongestAckWaitMs)))
	if worst.LongestAckWaitMs.Infinite() {
		note = fmt.Sprintf("worst: %s, after which a post was never acknowledged", worst.What)
	}
	if n := len(all) - len(faults); n > 0 {
		note += fmt.Sprintf("; %s could not be done", countText(int64(n)))
	}
	return tile{"Faults", countText(int64(len(faults))), note, "", -1}
}

// actions returns the different actions of the faults, in the order in which they came.
func actions(faults []Fault) []string {
	var out []string
	for _, f := range faults {
		if !slices.Contains(out, f.Action) {
			out = append(out, f.Action)
		}
	}
	return out
}

func toneOf(good bool) string {
	if good {
		return "good"
	}
	return "bad"
}

func toneIf(known, good bool) string {
	if !known {
		return ""
	}
	return toneOf(good)
}

// used is how much of a bound a value used, in percent from 0 to 100; -1 where there is no such thing.
func used(value, bound float64) float64 {
	if bound <= 0 {
		return -1
	}
	return min(max(100*value/bound, 0), 100)
}

func thresholdRowOf(t Threshold) thresholdRow {
	tone := tones[t.Verdict]
	row := thresholdRow{Threshold: t, Tone: tone.tone, Mark: tone.mark, ValueText: t.text(), SamplesText: countText(t.Samples), Used: -1}
	if t.Verdict != verdict.Fail {
		row.Why = t.Reason
	}
	if t.Samples > 0 {
		row.Used = used(float64(t.Value), t.Bound)
	}
	if t.Blocks > 0 {
		row.SamplesText += fmt.Sprintf(" in %d blocks", t.Blocks)
	}
	return row
}

// shownBroadcasts is how many broadcasts a page lists one by one.
const shownBroadcasts = 40

// slowest is the places of the broadcasts that a page lists, in their order: all, or of many those that took the longest to reach 99.9 %.
func slowest(broadcasts []Broadcast) []int {
	places := make([]int, len(broadcasts))
	for i := range places {
		places[i] = i
	}
	if len(places) > shownBroadcasts {
		slices.SortStableFunc(places, func(i, j int) int {
			return cmp.Compare(float64(broadcasts[j].TimeTo999Ms), float64(broadcasts[i].TimeTo999Ms))
		})
		places = slices.Sorted(slices.Values(places[:shownBroadcasts]))
	}
	return places
}

func broadcastRowOf(number int, b Broadcast) broadcastRow {
	return broadcastRow{
		Number: number, At: momentText(float64(b.AtMs)), Recipients: countText(b.Recipients), Bound: timeText(float64(b.DeliverWithinMs)),
		T50: timeText(float64(b.TimeTo50Ms)), T99: timeText(float64(b.TimeTo99Ms)), T999: timeText(float64(b.TimeTo999Ms)), Last: timeText(float64(b.TimeToLastMs)),
		Late: countText(b.Late), Lost: countText(b.Lost), Used: used(float64(b.TimeTo999Ms), float64(b.DeliverWithinMs)),
		Tone: toneOf(b.TimeTo999Ms < b.DeliverWithinMs && b.Lost == 0),
	}
}

func faultRowOf(f Fault) faultRow {
	row := faultRow{
		At: momentText(float64(f.AtMs)), What: f.What, Processes: strings.Join(f.Processes, ", "), Role: f.Role, Error: f.Error, Back: "–", Ack: "–", Delivery: "–", Reconnects: reconnectsText(f.Reconnects),
	}
	if f.AtMs == 0 && f.Error != "" {
		row.At = "not done"
	}
	if f.BackAtMs != nil {
		row.Back = "after " + timeText(float64(*f.BackAtMs-f.AtMs))
	}
	if f.Posts > 0 {
		row.Ack = timeText(float64(f.LongestAckWaitMs))
	}
	if f.Deliveries > 0 {
		row.Delivery = timeText(float64(f.LongestDeliveryWaitMs))
	}
	return row
}

func gauges(r Report) []gauge {
	g := r.Generator
	if g.TightestBoundMs == 0 || r.Model != nil {
		return nil
	}
	one := func(label string, value, limit Millis, of *measure.Histogram) gauge {
		out := gauge{label, "not measured", timeText(float64(limit)), "open", -1}
		if of.Count() > 0 {
			out.Value, out.Tone, out.Used = timeText(float64(value)), toneOf(value <= limit), used(float64(value), float64(limit))
		}
		return out
	}
	return []gauge{
		one("Send lag p99.9", g.SendLagP999Ms, g.SendLagLimitMs, r.Histograms.SendLag),
		one("Hiccups p99.9", g.HiccupP999Ms, g.HiccupLimitMs, r.Histograms.Hiccup),
	}
}

func processRowOf(p Process) processRow {
	row := processRow{p.Name, p.Role, bytesText(float64(p.RSSBytes)), digits(p.CPUSeconds, 1) + " s", "–", "–", "–"}
	if g := p.Growth; g != nil {
		row.Memory, row.Goroutines, row.Files = "× "+digits(g.Memory, 3), "× "+digits(g.Goroutines, 3), "× "+digits(g.OpenFiles, 3)
	}
	return row
}

func percentileOf(aggregation string) (float64, bool) {
	a, err := verdict.ParseAggregation(aggregation)
	return a.Percentile, err == nil && !a.Mean && a.Percentile < 100
}

func latencyText(h *measure.Histogram, p float64, lost int64) string {
	return timeText(float64(millis(h.PercentileWithLost(p, lost))))
}
