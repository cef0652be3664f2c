package planning

import (
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/plain"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// Render writes a plan for people, whose files are in dir, in lines that fit a terminal. calibrated says how old the calibration is, which a plan itself does not
// know.
func Render(w io.Writer, p Plan, dir, calibrated string) error {
	var b strings.Builder
	q := p.Asked
	wrap(&b, "", "", fmt.Sprintf("%s: %s subscribers, %s, %s lost, %g %% to spare", headline(p), grouped(float64(q.Subscribers)), q.Objective, plain.Plural(q.Lose, "shard"), 100*q.Headroom), "")
	for _, r := range p.Reasons {
		wrap(&b, "  ", "  ", r, "")
	}
	b.WriteByte('\n')
	line := func(name, format string, args ...any) {
		wrap(&b, fmt.Sprintf("%-*s", indent, name), strings.Repeat(" ", indent), fmt.Sprintf(format, args...), "")
	}
	if p.Found != nil {
		p.fleetLines(line)
	}
	line("calibration", "%s: %s, commit %s, %s", p.Calibration.Name, p.Calibration.Machine.Description, p.Calibration.Commit, calibrated)
	line("audience", "%s", q.audience())
	b.WriteByte('\n')
	p.table(&b)
	if p.Found != nil {
		p.more(&b, line)
		p.commands(&b, dir)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

const (
	// width is that of the narrowest terminal that is usual.
	width = 80
	// indent is where the text of a line with a name begins.
	indent = 13
)

// wrap writes words in lines of a width, the first behind one text, the others behind another. What ends a line that goes on is a backslash in commands.
func wrap(w io.Writer, first, other, text, goesOn string) {
	line, empty := first, true
	for _, word := range strings.Fields(text) {
		if !empty && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word)+len(goesOn) > width {
			fmt.Fprintln(w, strings.ReplaceAll(line, noBreak, " ")+goesOn)
			line, empty = other, true
		}
		if !empty {
			line += " "
		}
		line += word
		empty = false
	}
	fmt.Fprintln(w, strings.ReplaceAll(line, noBreak, " "))
}

// noBreak stands for a blank at which no line ends.
const noBreak = "\x00"

func headline(p Plan) string {
	switch {
	case p.Verdict == verdict.Pass:
		return "PLAN"
	case p.Found == nil || p.Verdict == verdict.Fail:
		return "NO FLEET MEETS THIS"
	case p.Grade == "D":
		return "PLAN, INDICATIVE, TEST IT FIRST"
	}
	return "PLAN, INCONCLUSIVE"
}

type liner func(name, format string, args ...any)

func (p Plan) fleetLines(line liner) {
	f, a := p.Fleet, p.Answer
	line("fleet", "%s of %g cores and %d MiB; %d stores of %g cores and %d MiB; %d partitions", plain.Plural(f.Shards, "shard"), f.Cores, f.MemoryBytes>>20, f.Stores.Count, f.Stores.Cores, f.Stores.MemoryBytes>>20, f.Partitions)
	line("binding", "%s; all else would be content with %s (%s)", p.Binding, plain.Plural(p.OtherShards, "shard"), p.OtherBinding)
	line(map[bool]string{true: report.Extrapolated, false: report.Modelled}[p.ExtrapolationFactor > 1], "%s: %s (95 %%: %s to %s), with %s left", p.Asked.Objective.figure().says, plain.Millis(a.ValueMs), plain.Millis(a.LowMs), plain.Millis(a.HighMs), plain.Plural(f.Left, "shard"))
	if p.Grade != "D" { // Then it is the first reason.
		line("grade", "%s: %s", p.Grade, p.GradeSays)
	}
	for i, in := range p.Inputs {
		line(map[bool]string{true: "hangs on"}[i == 0], "%s, %s: %+.1f %% (%s; %s)", in.Name, in.Moved, 100*in.Change, in.Help, in.Basis)
	}
}

func (q Question) audience() string {
	if len(q.Places) == 0 {
		return "all connected, at no distance; --place has the way to them counted"
	}
	var places []string
	for _, p := range q.Places {
		places = append(places, fmt.Sprintf("%s %g %% at %s", p.Name, 100*p.Share, p.RoundTrip))
	}
	return "all connected: " + strings.Join(places, ", ")
}

// table is the demands, the binding one marked, and below each what it is.
func (p Plan) table(w io.Writer) {
	const row = "%-2s%-23s%-12s%s\n"
	fmt.Fprintf(w, row, "", "demand", "alone needs", fmt.Sprintf("a shard uses (%g %% are to be left)", 100*p.Asked.Headroom))
	for _, d := range p.Demands {
		mark, needs, used := "", "no number", "of "+amount(d.Most, d.Unit)
		if d.Shards > 0 {
			needs = plain.Plural(d.Shards, "shard")
		}
		if d.Name == p.Binding {
			mark = "*"
		}
		if p.Found != nil {
			used = fmt.Sprintf("%s of %s (%.1f %%)", amount(d.Used, d.Unit), amount(d.Most, d.Unit), 100*d.Used/d.Most)
		}
		fmt.Fprintf(w, row, mark, d.Name, needs, used)
		wrap(w, "    ", "    ", d.By+": "+d.Says, "")
	}
}

func (p Plan) more(w io.Writer, line liner) {
	q, f, g := p.Asked, p.Fleet, p.Growth
	fmt.Fprintf(w, "\nby hand, at the least, whatever the model says\n")
	for _, s := range p.Hand.Says {
		wrap(w, "  ", "    ", s, "")
	}
	fmt.Fprintln(w)
	if l := p.Loss; l != nil {
		line("loss", "%s lose their connection; all are back after %s, for %.3g core-seconds of sign-ins", plain.Plural(int(l.Sessions), "session"), plain.Millis(l.Back), l.CoreSeconds)
		line("", "if it happens at the post: %s %s. Clients of the model wait up to 0.1 s before they come back, those of the protocol up to 1 s", q.Objective.figure().says, plain.Millis(l.AtThePost))
	}
	if q.GrowthPerMinute > 0 {
		line("growth", "%s", p.asked())
	}
	line(map[bool]string{true: "", false: "growth"}[q.GrowthPerMinute > 0], "up to %s a minute, then shards that are asked for (%s after) and started (%s) are there in time", grouped(about(g.PerMinute)), q.ScaleAfter, (g.Arriving - q.ScaleAfter).Round(100*time.Millisecond))
	line("", "room for %s more, and %s sign-ins a minute; what grows faster needs shards beforehand (pre-warming): no scaling passes", grouped(about(float64(g.Room))), grouped(about(g.BySignIns)))
	line("cost", "%s %s a month: %s for %g cores, %s for %.3g GiB, %s for %s GB of egress at %g posts an hour", q.Prices.Currency, grouped(math.Round(p.Cost.Total)), grouped(math.Round(p.Cost.Cores)), f.TotalCores,
		grouped(math.Round(p.Cost.Memory)), f.TotalMemoryGiB, grouped(math.Round(p.Cost.Egress)), grouped(math.Round(f.EgressGBMonthly)), rounded(3600*q.PostsPerSecond))
	line("", "by %s, %s; without volumes, load balancers and the Kubernetes cluster itself", q.Prices.Name, q.Prices.Date.Format(time.DateOnly))
	for i, what := range p.Unmodelled {
		line(map[bool]string{true: "not modelled"}[i == 0], "%s", what)
	}
}

// commands are what to do next, to be copied.
func (p Plan) commands(w io.Writer, dir string) {
	command := func(text string) {
		for _, option := range []string{"-f", "--local", "--out"} {
			text = strings.ReplaceAll(text, option+" ", option+noBreak)
		}
		wrap(w, "  ", "    ", text, " \\")
	}
	fmt.Fprintf(w, "\ntry the ChatCluster against an API server; without --dry-run=server it is done\n")
	command(p.Apply(filepath.Join(dir, PatchFile)))
	if p.Test == nil {
		return
	}
	file := filepath.Join(dir, TestFile)
	fmt.Fprintln(w)
	wrap(w, "", "", fmt.Sprintf("test first: %s on %s here, and what the model says of the same on the machine of the calibration; where they are apart, so is this plan",
		plain.Plural(int(p.Test.Sessions), "session"), plain.Plural(p.Test.Shards, "shard")), "")
	command(fmt.Sprintf("simulator run %s --local stores=3,shards=%d --out %s", file, p.Test.Shards, filepath.Join(dir, "measured")))
	command(fmt.Sprintf("simulator model %s --out %s", file, filepath.Join(dir, "modelled")))
}

// asked says what the growth that was asked for takes.
func (p Plan) asked() string {
	per := grouped(p.Asked.GrowthPerMinute)
	if p.Binding == "growth" {
		return fmt.Sprintf("%s a minute: only pre-warming passes. The plan has the shards for it beforehand; %d, which are enough for all else, would be full before more are there", per, p.OtherShards)
	}
	return fmt.Sprintf("%s a minute: scaling keeps up, from the room that this fleet has", per)
}

// about keeps three digits, downwards: more would say that somebody knows them.
func about(v float64) float64 {
	if v < 1000 {
		return v
	}
	unit := math.Pow10(int(math.Log10(v)) - 2)
	return math.Floor(v/unit) * unit
}

// amount is a number with its unit, short.
func amount(v float64, unit string) string {
	switch unit {
	case "ms":
		return plain.Millis(report.Millis(v))
	case "B", "B/s":
		return fmt.Sprintf("%.4g M%s", v/1e6, unit)
	case "cores":
		return fmt.Sprintf("%.3g cores", v)
	}
	return grouped(math.Ceil(v)) + " " + unit
}

func inTime(d time.Duration) string {
	if d == measure.Never {
		return "never"
	}
	return plain.Millis(report.Millis(milliseconds(d)))
}

// grouped writes the whole part of a number with its thousands apart: 12,400.
func grouped(v float64) string {
	return plain.Count(int64(v))
}
