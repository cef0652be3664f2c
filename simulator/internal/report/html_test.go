package report

import (
	"encoding/json"
	"flag"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

var samplesDir = flag.String("samples", "", "write the reports of sample runs into this directory, to be looked at")

// sampleRuns is one run of each kind that a page must look good for.
func sampleRuns(t *testing.T) map[string]Run {
	t.Helper()
	unhealthy := sampleSmall(t)
	unhealthy.Measurements.Generator.CapsReached = []string{"poster: all 64 connections in use"}
	lossy := sampleBroadcast(t)
	lossy.Measurements.Deliveries.Lost, lossy.Measurements.Deliveries.LostOfLatency = 40, 40
	lossy.Measurements.Broadcasts[3].Lost = 40
	lossy.Series.Heat.Add(lossy.Measurements.Broadcasts[3].At, 1<<63-1, 40)
	interrupted := sampleSmall(t)
	interrupted.Measurements = verdict.Measurements{Interrupted: true}
	interrupted.Series, interrupted.Phases = Series{}, nil
	return map[string]Run{
		"broadcast": sampleBroadcast(t), "store-loss": sampleStoreLoss(t), "unhealthy": unhealthy, "lossy": lossy,
		"small": sampleSmall(t), "interrupted": interrupted, "modelled": sampleModelled(t), "surge": sampleSurge(t),
	}
}

// Not a check: `go test -run TestSamples -samples DIR` makes pages to look at while changing them.
func TestSamples(t *testing.T) {
	if *samplesDir == "" {
		t.Skip("asked for by -samples DIR")
	}
	for name, run := range sampleRuns(t) {
		if err := Write(filepath.Join(*samplesDir, name), New(run)); err != nil {
			t.Fatal(err)
		}
	}
	if err := WriteCapacity(filepath.Join(*samplesDir, "capacity"), sampleCapacity(t)); err != nil {
		t.Fatal(err)
	}
}

// document is what a browser would make of a page.
type document struct {
	text    string
	scripts []string
	styles  []string
	links   []string
	plots   []string
	alts    []string // what the plots show, in words
	data    string
}

func parse(t *testing.T, page string) document {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var d document
	for n := range root.Descendants() {
		attribute := func(key string) string {
			for _, a := range n.Attr {
				if a.Key == key {
					return a.Val
				}
			}
			return ""
		}
		switch {
		case n.Type == html.TextNode && n.Parent.Data == "script" && n.Parent.Attr != nil:
			d.data = n.Data
		case n.Type == html.TextNode && n.Parent.Data == "script":
			d.scripts = append(d.scripts, n.Data)
		case n.Type == html.TextNode && n.Parent.Data == "style":
			d.styles = append(d.styles, n.Data)
		case n.Type == html.TextNode:
			d.text += " " + n.Data
		}
		for _, key := range []string{"src", "href", "srcset", "action", "data", "poster"} {
			if v := attribute(key); v != "" {
				d.links = append(d.links, v)
			}
		}
		if plot := attribute("data-chart"); plot != "" {
			d.plots = append(d.plots, plot)
			d.alts = append(d.alts, attribute("aria-label"))
		}
	}
	d.text = strings.Join(strings.Fields(d.text), " ")
	return d
}

var (
	address = regexp.MustCompile(`(https?:|wss?:)?//[a-z0-9-]+\.[a-z]`)
	loads   = regexp.MustCompile(`@import|url\(|\bfetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|\bimport\(|importScripts`)
)

func needsNothingElse(t *testing.T, d document) {
	t.Helper()
	if len(d.links) > 0 {
		t.Errorf("it links to %q", d.links)
	}
	if len(d.scripts) != 2 || len(d.styles) != 2 {
		t.Fatalf("%d scripts and %d styles", len(d.scripts), len(d.styles))
	}
	for _, part := range append(d.scripts, d.styles...) {
		// The one address is where uPlot says what it is.
		part = strings.Replace(part, "/*! https://github.com/leeoniya/uPlot (v1.6.32) */", "", 1)
		if found := address.FindString(part); found != "" {
			t.Errorf("an address: %s", found)
		}
		if found := loads.FindString(part); found != "" {
			t.Errorf("something that loads: %s", found)
		}
	}
	if !strings.Contains(d.scripts[0], "The MIT License (MIT)") {
		t.Error("uPlot is without its licence")
	}
}

func TestThePageHoldsTheRunAndNeedsNothingElse(t *testing.T) {
	runs := sampleRuns(t)
	tests := map[string]struct {
		words string // in the text, divided by |
		plots string
	}{
		"broadcast":  {"Pass|12 broadcasts to 20 000 sessions|shares its cores|shard-3|timeToLast max < 1s|Nothing was broken on purpose", "reach heat spectrum sessions posts arrivals"},
		"store-loss": {"Fail|34 faults under load|faultAckWait max after leading store killed < 2s: 2.14s|all stores killed|The run had no broadcasts", "heat spectrum sessions posts arrivals"},
		"unhealthy":  {"Generator unhealthy|all 64 connections in use", "reach spectrum arrivals"},
		"lossy":      {"Fail|not all of them reached|40 lost|never", "reach heat spectrum sessions posts arrivals"},
		"small":      {"<kill> & restart|no shard ran|The run kept no heat map|no samples", "reach spectrum arrivals"},
		"modelled": {"Inconclusive|in simulated time|grade D|How far to trust it|230 ms to 738 ms|2 500 000 × 125|the loss of a <region>|+8.0 %|simulator run scenarios/broadcast-100k.yaml|only a run can find",
			"reach heat spectrum sessions posts arrivals"},
		"surge": {"nobody measured it|after 1 min, by the hub|after 13 h, by forwards|What is assumed|deliveries in the busiest second|317 ms 300 ms to 330 ms|people’s time that decides|extrapolated What the fleet takes",
			"reach heat spectrum sessions posts arrivals"},
		"interrupted": {"Inconclusive|the run was interrupted|Nothing was delivered|not measured|The run kept no count of posts over time", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := parse(t, render(t, RenderHTML, New(runs[name])))
			needsNothingElse(t, d)
			for words := range strings.SplitSeq(tt.words, "|") {
				if !strings.Contains(d.text, words) {
					t.Errorf("it does not say %q", words)
				}
			}
			if strings.Contains(d.text, "%!") || strings.Contains(d.text, "NaN") {
				t.Error("it shows what is no figure")
			}
			if got := strings.Join(d.plots, " "); got != tt.plots {
				t.Errorf("plots %q, want %q", got, tt.plots)
			}
			var data map[string]any
			if err := json.Unmarshal([]byte(d.data), &data); err != nil {
				t.Fatalf("the data is no JSON: %v", err)
			}
			if len(d.alts) != len(d.plots) || slices.Contains(d.alts, "") {
				t.Errorf("plots without words: %q", d.alts)
			}
			for _, plot := range d.plots {
				if data[plot] == nil {
					t.Errorf("the plot %s has no data", plot)
				}
			}
		})
	}
}

// What nobody measured can be told from what was at a glance: the page is of another class, and has no word of a generator.
func TestModelledAndMeasuredLookDifferent(t *testing.T) {
	for name, want := range map[string]string{"modelled": `<body class="open extrapolated">`, "broadcast": `<body class="good measured">`} {
		page := render(t, RenderHTML, New(sampleRuns(t)[name]))
		if !strings.Contains(page, want) {
			t.Errorf("%s: not %s", name, want)
		}
		if has := strings.Contains(parse(t, page).text, "generator healthy"); has != (name == "broadcast") {
			t.Errorf("%s: a generator: %t", name, has)
		}
		if has := strings.Contains(page, `id="trust"`); has != (name == "modelled") {
			t.Errorf("%s: how far to trust it: %t", name, has)
		}
	}
}

func TestThePageEscapesWhatItIsGiven(t *testing.T) {
	const evil = `</script><script>alert(1)</script><img src=x onerror=alert(2)>`
	run := sampleSmall(t)
	run.Scenario.Description = evil
	run.Measurements.Faults[0].Name = evil
	run.Measurements.Faults[0].Error = ""
	run.Measurements.Clock.Source = `" onmouseover="alert(3)`
	run.Measurements.Generator.CapsReached = []string{evil}
	run.Shards = []Shard{{Name: evil, Latency: run.Measurements.Deliveries.Latency}}
	d := parse(t, render(t, RenderHTML, New(run)))
	if len(d.scripts) != 2 || len(d.links) != 0 {
		t.Fatalf("%d scripts, links %q: something got out", len(d.scripts), d.links)
	}
	var data chartData
	if err := json.Unmarshal([]byte(d.data), &data); err != nil {
		t.Fatal(err)
	}
	if len(data.Faults) != 1 || data.Faults[0].What != evil {
		t.Errorf("the data has %+v", data.Faults)
	}
}
