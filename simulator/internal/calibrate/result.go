package calibrate

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/plain"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
)

// ResultSchema names the format of a calibration's report.json.
const ResultSchema = "chatfleet.io/calibration-report/v1"

// Result is all that a calibration found out.
type Result struct {
	Schema  string    `json:"schema"`
	Machine Machine   `json:"machine"`
	Commit  string    `json:"commit"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Seed    uint64    `json:"seed"`
	// Every held-out figure is within Target.
	Within bool `json:"within"`
	// Without any held-out run nobody knows.
	Tested bool `json:"tested"`
	// What a reader has to know before anything else: what is missing, what was left out, what disagrees.
	Warnings []string  `json:"warnings"`
	HeldOut  []HeldOut `json:"heldOut"`
	Fit      Fit       `json:"fit"`
	Law      *USL      `json:"law,omitempty"`
	// The runs, fitted and held out, and those that were no sample.
	Runs        []RunLine `json:"runs"`
	LeftOut     []RunLine `json:"leftOut"`
	Points      []Point   `json:"points"`
	Decades     float64   `json:"decades"`
	calibration calibration.Calibration
}

// RunLine is a run, by name.
type RunLine struct {
	Name string    `json:"name"`
	At   time.Time `json:"at"`
	// Share of the cores that others used.
	Others float64 `json:"others"`
	Why    string  `json:"why,omitempty"`
}

// Calibration is what came of it.
func (r Result) Calibration() calibration.Calibration { return r.calibration }

// The least that a grid must have so that its report does not warn.
const (
	wantSizes   = 6
	wantDecades = 1.5
	wantRepeats = 5
	wantRuns    = 5
)

// Conclude fits to the observations of a grid, beginning with base and with others (Run), and holds the fit against what was held out. It runs nothing and knows no clock: the same observations give
// the same result.
func Conclude(base calibration.Calibration, others []calibration.Calibration, points []Point, all []Observation, seed uint64) (Result, error) {
	strange := len(all)
	all = ofGrid(all, points)
	strange -= len(all)
	// The order in which they were run changes nothing, not even the last bit.
	slices.SortStableFunc(all, func(a, b Observation) int { return cmp.Compare(a.Point.Name, b.Point.Name) })
	usable := Usable(all)
	if len(usable) == 0 {
		return Result{}, errors.New("there is no usable observation; run the grid first")
	}
	if err := sameMachine(usable); err != nil {
		return Result{}, err
	}
	r := Result{Schema: ResultSchema, Machine: usable[0].Machine, Commit: usable[0].Commit, Seed: seed, Points: points, Warnings: []string{}, LeftOut: []RunLine{}}
	base.Machine = calibration.Machine{Description: r.Machine.String(), Cores: float64(r.Machine.Cores)}
	var fitted []Observation
	for _, o := range usable {
		if !o.Point.HeldOut {
			fitted = append(fitted, o)
		}
		r.Runs = append(r.Runs, RunLine{o.Point.Name, o.At, o.Others, ""})
		if r.From.IsZero() || o.At.Before(r.From) {
			r.From = o.At
		}
		if o.At.After(r.To) {
			r.To = o.At
		}
	}
	slices.SortStableFunc(r.Runs, func(a, b RunLine) int { return a.At.Compare(b.At) })
	for _, o := range all {
		if o.Unusable != "" {
			r.LeftOut = append(r.LeftOut, RunLine{o.Point.Name, o.At, o.Others, o.Unusable})
		}
	}
	if strange > 0 {
		r.warn("%d observations are of other points than the grid has, and are left out", strange)
	}
	var err error
	if r.Fit, err = Run(base, others, fitted, seed); err != nil {
		return Result{}, err
	}
	if law, err := FitUSL(fitted, lawBytes, seed); err == nil {
		r.Law = &law
	} else {
		r.warn("no Universal Scalability Law: %v", err)
	}
	return r.held(base, fitted, usable)
}

// held is a result whose fit is held against what it did not see.
func (r Result) held(base calibration.Calibration, fitted, usable []Observation) (Result, error) {
	var err error
	if r.HeldOut, err = holdOut(r.Fit, r.Law, usable); err != nil {
		return Result{}, err
	}
	r.judge(fitted, usable)
	r.calibration = r.file(base, fitted)
	return r, nil
}

// lawBytes is the size of the posts that the Universal Scalability Law is fitted to, which are those of the held-out runs.
const lawBytes = 200

func (r *Result) warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}

// judge says what is to be said of the result, the most important first.
func (r *Result) judge(fitted, usable []Observation) {
	r.Tested, r.Within = len(r.HeldOut) > 0, len(r.HeldOut) > 0
	for _, h := range r.HeldOut {
		if math.Abs(h.Error) > Target {
			r.Within = false
			r.warn("%s of a broadcast to %s: predicted %s, measured %s, %+.1f %%: more than %.0f %%", h.Figure, count(h.Sessions), millisecs(h.PredictedMs.Value), millisecs(h.MeasuredMs), 100*h.Error, 100*Target)
		}
		if h.Disagree() {
			r.warn("%s of a broadcast to %s: the model (%s) and the Universal Scalability Law (%s) exclude each other", h.Figure, count(h.Sessions), h.PredictedMs.ms(), h.LawMs.ms())
		}
		if h.Runs < wantRuns {
			r.warn("%s of a broadcast to %s is the median of %d runs; %d are wanted", h.Figure, count(h.Sessions), h.Runs, wantRuns)
		}
	}
	if !r.Tested {
		r.warn("no run was held out, so nobody knows how good the fit is; every forecast of it is of grade D")
	}
	var sizes []int
	for _, o := range fitted {
		if len(o.Broadcasts) > 0 && !slices.Contains(sizes, o.Point.Sessions) {
			sizes = append(sizes, o.Point.Sessions)
		}
		if o.Point.Repeats > 0 && o.Point.Repeats < wantRepeats {
			r.warn("%s has %d broadcasts of each size; %d are wanted", o.Point.Name, o.Point.Repeats, wantRepeats)
		}
	}
	var points []Point
	for _, o := range fitted {
		points = append(points, o.Point)
	}
	if r.Decades = decades(points); len(sizes) < wantSizes || r.Decades < wantDecades {
		r.warn("the fit is of %d sizes over %.1f decades; %d sizes over %.1f are wanted", len(sizes), r.Decades, wantSizes, wantDecades)
	}
	has := map[string]bool{}
	for _, o := range usable {
		has[o.Point.Name] = true
	}
	var missing []string
	for _, p := range r.Points {
		if !has[p.Name] {
			missing = append(missing, p.Name)
		}
	}
	if len(missing) > 0 {
		r.warn("%d points of the grid have no sample: %s", len(missing), strings.Join(missing, ", "))
	}
}

// group is the fitted figures of one name.
type group struct {
	name   string
	n      int
	median float64
	worst  Figure
}

func groupsOf(all []Figure) (out []group) {
	byName := map[string][]Figure{}
	var names []string
	for _, f := range all {
		name := f.Name
		if f.Bytes > 0 {
			name = fmt.Sprintf("%s, %d B", f.Name, f.Bytes)
		}
		if byName[name] == nil {
			names = append(names, name)
		}
		byName[name] = append(byName[name], f)
	}
	slices.Sort(names)
	for _, name := range names {
		g := group{name: name, n: len(byName[name])}
		var errs []float64
		for _, f := range byName[name] {
			errs = append(errs, f.Error())
			if math.Abs(f.residual()) >= math.Abs(g.worst.residual()) || g.worst.Name == "" {
				g.worst = f
			}
		}
		g.median = median(errs)
		out = append(out, g)
	}
	return out
}

// sameMachine refuses observations that cannot be of one fit.
func sameMachine(all []Observation) error {
	for _, o := range all[1:] {
		switch {
		case o.Machine != all[0].Machine:
			return fmt.Errorf("%s was on %s and %s on %s: a calibration is of one machine; use another --out", all[0].Point.Name, all[0].Machine, o.Point.Name, o.Machine)
		case o.Commit != all[0].Commit:
			return fmt.Errorf("%s is of commit %s and %s of %s: a calibration is of one chatd; use another --out", all[0].Point.Name, all[0].Commit, o.Point.Name, o.Commit)
		}
	}
	return nil
}

// command is how the runs come about.
const command = "simulator calibrate"

// file is the calibration with what was fitted in it; the rest is the base's, and says so.
func (r Result) file(base calibration.Calibration, fitted []Observation) calibration.Calibration {
	c := r.Fit.Calibration
	c.Name = fmt.Sprintf("fitted to %d runs", len(fitted))
	c.Machine, c.Commit, c.Date = base.Machine, r.Commit, calibration.Date{Time: r.To.UTC().Truncate(24 * time.Hour)}
	c.Notes = fmt.Sprintf("By %s, seed %d: %d runs fitted, %d held out, %d left out. What was not fitted is taken over from %q.",
		command, r.Seed, len(fitted), len(r.Runs)-len(fitted), len(r.LeftOut), base.Name)
	c.HoldOut, c.UntestedError = nil, 0
	for _, h := range r.HeldOut {
		c.HoldOut = append(c.HoldOut, h.forCalibration())
	}
	if len(c.HoldOut) == 0 {
		c.UntestedError = untested
	}
	c.Measured = ranges(base, fitted)
	c.Coefficients = slices.Clone(c.Coefficients)
	for i := range c.Coefficients {
		k := &c.Coefficients[i]
		for _, p := range r.Fit.Parameters {
			if p.Name == k.Name {
				k.Value, k.StandardError, k.Basis = digits(p.Value), digits(p.StandardError), calibration.Fitted
				k.Source = fmt.Sprintf("%s; 95 %%: %s to %s", command, number(p.Low), number(p.High))
			}
		}
	}
	return c
}

// untested is what a model may be wrong by that was held against nothing: a convention.
const untested = 0.5

// ranges is how far the fitted runs went. What the grid does not vary is the base's.
func ranges(base calibration.Calibration, fitted []Observation) []calibration.Range {
	out := slices.Clone(base.Measured)
	for i := range out {
		least, most := math.Inf(1), 0.0
		for _, o := range fitted {
			for _, v := range asked(o.Point, out[i].Dimension) {
				least, most = min(least, v), max(most, v)
			}
		}
		if most > 0 {
			out[i].From, out[i].To, out[i].Source = digits(least), digits(most), command
		}
	}
	return out
}

// asked is what a point has of a dimension.
func asked(p Point, d calibration.Dimension) []float64 {
	switch d {
	case calibration.Sessions:
		return []float64{float64(p.Sessions)}
	case calibration.SessionsPerShard:
		return []float64{math.Ceil(float64(p.Sessions) / float64(p.Shards))}
	case calibration.Shards:
		return []float64{float64(p.Shards)}
	case calibration.Stores:
		return []float64{float64(p.Stores)}
	case calibration.MessageBytes:
		var out []float64
		for _, b := range p.Bytes {
			out = append(out, float64(b))
		}
		return out
	case calibration.PostsPerSecond:
		if p.PostsPerSecond > 0 {
			return []float64{p.PostsPerSecond}
		}
		return []float64{1 / p.spacing().Seconds()}
	}
	return nil
}

// digits keeps four significant ones.
func digits(v float64) float64 {
	if v == 0 {
		return 0
	}
	scale := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}

func number(v float64) string { return fmt.Sprintf("%.4g", v) }

// ms writes a time with its interval.
func (i Interval) ms() string { return millisecs(i.Value) + ", " + between(i.Low, i.High) }

func between(low, high float64) string { return millisecs(low) + " to " + millisecs(high) }

func millisecs(ms float64) string { return plain.Millis(report.Millis(ms)) }

func count(n int) string { return plain.Count(int64(n)) }
