package report

import (
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
)

// faultKind is all faults of one name, with their waits as dots on a line.
type faultKind struct {
	What  string
	Times string
	Rows  []waits
}

type waits struct {
	Name, Median, Worst string
	Dots                template.HTML
}

// shardCard is one small multiple: the share of a shard's deliveries against their latency.
type shardCard struct {
	Name, Sessions, P50, P999, Lost string
	Curve                           template.HTML
}

func facts(r Report) []group {
	if r.Model != nil {
		return modelFacts(r)
	}
	f, g := r.Fleet, r.Generator
	fleet := group{"Fleet", []fact{
		{"where", orDash(f.Where)}, {"version", orDash(f.Version)},
		{"stores", countText(int64(f.Stores))}, {"shards", countText(int64(f.Shards))},
		{"partitions", countText(int64(f.Partitions))}, {"replicas", countText(int64(f.Replicas))}, {"durability", orDash(f.Durability)},
		{"memory a session", knownBytes(f.RSSBytesPerSession)}, {"processor time a delivery", known(f.CPUMicrosPerDelivery, digits(f.CPUMicrosPerDelivery, 1)+" µs")},
	}}
	generator := group{"Generator", []fact{
		{"workers", countText(int64(g.Workers))}, {"memory a session", knownBytes(g.RSSBytesPerSession)},
		{"kept for a session", knownBytes(float64(g.BytesPerSubscriber))}, {"of it for resuming", knownBytes(float64(g.ResumeBytesPerSubscriber))},
		{"tightest bound", known(float64(g.TightestBoundMs), timeText(float64(g.TightestBoundMs)))},
		{"caps reached", joinOr(g.CapsReached, "none")}, {"workers lost", joinOr(g.LostWorkers, "none")},
		{"clock", orDash(r.Clock.Source)}, {"clocks’ error", timeText(float64(r.Clock.ErrorMs))},
		{"machine", fmt.Sprintf("%s, %d cores", orDash(r.Simulator.Platform), r.Simulator.Cores)}, {"simulator", orDash(r.Simulator.Version)},
	}}
	return append([]group{fleet, generator, accounts(r)}, slowFacts(r.SlowReaders)...)
}

// accounts is what became of all deliveries and posts.
func accounts(r Report) group {
	d, p := r.Deliveries, r.Posts
	return group{"Accounts", []fact{
		{"deliveries expected", countText(d.Expected)}, {"delivered", countText(d.Delivered)}, {"of these healed by difference", countText(d.Healed)},
		{"late", countText(d.Late)}, {"lost", countText(d.Lost)}, {"of these with other content", countText(d.Corrupt)},
		{"posts intended", countText(p.Intended)}, {"sent", countText(p.Sent)}, {"acknowledged", countText(p.Acknowledged)},
		{"acknowledged and missing", countText(p.MissingAcknowledged) + " of " + countText(p.Checked) + " looked for"},
		{"errors", errorsText(p.Errors)},
		{"sign-ins", countText(r.Sessions.SignIns)}, {"of these by resume token", countText(r.Sessions.Resumed)},
		{"resume tokens refused", countText(r.Sessions.ResumesRefused)},
	}}
}

func errorsText(errors map[string]int64) string {
	var parts []string
	for kind, n := range errors {
		parts = append(parts, countText(n)+" × "+kind)
	}
	slices.Sort(parts)
	return joinOr(parts, "none")
}

func joinOr(list []string, none string) string {
	if len(list) == 0 {
		return none
	}
	return strings.Join(list, ", ")
}

func orDash(s string) string {
	if s == "" {
		return "not known"
	}
	return s
}

func known(v float64, text string) string {
	if v == 0 {
		return "not known"
	}
	return text
}

func knownBytes(n float64) string { return known(n, bytesText(n)) }

func faultKinds(faults []Fault) []faultKind {
	var kinds []faultKind
	var names []string
	longest := 0.0
	for _, f := range faults {
		if !slices.Contains(names, f.What) {
			names = append(names, f.What)
		}
		for _, wait := range []Millis{f.LongestAckWaitMs, f.LongestDeliveryWaitMs} {
			if !wait.Infinite() {
				longest = max(longest, float64(wait))
			}
		}
	}
	for _, name := range names {
		var acks, deliveries []float64
		n := 0
		for _, f := range faults {
			if f.What != name || f.Error != "" {
				continue
			}
			n++
			if f.Posts > 0 {
				acks = append(acks, float64(f.LongestAckWaitMs))
			}
			if f.Deliveries > 0 {
				deliveries = append(deliveries, float64(f.LongestDeliveryWaitMs))
			}
		}
		kinds = append(kinds, faultKind{name, "× " + countText(int64(n)), []waits{
			waitsOf("acknowledgement", acks, longest), waitsOf("delivery", deliveries, longest),
		}})
	}
	return kinds
}

func waitsOf(name string, ms []float64, longest float64) waits {
	if len(ms) == 0 {
		return waits{Name: name, Median: "–", Worst: "–"}
	}
	slices.Sort(ms)
	n := len(ms)
	median := (ms[(n-1)/2] + ms[n/2]) / 2
	return waits{name, timeText(median), timeText(ms[n-1]), dots(ms, median, longest)}
}

// dots draws waits on a line from 0 to the longest wait of any fault, in seconds' steps. It holds numbers only.
func dots(ms []float64, median, longest float64) template.HTML {
	x := func(v float64) float64 { return 100 * min(v/max(longest, 1), 1) }
	var b strings.Builder
	b.WriteString(`<svg class="dots" aria-hidden="true"><line class="base" x1="0" x2="100%" y1="50%" y2="50%"/>`)
	step := 1000.0
	for longest/step > 8 {
		step *= 5
	}
	for v := 0.0; v <= longest; v += step {
		fmt.Fprintf(&b, `<line class="tick" x1="%.2f%%" x2="%.2f%%" y1="3" y2="23"/>`, x(v), x(v))
	}
	for _, v := range ms {
		class := "dot"
		if math.IsInf(v, 1) {
			class = "dot never"
		}
		fmt.Fprintf(&b, `<circle class="%s" cx="%.2f%%" cy="50%%" r="4.5"/>`, class, x(v))
	}
	fmt.Fprintf(&b, `<line class="median" x1="%.2f%%" x2="%.2f%%" y1="3" y2="23"/></svg>`, x(median), x(median))
	return template.HTML(b.String()) // made of numbers
}

func shardCards(r Report) []shardCard {
	axis := logAxis{math.Inf(1), 0}
	for _, s := range r.Shards {
		if s.Latency.Count() > 0 {
			axis.low = min(axis.low, float64(millis(s.Latency.Percentile(0.5))))
			axis.high = max(axis.high, float64(millis(s.Latency.Percentile(99.99))))
		}
	}
	axis.low = max(axis.low, 0.01)
	axis.high = max(axis.high*1.1, axis.low*10)
	var cards []shardCard
	for _, s := range r.Shards {
		if s.Latency.Count()+s.Lost == 0 {
			continue
		}
		cards = append(cards, shardCard{
			Name: s.Name, Sessions: countText(s.Sessions), P50: latencyText(s.Latency, 50, s.Lost), P999: latencyText(s.Latency, 99.9, s.Lost),
			Lost: countText(s.Lost), Curve: curve(s, axis),
		})
	}
	return cards
}

// logAxis maps milliseconds to 0 to 1.
type logAxis struct{ low, high float64 }

func (a logAxis) at(ms float64) float64 {
	return min(max(math.Log(max(ms, a.low)/a.low)/math.Log(a.high/a.low), 0), 1)
}

// curve draws the share of a shard's deliveries that had come after a time. It holds numbers and units only.
func curve(s Shard, axis logAxis) template.HTML {
	const width, height = 220.0, 64.0
	var line, ticks strings.Builder
	line.WriteString("M0 62")
	total := float64(s.Latency.Count() + s.Lost)
	var had int64
	for _, step := range s.Latency.Steps() {
		had += step.Count
		fmt.Fprintf(&line, "L%.1f %.1f", width*axis.at(float64(millis(step.Latency))), 2+(height-4)*(1-float64(had)/total))
	}
	end := 2 + (height-4)*(1-float64(had)/total)
	fmt.Fprintf(&line, "L%g %.1f", width, end)
	for ms := math.Pow(10, math.Ceil(math.Log10(axis.low))); ms <= axis.high; ms *= 10 {
		at := width * axis.at(ms)
		fmt.Fprintf(&ticks, `<line class="tick" x1="%.1f" x2="%.1f" y1="0" y2="%g"/><text x="%.1f" y="%g">%s</text>`, at, at, height, at, height+12, timeText(ms))
	}
	return template.HTML(fmt.Sprintf( // made of numbers and units
		`<svg viewBox="0 0 %g %g" class="curve" aria-hidden="true">%s<path class="area" d="%sL%g %gL0 %gZ"/><path class="line" d="%s"/></svg>`,
		width, height+14, ticks.String(), line.String(), width, height, height, line.String()))
}

// grewText says what growth compares.
func grewText(s *v1alpha1.Scenario) string {
	if s != nil && s.Growth != nil {
		return fmt.Sprintf("What grew is the minute around %s of the measuring against that around %s, of the middle values.", s.Growth.To.Std(), s.Growth.From.Std())
	}
	return "What grew is the last fifth of the measuring against the second fifth, of the middle values."
}

// specText is the scenario as it ran, for people to read: its JSON, which is a YAML document too.
func specText(s *v1alpha1.Scenario) string {
	if s == nil {
		return ""
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(text)
}
