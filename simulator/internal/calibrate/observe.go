package calibrate

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
)

// Schema names the format of a line of the observations file.
const Schema = "chatfleet.io/observation/v1"

// ObservationsFile is where the runs of a grid are written, a line each, in the order in which they ended.
const ObservationsFile = "observations.jsonl"

// Observation is what one run of a point showed. Times are milliseconds, processor times seconds of one core, in the measure phase.
type Observation struct {
	Schema  string    `json:"schema"`
	Point   Point     `json:"point"`
	Seed    uint64    `json:"seed"`
	At      time.Time `json:"at"`
	Machine Machine   `json:"machine"`
	// What was measured: the commit of chatd, as it was told or as it says.
	Commit string `json:"commit"`
	// How long the measure phase was.
	Seconds float64 `json:"seconds"`
	Workers int     `json:"workers"`
	// One for each broadcast, in the order in which they were sent.
	Broadcasts []Broadcast `json:"broadcasts,omitempty"`
	// Of the posts, from the intended moment to the acknowledgement.
	Posts Posts `json:"posts"`
	// Of the chatter's deliveries.
	Delivery *Latency `json:"delivery,omitempty"`
	// All deliveries that came within the measure phase, of what was meant to.
	Delivered int64 `json:"delivered"`
	Expected  int64 `json:"expected"`
	Lost      int64 `json:"lost"`
	// Processor time.
	Stores     float64 `json:"stores"`
	Shards     float64 `json:"shards"`
	Generator  float64 `json:"generator"`
	Interrupts float64 `json:"interrupts"`
	// What processes that are neither fleet nor generator used, and a hypervisor took, as a share of the machine's cores.
	Others float64 `json:"others"`
	// How late a thread that wants to run does, in the 99.9th percentile.
	HiccupMs float64 `json:"hiccupMs"`
	// Why it is no sample; empty if it is one.
	Unusable string `json:"unusable,omitempty"`
}

// Machine is where a run was. Runs of two machines make no calibration.
type Machine struct {
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	Kernel   string `json:"kernel"`
	Platform string `json:"platform"`
}

// String is a machine in words.
func (m Machine) String() string {
	kernel, _, _ := strings.Cut(m.Kernel, "-")
	return fmt.Sprintf("%d cores, %s, Linux %s", m.Cores, m.CPU, kernel)
}

// Broadcast is when a post was with how many of its recipients, from the moment at which it was intended.
type Broadcast struct {
	Bytes      int     `json:"bytes"`
	Recipients int64   `json:"recipients"`
	FirstMs    float64 `json:"firstMs"`
	P10Ms      float64 `json:"p10Ms"`
	P50Ms      float64 `json:"p50Ms"`
	P90Ms      float64 `json:"p90Ms"`
	P99Ms      float64 `json:"p99Ms"`
	P999Ms     float64 `json:"p999Ms"`
	LastMs     float64 `json:"lastMs"`
}

// Posts is how long acknowledgements took.
type Posts struct {
	Intended     int64   `json:"intended"`
	Acknowledged int64   `json:"acknowledged"`
	Response     Latency `json:"response"`
	SendLagP50Ms float64 `json:"sendLagP50Ms"`
	SendLagP99Ms float64 `json:"sendLagP99Ms"`
}

// Latency is some figures of a distribution.
type Latency struct {
	P10Ms  float64 `json:"p10Ms"`
	P50Ms  float64 `json:"p50Ms"`
	P90Ms  float64 `json:"p90Ms"`
	P99Ms  float64 `json:"p99Ms"`
	P999Ms float64 `json:"p999Ms"`
	MaxMs  float64 `json:"maxMs"`
	Count  int64   `json:"count"`
}

// mostOthers is the share of the cores that others may have used in a run that is still a sample. The kernel's own threads are among the others, and with
// 100,000 sessions those that handle the network's interrupts come to some 6 %.
const mostOthers = 0.1

// Observe takes from a run's report what a fit needs.
func Observe(p Point, seed uint64, commit string, r report.Report) Observation {
	o := Observation{
		Schema: Schema, Point: p, Seed: seed, At: r.StartedAt, Commit: commit, Workers: r.Generator.Workers,
		Machine: Machine{r.Simulator.CPU, r.Simulator.Cores, r.Simulator.Kernel, r.Simulator.Platform},
		Posts: Posts{
			Intended: r.Posts.Intended, Acknowledged: r.Posts.Acknowledged, Response: latencyOf(r.Histograms.Response),
			SendLagP50Ms: finite(r.Posts.SendLagMs.P50), SendLagP99Ms: finite(r.Posts.SendLagMs.P99),
		},
		Expected: r.Deliveries.Expected, Lost: r.Deliveries.Lost, HiccupMs: finite(r.Generator.HiccupP999Ms),
	}
	for i, b := range r.Broadcasts {
		at := func(p float64) float64 { return round(millis(b.Latency.Percentile(p))) }
		o.Broadcasts = append(o.Broadcasts, Broadcast{
			Bytes: p.Bytes[i%len(p.Bytes)], Recipients: b.Recipients, FirstMs: round(millis(b.Latency.Min())),
			P10Ms: at(10), P50Ms: at(50), P90Ms: at(90), P99Ms: at(99), P999Ms: at(99.9), LastMs: round(millis(b.Latency.Max())),
		})
	}
	if p.PostsPerSecond > 0 {
		l := latencyOf(r.Histograms.Delivery)
		o.Delivery = &l
	}
	for _, ph := range r.Phases {
		if ph.Name == report.PhaseMeasure {
			o.Seconds = round(float64(ph.ToMs-ph.FromMs) / 1000)
			o.Delivered = within(r.Series.Delivered, ph)
		}
	}
	for _, process := range r.Fleet.Processes {
		if process.Role == "store" {
			o.Stores = round(o.Stores + process.CPUSeconds)
		} else {
			o.Shards = round(o.Shards + process.CPUSeconds)
		}
	}
	if use := r.Processors; use != nil && o.Seconds > 0 {
		o.Generator, o.Interrupts = round(use.GeneratorSeconds), round(use.InterruptSeconds)
		// A process is charged for the interrupts that come while it runs.
		others := use.BusySeconds + use.InterruptSeconds - use.GeneratorSeconds - o.Stores - o.Shards
		o.Others = round(max(others+use.StolenSeconds, 0) / (o.Seconds * float64(o.Machine.Cores)))
	}
	o.Unusable = o.wrong(r)
	return o
}

// wrong says why a run is no sample.
func (o Observation) wrong(r report.Report) string {
	switch {
	case r.Sessions.SignedIn != r.Sessions.Wanted:
		return fmt.Sprintf("%d of %d sessions signed in", r.Sessions.SignedIn, r.Sessions.Wanted)
	case r.Deliveries.Lost > 0 || r.Deliveries.Duplicate > 0 || r.Deliveries.Corrupt > 0:
		return fmt.Sprintf("%d deliveries lost, %d doubled, %d with wrong content", r.Deliveries.Lost, r.Deliveries.Duplicate, r.Deliveries.Corrupt)
	case len(r.Fleet.Exits) > 0:
		return "a process of the fleet ended: " + r.Fleet.Exits[0]
	case r.Clock.StepMs > 0:
		return "the clock was stepped"
	case o.Posts.Acknowledged < o.Posts.Intended:
		return fmt.Sprintf("%d of %d posts acknowledged", o.Posts.Acknowledged, o.Posts.Intended)
	case o.Others > mostOthers:
		return fmt.Sprintf("others used %.0f %% of the cores", 100*o.Others)
	case o.Posts.Intended == 0:
		return "nothing was posted"
	}
	return ""
}

func within(s *measure.Series, p report.Phase) (n int64) {
	if s == nil {
		return 0
	}
	width := millis(s.Width())
	for i, count := range s.Counts() {
		if at := float64(i) * width; at >= float64(p.FromMs) && at < float64(p.ToMs) {
			n += count
		}
	}
	return n
}

func latencyOf(h *measure.Histogram) Latency {
	at := func(p float64) float64 { return round(millis(h.Percentile(p))) }
	return Latency{at(10), at(50), at(90), at(99), at(99.9), round(millis(h.Max())), h.Count()}
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// finite is a time that may be never, which no figure is made of.
func finite(m report.Millis) float64 {
	if m.Infinite() {
		return 0
	}
	return round(float64(m))
}

// round keeps microseconds of milliseconds, so that a file of observations is one that people can read.
func round(v float64) float64 { return float64(int64(v*1000+0.5)) / 1000 }

// Append writes an observation at the end of the file in a directory, which is on the disk when it returns. A line that was cut off there is gone then.
func Append(dir string, o Observation) error {
	line, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("write observation: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, ObservationsFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("write observation: %w", err)
	}
	before, err := io.ReadAll(f)
	if err == nil {
		ends := int64(bytes.LastIndexByte(before, '\n') + 1)
		err = f.Truncate(ends)
		if err == nil {
			_, err = f.WriteAt(append(line, '\n'), ends)
		}
	}
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write observation: %w", err)
	}
	return nil
}

// ReadObservations reads those of a directory, none if there is no file yet. A last line that was cut off is left out, since its run is done again.
func ReadObservations(dir string) ([]Observation, error) {
	path := filepath.Join(dir, ObservationsFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read observations: %w", err)
	}
	defer f.Close()
	var out []Observation
	var cut error
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		if cut != nil {
			return nil, cut
		}
		var o Observation
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			cut = fmt.Errorf("read observations: %s:%d is no observation: %w; delete the line, and its run is done again", path, n, err)
			continue
		}
		if o.Schema != Schema {
			return nil, fmt.Errorf("read observations: %s:%d has the schema %q; this program reads %q", path, n, o.Schema, Schema)
		}
		out = append(out, o)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read observations: %s: %w", path, err)
	}
	return out, nil
}

// ofGrid leaves out what was observed of a point that is not in a grid, or is another one there now.
func ofGrid(all []Observation, points []Point) (out []Observation) {
	byName := map[string]Point{}
	for _, p := range points {
		byName[p.Name] = p
	}
	for _, o := range all {
		if p, ok := byName[o.Point.Name]; ok && reflect.DeepEqual(p, o.Point) {
			out = append(out, o)
		}
	}
	return out
}

// UsableOf are the samples that there are of a grid.
func UsableOf(points []Point, all []Observation) []Observation { return Usable(ofGrid(all, points)) }

// Usable leaves out what is no sample. Of a point that was run more than once the last usable run counts.
func Usable(all []Observation) []Observation {
	at := map[string]int{}
	var out []Observation
	for _, o := range all {
		if o.Unusable != "" {
			continue
		}
		if i, seen := at[o.Point.Name]; seen {
			out[i] = o
			continue
		}
		at[o.Point.Name] = len(out)
		out = append(out, o)
	}
	return slices.Clip(out)
}
