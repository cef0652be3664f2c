package report

import (
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// sampleCapacity is a search with a run of every outcome.
func sampleCapacity(t *testing.T) Capacity {
	t.Helper()
	c := Capacity{
		Schema: CapacitySchema, Verdict: verdict.Pass, Finding: "CAPACITY 46,080 deliveries a second at 460.8 posts a second (43,880 to 51,200 over 3 repeats), bound by the machine’s processors (93 % used): delivery p99 < 100ms is missed",
		Reasons:  []string{"fleet and generator share the machine's processors: on processors of its own the fleet would bear more"},
		Scenario: "capacity", Label: Measured, Vary: "rate", Unit: "posts a second", Capacity: &Load{460.8, 46080}, From: &Load{438.8, 43880}, To: &Load{512, 51200},
		Binding:    "the machine’s processors",
		UsedIn:     "at the capacity",
		Used:       []Used{{"the machine’s processors", .93}, {"the machine’s memory", .12}, {"the open files of a process", .26}},
		Processors: []Used{{"shards", .41}, {"stores", .12}, {"generator", .24}, {"others, and the kernel for all", .16}},
		Tolerance:  .05, Repeats: 3, StartedAt: time.Date(2030, 1, 2, 3, 4, 0, 0, time.UTC), DurationMs: 561_000, Spec: sampleSmall(t).Scenario,
		Fleet: Fleet{Where: "local", Stores: 3, Shards: 4}, Simulator: Simulator{Cores: 2, CPU: "AMD EPYC", Kernel: "6.18"},
	}
	for i, s := range []struct {
		rate, ms        float64
		outcome, reason string
	}{
		{64, 4, "held", ""}, {128, 6, "held", ""}, {256, 14, "held", ""}, {512, 480, "missed", "delivery p99 < 100ms: 480ms"}, {512, math.Inf(1), "missed", "lost = 0: 3 <of> 99"},
		{384, 31, "held", ""}, {438.8, 52, "unclear", "a clock stepped by 30ms during the run"}, {460.8, 71, "held", ""}, {486.4, 90, "gaveUp", "send lag p99.9 is 9ms, over 5 % of the tightest bound (100ms)"},
		{460.8, 78, "held", ""}, {460.8, 74, "held", ""}, {460.8, 83, "held", ""}, {512, 610, "missed", "delivery p99 < 100ms: 610ms"},
	} {
		c.Steps = append(c.Steps, CapacityStep{
			Number: i + 1, Load: Load{s.rate, 100 * s.rate}, Kind: map[bool]string{true: "hold", false: "probe"}[i > 8 && s.outcome == "held"], Why: "doubled", Outcome: s.outcome, Reason: s.reason,
			Figure: &CapacityFigure{Title: "delivery p99 < 100ms", ValueMs: Millis(s.ms), ErrorMs: 2, BoundMs: 100, Known: true}, P99Ms: Millis(s.ms),
			DeliveredPerSecond: min(100*s.rate, 49_000), Used: []Used{{"the machine’s processors", min(s.rate/480, .99)}}, DurationMs: 35_000,
		})
	}
	return c
}

func capacityDocument(t *testing.T, c Capacity) (document, string) {
	t.Helper()
	page := render(t, func(w io.Writer, _ Report) error { return RenderCapacityHTML(w, c) }, Report{})
	return parse(t, page), page
}

// The page of a search needs nothing else, says what was found, and tells runs apart by their shape and in words.
func TestTheCapacityAsAPage(t *testing.T) {
	c := sampleCapacity(t)
	d, page := capacityDocument(t, c)
	if len(d.scripts)+len(d.links) != 0 || len(d.styles) != 1 {
		t.Errorf("%d scripts, %d links, %d styles", len(d.scripts), len(d.links), len(d.styles))
	}
	for _, want := range []string{
		"46 080 deliveries a second", c.Finding, c.Reasons[0], "The knee is at 461 posts a second", "Below 439 nothing was missed, from 512 on nothing held", "bound 100 ms",
		"What bound it", "What is used up at the capacity", "shards", "The most that came in a second, as a mean over a run's measure phase, was 49 000", "lost = 0: 3 <of> 99", "never ± ",
		"● held", "✕ missed", "◇ inconclusive", "▲ the generator gave up", "13 runs in 9 min 21 s", "differ by 5 % at most",
	} {
		if want == "never ± " {
			if strings.Contains(d.text, want) {
				t.Error("what never came has an error")
			}
			continue
		}
		if !strings.Contains(d.text, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if strings.Contains(d.text, "%!") || strings.Contains(page, "NaN") || strings.Contains(page, "Inf") {
		t.Error("it shows what is no figure")
	}
	// Two plots, each for wide and narrow pages, and the key of each.
	for class, runs := range map[string]int{"held": 8, "missed": 3, "unclear": 1, "gaveUp": 1} {
		if got, want := strings.Count(page, `class="`+class+`"`), runs*4+2; got != want {
			t.Errorf("%d marks of %s, want %d", got, class, want)
		}
	}
	if n := strings.Count(page, `class="knee"`); n != 8 {
		t.Errorf("the knee is drawn %d times", n)
	}
}

func TestCapacityPagesOfEveryKind(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(c *Capacity)
		says  string
		not   string
	}{
		"at least":              {func(c *Capacity) { c.AtLeast, c.To = true, nil }, "≥ 46 080 deliveries a second", "nothing held: that is"},
		"subscribers":           {func(c *Capacity) { c.Vary, c.Unit = "subscribers", "subscribers"; c.Capacity.Amount = 12_400 }, "12 400 subscribers", "46 080 deliveries a second Deliv"},
		"nothing held":          {func(c *Capacity) { c.Verdict, c.Capacity, c.From, c.To = verdict.Fail, nil, nil, nil }, "No capacity", "knee"},
		"the generator gave up": {func(c *Capacity) { c.Verdict, c.Capacity, c.From, c.To = verdict.GeneratorUnhealthy, nil, nil, nil }, "The generator gave up", "knee"},
		"no runs": {func(c *Capacity) {
			c.Verdict, c.Capacity, c.From, c.To, c.Steps, c.Used = verdict.Inconclusive, nil, nil, nil, []CapacityStep{}, nil
		}, "0 runs", "Capacity curve"},
		"no time is bounded": {func(c *Capacity) {
			for i := range c.Steps {
				c.Steps[i].Figure = nil
			}
		}, "Capacity curve: delivery p99", "bound 100 ms"},
		"nothing ever came": {func(c *Capacity) {
			for i := range c.Steps {
				c.Steps[i].Figure.ValueMs, c.Steps[i].Figure.BoundMs, c.Steps[i].DeliveredPerSecond = Millis(math.Inf(1)), 0, 0
			}
		}, "never", "The most that came"},
	} {
		c := sampleCapacity(t)
		tt.spoil(&c)
		d, page := capacityDocument(t, c)
		if !strings.Contains(d.text, tt.says) || strings.Contains(d.text, tt.not) || strings.Contains(page, "NaN") || strings.Contains(page, "Inf") || strings.Contains(page, "%!") {
			t.Errorf("%s: %.400s", name, d.text)
		}
	}
}

// Marks are where the axis has their load.
func TestTicksAreRoundAndFew(t *testing.T) {
	for _, tt := range []struct {
		axis loadAxis
		most int
		want []float64
	}{
		{loadAxis{logAxis{55, 580}, false}, 7, []float64{100, 200, 500}}, {loadAxis{logAxis{2.9, 700}, false}, 5, []float64{3, 10, 30, 100, 300}},
		{loadAxis{logAxis{1, 1e6}, false}, 7, []float64{1, 10, 100, 1e3, 1e4, 1e5, 1e6}}, {loadAxis{logAxis{1, 1e9}, false}, 3, nil},
		{loadAxis{logAxis{7, 590}, true}, 7, []float64{0, 100, 200, 300, 400, 500}}, {loadAxis{logAxis{7, 590}, true}, 3, []float64{0, 200, 400}}, {loadAxis{logAxis{.1, .9}, true}, 5, []float64{0, .2, .4, .6, .8}},
	} {
		got := tt.axis.ticks(tt.most)
		if len(got) != len(tt.want) || slices.ContainsFunc(got, func(v float64) bool {
			return !slices.ContainsFunc(tt.want, func(w float64) bool { return math.Abs(v-w) < 1e-9*max(w, 1) })
		}) {
			t.Errorf("%+v: %v, want %v", tt.axis, got, tt.want)
		}
	}
}

func TestACapacityIsReadAsItWasWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	want := sampleCapacity(t)
	if err := WriteCapacity(dir, want); err != nil {
		t.Fatal(err)
	}
	if got := filesIn(t, dir); !slices.Equal(got, []string{CapacityPage, CapacityFile}) {
		t.Errorf("files %v", got)
	}
	got, err := ReadCapacity(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, a := capacityDocument(t, got)
	if _, b := capacityDocument(t, want); a != b {
		t.Errorf("the page made from capacity.json is another: %s", firstDifference(a, b))
	}
	path := filepath.Join(dir, CapacityFile)
	if err := os.WriteFile(path, []byte(`{"schema": "chatfleet.io/capacity/v2"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadCapacity(path); err == nil || !strings.Contains(err.Error(), `this program reads "chatfleet.io/capacity/v1"`) {
		t.Errorf("error %v", err)
	}
	if _, err := Read(path); err == nil {
		t.Error("it was read as a report")
	}
}

// Only what came within the measure phase counts.
func TestDeliveredPerSecond(t *testing.T) {
	r := New(sampleBroadcast(t))
	from, to, ok := r.MeasurePhase()
	if got := r.DeliveredPerSecond(); !ok || got <= 0 || got*(to-from).Seconds() > float64(r.Series.Delivered.Total()) {
		t.Errorf("%g a second from %s to %s, and %d in all", got, from, to, r.Series.Delivered.Total())
	}
	if got := (Report{}).DeliveredPerSecond(); got != 0 {
		t.Errorf("%g of a run without phases", got)
	}
}

func TestMostUsed(t *testing.T) {
	if got := MostUsed(); got != (Used{}) {
		t.Errorf("%+v of nothing", got)
	}
	if got := MostUsed(Used{"a", 0}, Used{"b", 0}); got.Name != "a" {
		t.Errorf("%+v where nothing is used", got)
	}
	if got := MostUsed(Used{"a", .1}, Used{"b", .3}, Used{"c", .3}); got.Name != "b" {
		t.Errorf("%+v", got)
	}
}
