package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/chatfleet/chatfleet/e2e/internal/load"
)

// Row is what came of one case.
type Row struct {
	Case    string  `json:"case"`
	Passed  bool    `json:"passed"`
	Seconds float64 `json:"seconds"`

	// Absent in cases without a load of their own.
	Sessions   int         `json:"sessions"`
	Posts      int         `json:"posts"`
	Deliveries int         `json:"deliveries"`
	Faults     load.Faults `json:"faults"`
	// Hanging says what did not come to an end.
	Hanging []string `json:"hanging,omitempty"`

	// Hinted sessions were sent away with the word when to come back, Cut ones without.
	Hinted     int      `json:"hinted"`
	Cut        int      `json:"cut"`
	CutReasons []string `json:"cutReasons,omitempty"`
	// Most sessions that were sent away within five seconds, a second, and what was allowed.
	HintedPerSecond float64 `json:"hintedPerSecond"`
	PacePerSecond   int     `json:"pacePerSecond"`

	// The longest of all, seconds: from when a post was due until a device had it, until its author had the acknowledgement, and what a device was without a session.
	LongestWait float64 `json:"longestWaitSeconds"`
	LongestPost float64 `json:"longestPostSeconds"`
	LongestAway float64 `json:"longestAwaySeconds"`
	// The longest time that the load itself was held up, seconds: other figures may be so much too long, and a pace counted over five seconds was over so many more.
	HeldUp float64 `json:"heldUpSeconds"`
	// Bound of LongestWait, seconds. Beyond five times this the case fails.
	Bound float64 `json:"boundSeconds"`
	// Notes are figures of this case alone.
	Notes []string `json:"notes,omitempty"`

	hinted []time.Time
}

// paceWindow is how long sessions that are sent away are counted over.
const paceWindow = 5 * time.Second

func (r *Row) take(got load.Report, pace int) {
	r.Sessions, r.Posts, r.Deliveries, r.Faults, r.Hanging = got.Sessions, got.Posts, got.Deliveries, got.Faults, got.Hanging
	r.Hinted, r.Cut, r.CutReasons = len(got.Hinted), len(got.Cut), got.CutReasons
	r.HintedPerSecond, r.PacePerSecond = float64(load.Pace(got.Hinted, paceWindow))/paceWindow.Seconds(), pace
	for _, longest := range got.Longest {
		if longest != "" {
			r.Notes = append(r.Notes, "longest: "+longest)
		}
	}
	r.LongestWait, r.LongestPost, r.LongestAway = got.LongestWait.Seconds(), got.LongestPost.Seconds(), got.LongestAway.Seconds()
	r.HeldUp, r.hinted = got.HeldUp.Seconds(), got.Hinted
}

// allowed is the pace that may be seen: some more than is set, since a shard makes up for a late tick, and since a load that was held up has seen the hints of a longer
// time.
func (r *Row) allowed() float64 {
	return float64(r.PacePerSecond) * 1.1 * (1 + r.HeldUp/paceWindow.Seconds())
}

// bySecond is how many were sent away in each second of the case.
func (r *Row) bySecond() []int {
	if len(r.hinted) == 0 {
		return nil
	}
	first, last := slices.MinFunc(r.hinted, time.Time.Compare), slices.MaxFunc(r.hinted, time.Time.Compare)
	counts := make([]int, int(last.Sub(first).Seconds())+1)
	for _, at := range r.hinted {
		counts[int(at.Sub(first).Seconds())]++
	}
	return counts
}

// Table is all rows of a run, in their order.
type Table struct {
	Begun   time.Time `json:"begun"`
	Cluster string    `json:"cluster"`
	Rows    []Row     `json:"rows"`
}

var columns = []string{"case", "", "s", "sessions", "posts", "deliveries", "lost", "doubled", "disordered", "resets", "hinted", "most/s", "cut", "wait s", "bound s", "post s", "away s", "held up s"}

func (r Row) cells() []string {
	word := "FAIL"
	switch {
	case r.Passed && r.LongestWait > r.Bound:
		word = "slow"
	case r.Passed:
		word = "ok"
	}
	cells := []string{r.Case, word, fmt.Sprintf("%.0f", r.Seconds)}
	if r.Sessions == 0 {
		for len(cells) < len(columns) {
			cells = append(cells, "–")
		}
		return cells
	}
	number := func(n int) string { return fmt.Sprint(n) }
	return append(cells, number(r.Sessions), number(r.Posts), number(r.Deliveries), number(r.Faults.Lost), number(r.Faults.Doubled), number(r.Faults.Disordered), number(r.Faults.Resets),
		number(r.Hinted), fmt.Sprintf("%.0f/%d", r.HintedPerSecond, r.PacePerSecond), number(r.Cut),
		fmt.Sprintf("%.2f", r.LongestWait), fmt.Sprintf("%.1f", r.Bound), fmt.Sprintf("%.2f", r.LongestPost), fmt.Sprintf("%.2f", r.LongestAway),
		fmt.Sprintf("%.2f", r.HeldUp))
}

// Text is the table for a terminal.
func (t Table) Text() string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(columns, "\t"))
	for _, r := range t.Rows {
		fmt.Fprintln(w, strings.Join(r.cells(), "\t"))
	}
	_ = w.Flush() // to a string
	for _, r := range t.Rows {
		for _, note := range r.Notes {
			fmt.Fprintf(&out, "%s: %s\n", r.Case, note)
		}
	}
	return out.String()
}

// Markdown is the table for a page.
func (t Table) Markdown() string {
	var out strings.Builder
	line := func(cells []string) { fmt.Fprintf(&out, "| %s |\n", strings.Join(cells, " | ")) }
	line(columns)
	line(strings.Split(strings.Repeat("---,", len(columns)-1)+"---", ","))
	for _, r := range t.Rows {
		line(r.cells())
	}
	for _, r := range t.Rows {
		for _, note := range r.Notes {
			fmt.Fprintf(&out, "\n- %s: %s", r.Case, note)
		}
	}
	return strings.TrimRight(out.String(), "\n") + "\n"
}

// Write keeps the table in a directory, as table.json and table.md.
func (t Table) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("keep the table: %w", err)
	}
	text, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"table.json": append(text, '\n'), "table.md": []byte(t.Markdown())} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return fmt.Errorf("keep the table: %w", err)
		}
	}
	return nil
}
