// Package prices is what a provider asks for what a fleet uses: a strict YAML file of its own, since everybody's differ and they change. The one that is
// embedded is an example, so that a plan can be made in a clean clone, and says that it is one. `simulator plan` reads it; this package multiplies nothing.
package prices

import (
	_ "embed"
	"fmt"
	"math"

	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/document"
)

const (
	// APIVersion is the version of the format.
	APIVersion = "chatfleet.io/prices/v1"
	// Kind is what such a document is.
	Kind = "Prices"
)

// List is what one provider asks.
type List struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Whose they are, for people.
	Name string `json:"name"`
	// The day on which they were so.
	Date calibration.Date `json:"date"`
	// The currency of all of them, such as USD.
	Currency string `json:"currency"`
	// For a core and for a GiB of memory, an hour.
	CoreHour float64 `json:"coreHour"`
	GiBHour  float64 `json:"gibHour"`
	// For 10⁹ bytes that leave the fleet to its sessions.
	EgressGB float64 `json:"egressGB"`
}

//go:embed example.yaml
var example []byte

// Example is the list that ships with the project. It is nobody's.
func Example() List {
	l, err := document.Parse("the example prices", example, List.problems)
	if err != nil {
		panic(err) // a file of the program; a test reads it
	}
	return l
}

// Load reads the list in a file. What is wrong with it is said with its line, where it has one.
func Load(path string) (List, error) { return document.Load("prices", path, List.problems) }

func (l List) problems() []string {
	var out []string
	wrong := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if l.APIVersion != APIVersion || l.Kind != Kind {
		wrong("it is %q %q; this program reads %s %s", l.APIVersion, l.Kind, APIVersion, Kind)
	}
	if l.Name == "" {
		wrong("name is missing: whose prices they are")
	}
	if l.Date.IsZero() {
		wrong("date is missing: the day on which they were so, such as 2026-11-30")
	}
	if l.Currency == "" {
		wrong("currency is missing, such as USD")
	}
	for _, p := range []struct {
		name  string
		value float64
	}{{"coreHour", l.CoreHour}, {"gibHour", l.GiBHour}, {"egressGB", l.EgressGB}} {
		if !(p.value > 0) || math.IsInf(p.value, 0) {
			wrong("%s must be above 0; it is missing or %g", p.name, p.value)
		}
	}
	return out
}
