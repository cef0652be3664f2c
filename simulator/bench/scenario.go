package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Fleet is what came of a scenario's broadcasts, beside the floor on the same machine just before and just after: more sockets than a process may have, so that no
// target of the table can have them.
type Fleet struct {
	Machine string `json:"machine"`
	// Floor is time to the last subscriber of the target Target, of each single post, milliseconds; of Sessions subscribers.
	Target   string    `json:"target"`
	Sessions int       `json:"sessions"`
	Floor    []float64 `json:"floorLastMs"`
	Verdict  string    `json:"verdict"`
	Label    string    `json:"scenario"`
	// Recipients of each of the scenario's broadcasts, and when the last had it, milliseconds.
	Recipients int64     `json:"recipients"`
	Last       []float64 `json:"lastMs"`
	Lost       int64     `json:"lost"`
	// Predicted is the floor's median times as many subscribers, milliseconds; Ratio what the median of Last is of it.
	Predicted float64 `json:"predictedMs"`
	Ratio     float64 `json:"ratio"`
}

// besideFloor plays a scenario between two measurements of the floor.
func (p protocol) besideFloor(ctx context.Context, floor kind, simulator, scenario, out string) error {
	f := Fleet{Machine: machine(), Target: floor.name, Sessions: p.sessions, Label: scenario}
	measure := func() error {
		r, err := p.run(ctx, []kind{floor})
		if err != nil {
			return err
		}
		for _, round := range r.Results[0].Rounds {
			if round.Posts == 1 {
				f.Floor = append(f.Floor, round.Last)
			}
		}
		return nil
	}
	if err := measure(); err != nil {
		return err
	}
	dir := filepath.Join(out, "scenario")
	play := exec.CommandContext(ctx, simulator, "run", scenario, "--plain", "--out", dir)
	play.Stdout, play.Stderr = os.Stdout, os.Stderr
	if err := play.Run(); err != nil {
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
			return fmt.Errorf("play %s: %w; `make build` makes the simulator", scenario, err)
		}
	}
	if err := measure(); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		return fmt.Errorf("%s has left no report: %w", scenario, err)
	}
	var what played
	if err := json.Unmarshal(text, &what); err != nil {
		return fmt.Errorf("read the report of %s: %w", scenario, err)
	}
	if err := f.compare(what); err != nil {
		return err
	}
	fmt.Printf("\n%s: %s\n%s: the last of %d subscribers after %.0f ms (median of %d); so %d in %.0f ms\n%s: the last of %d after %.0f ms (median of %d): × %.2f of that; lost %d\n",
		f.Machine, f.Verdict, f.Target, f.Sessions, median(f.Floor), len(f.Floor), f.Recipients, f.Predicted,
		f.Label, f.Recipients, median(f.Last), len(f.Last), f.Ratio, f.Lost)
	kept, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "fleet.json"), append(kept, '\n'), 0o644)
}

// played is what is of interest in a scenario's report.
type played struct {
	Verdict    string `json:"verdict"`
	Broadcasts []struct {
		Recipients int64 `json:"recipients"`
		Lost       int64 `json:"lost"`
		// nil: some never got it.
		TimeToLastMs *float64 `json:"timeToLastMs"`
	} `json:"broadcasts"`
}

// compare takes over what a scenario's report says of its broadcasts.
func (f *Fleet) compare(p played) error {
	if len(p.Broadcasts) == 0 || p.Broadcasts[0].Recipients == 0 {
		return fmt.Errorf("%s has no broadcast to compare", f.Label)
	}
	f.Verdict = p.Verdict
	f.Recipients = p.Broadcasts[0].Recipients
	for _, b := range p.Broadcasts {
		f.Recipients = min(f.Recipients, b.Recipients)
		f.Lost += b.Lost
		if b.TimeToLastMs == nil {
			return fmt.Errorf("%s: a broadcast has not reached everybody; the report beside this says more", f.Label)
		}
		f.Last = append(f.Last, *b.TimeToLastMs)
	}
	f.Predicted = median(f.Floor) * float64(f.Recipients) / float64(f.Sessions)
	f.Ratio = median(f.Last) / f.Predicted
	return nil
}
