package calibration

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

const (
	// APIVersion is the version of the format.
	APIVersion = "chatfleet.io/calibration/v1"
	// Kind is what such a document is.
	Kind = "Calibration"
)

// Calibration is what is known of a fleet.
type Calibration struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Names it in reports.
	Name string `json:"name"`
	// Whose figures they are.
	Machine Machine `json:"machine"`
	// The commit of this project that was measured, and the day.
	Commit string `json:"commit"`
	Date   Date   `json:"date"`
	// What a reader should know besides.
	Notes string `json:"notes,omitempty"`
	// In what range the figures were measured. What is asked beyond is extrapolated.
	Measured []Range `json:"measured"`
	// One for each of Terms.
	Coefficients []Coefficient `json:"coefficients"`
	// Runs that the fit did not see, and how well it predicted them. Without any the model is untested.
	HoldOut []HeldOut `json:"holdOut,omitempty"`
	// What the model itself may be wrong by, as a share, where no run was held out. With held-out runs the worst of their errors takes its place.
	UntestedError float64 `json:"untestedError,omitempty"`
}

// Machine is where it was measured.
type Machine struct {
	Description string `json:"description"`
	// Cores, which fleet and generator shared.
	Cores float64 `json:"cores"`
}

// Range is how far something was varied while it was measured.
type Range struct {
	Dimension Dimension `json:"dimension"`
	From      float64   `json:"from"`
	To        float64   `json:"to"`
	Source    string    `json:"source"`
}

// Dimension is something that the size of an answer may depend on.
type Dimension string

// The dimensions, all of which a calibration must give.
const (
	// Sessions of a whole fleet, and of one shard.
	Sessions         Dimension = "sessions"
	SessionsPerShard Dimension = "sessionsPerShard"
	Shards           Dimension = "shards"
	Stores           Dimension = "stores"
	// The size of a post's content.
	MessageBytes Dimension = "messageBytes"
	// Posts a second over a whole fleet.
	PostsPerSecond Dimension = "postsPerSecond"
	// Sign-ins a second of a whole fleet.
	SignInsPerSecond Dimension = "signInsPerSecond"
)

// Dimensions are all dimensions, in the order in which people should meet them.
func Dimensions() []Dimension {
	return []Dimension{Sessions, SessionsPerShard, Shards, Stores, MessageBytes, PostsPerSecond, SignInsPerSecond}
}

// Basis is how a coefficient is known.
type Basis string

// The ways of knowing.
const (
	// Read from what a command prints.
	Measured Basis = "measured"
	// Computed from such figures, as its source says.
	Derived Basis = "derived"
	// Chosen by a fit to runs, so that the model comes nearest to them.
	Fitted Basis = "fitted"
	// Nobody measured it.
	Assumed Basis = "assumed"
)

// Coefficient is one figure that the model computes with.
type Coefficient struct {
	// One of Terms.
	Name Name `json:"name"`
	// In Unit, which is that of its term.
	Value float64 `json:"value"`
	Unit  Unit    `json:"unit"`
	// One standard error, in Unit.
	StandardError float64 `json:"standardError"`
	Basis         Basis   `json:"basis"`
	// The command that made it, or why it is assumed.
	Source string `json:"source"`
}

// HeldOut is one figure of a run that the fit did not see.
type HeldOut struct {
	// The command, and what figure of it.
	Run    string `json:"run"`
	Figure string `json:"figure"`
	// Sessions of the run.
	Sessions int64 `json:"sessions"`
	// In milliseconds; the measured one is the median of so many runs, between whose least and largest it lies.
	PredictedMs float64 `json:"predictedMs"`
	MeasuredMs  float64 `json:"measuredMs"`
	LeastMs     float64 `json:"leastMs"`
	LargestMs   float64 `json:"largestMs"`
	Runs        int     `json:"runs"`
}

// Error is how much too high the prediction was, as a share of what was measured; below 0 it was too low.
func (h HeldOut) Error() float64 { return h.PredictedMs/h.MeasuredMs - 1 }

// Worst returns the held-out figure with the largest error, up or down; ok is false if there is none.
func (c Calibration) Worst() (worst HeldOut, ok bool) {
	if len(c.HoldOut) == 0 {
		return HeldOut{}, false
	}
	return slices.MaxFunc(c.HoldOut, func(a, b HeldOut) int {
		return cmp.Compare(math.Abs(math.Log(a.PredictedMs/a.MeasuredMs)), math.Abs(math.Log(b.PredictedMs/b.MeasuredMs)))
	}), true
}

// Get returns a coefficient. One that is not there is a defect of who made the calibration: Read lets none through.
func (c Calibration) Get(name Name) Coefficient {
	i := slices.IndexFunc(c.Coefficients, func(k Coefficient) bool { return k.Name == name })
	if i < 0 {
		panic(fmt.Sprintf("calibration: there is no coefficient %q", name))
	}
	return c.Coefficients[i]
}

// SessionBytes is what a session takes of a shard's memory while nothing waits for it: of the process and of the kernel, as a container's limit counts it.
// What the kernel and the process hold for sessions that read too slowly comes on top.
func (c Calibration) SessionBytes(tls bool) float64 {
	each := c.Get(SessionMemory).Value + c.Get(SocketMemory).Value
	if tls {
		each += c.Get(TLSMemory).Value
	}
	return each
}

// Moved returns a copy in which one coefficient is off by so many standard errors. A cost stays above 0: it is multiplied by at least a fifth.
func (c Calibration) Moved(name Name, errors float64) Calibration {
	c.Coefficients = slices.Clone(c.Coefficients)
	for i := range c.Coefficients {
		if k := &c.Coefficients[i]; k.Name == name {
			k.Value = max(k.Value+float64(errors*k.StandardError), k.Value/5)
		}
	}
	return c
}

// Range returns how far a dimension was measured.
func (c Calibration) Range(d Dimension) Range {
	i := slices.IndexFunc(c.Measured, func(r Range) bool { return r.Dimension == d })
	if i < 0 {
		return Range{Dimension: d}
	}
	return c.Measured[i]
}

// Factor is how far a value lies beyond a range: 1 within it, 2 at twice its end or at half its beginning.
func (r Range) Factor(value float64) float64 {
	switch {
	case value <= 0:
		return 1
	case value > r.To:
		return value / r.To
	case value < r.From:
		return r.From / value
	}
	return 1
}

// Date is a day.
type Date struct{ time.Time }

// MarshalText writes it as 2006-01-02.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.Format(time.DateOnly)), nil }

// UnmarshalText reads what MarshalText wrote.
func (d *Date) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.DateOnly, string(text))
	if err != nil {
		return fmt.Errorf("%q is not a day; write it as 2026-11-30", text)
	}
	d.Time = t
	return nil
}
