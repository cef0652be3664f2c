package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// RenderComparison writes a comparison as a table in Markdown, which people can read as it stands, and what follows from it in a line.
func RenderComparison(w io.Writer, c Comparison) error {
	var text strings.Builder
	fmt.Fprintf(&text, "| | A: %s, %s | B: %s, %s | B against A | interval | finding |\n|---|---|---|---|---|---|\n", c.A.Scenario, c.A.Verdict, c.B.Scenario, c.B.Verdict)
	for _, r := range c.Rows {
		change, interval, finding := "–", "–", "–"
		if r.Change != nil {
			change = fmt.Sprintf("%+.1f %%", 100**r.Change)
		}
		if e := r.Effect; e != nil {
			interval = c.intervalText(e)
		}
		if r.Finding != "" {
			finding = string(r.Finding)
		}
		fmt.Fprintf(&text, "| %s | %s | %s | %s | %s | %s |\n", r.Name, r.A, r.B, change, interval, finding)
	}
	fmt.Fprintf(&text, "\n%s: %s.\n", c.Verdict, c.conclusion())
	if !c.Paired {
		text.WriteString("The runs had other broadcasts or another seed, so that nothing pairs them and the intervals are wider: give both the same seed.\n")
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func (c Comparison) intervalText(e *verdict.Effect) string {
	return fmt.Sprintf("%+.1f to %+.1f %%, %d %s", 100*e.Low, 100*e.High, e.Pairs, map[bool]string{true: "pairs", false: "blocks"}[c.Paired])
}

func (c Comparison) conclusion() string {
	if c.Verdict == verdict.Pass {
		better := ""
		for _, r := range c.Rows {
			if r.Finding == verdict.Better {
				better += fmt.Sprintf("; %s is better by %.1f %% at least", r.Name, -100*r.Effect.High)
			}
		}
		return fmt.Sprintf("nothing that is judged is worse by %.3g %% or more%s", 100*c.LeastEffect, better)
	}
	return strings.Join(c.Reasons, "; ")
}
