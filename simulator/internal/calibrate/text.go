package calibrate

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// RenderText writes the result for people: how good it is first.
func RenderText(w io.Writer, r Result) error {
	fmt.Fprintf(w, "machine      %s; chatd of commit %s\n", r.Machine, r.Commit)
	fmt.Fprintf(w, "runs         %d, of which %d were left out; fitted: sizes over %.1f decades; mean square error %.2f tolerances², loss %.4g after %d steps\n\n",
		len(r.Runs)+len(r.LeftOut), len(r.LeftOut), r.Decades, r.Fit.MeanSquare, r.Fit.Loss, r.Fit.Steps)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(r.HeldOut) > 0 {
		fmt.Fprintln(t, "held out\tfigure\tmeasured, median of runs\tleast to largest\tpredicted\t95 %\terror\tUniversal Scalability Law")
	}
	for _, h := range r.HeldOut {
		law := "–"
		if h.LawMs != nil {
			law = h.LawMs.ms()
		}
		fmt.Fprintf(t, "%s\t%s\t%s, %d\t%s\t%s\t%s\t%+.1f %%\t%s\n", count(h.Sessions), h.Figure, millisecs(h.MeasuredMs), h.Runs, between(h.LeastMs, h.LargestMs),
			millisecs(h.PredictedMs.Value), between(h.PredictedMs.Low, h.PredictedMs.High), 100*h.Error, law)
	}
	fmt.Fprintln(t, "\nparameter\tvalue\t95 %\tis")
	for _, p := range r.Fit.Parameters {
		k := r.calibration.Get(p.Name)
		fmt.Fprintf(t, "%s\t%s %s\t%s to %s\t%s\n", p.Name, number(p.Value), k.Unit, number(p.Low), number(p.High), p.Name.Help())
	}
	if u := r.Law; u != nil {
		fmt.Fprintf(t, "\nUniversal Scalability Law\tλ %s deliveries/s\tσ %s\tκ %s\t%d broadcasts of %d runs\n", u.Lambda.text(), u.Sigma.text(), u.Kappa.text(), u.Broadcasts, u.Runs)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i, warning := range r.Warnings {
		if i == 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "note         %s\n", warning)
	}
	_, err := fmt.Fprintf(w, "\n%s\n", r.Finding())
	return err
}

// Finding is the result in a line.
func (r Result) Finding() string {
	worst, ok := r.calibration.Worst()
	switch {
	case !ok:
		return "UNTESTED: no run was held out"
	case r.Within:
		return fmt.Sprintf("WITHIN %.0f %%: the worst held-out error is %+.1f %%, %s", 100*Target, 100*worst.Error(), worst.Figure)
	default:
		return fmt.Sprintf("BEYOND %.0f %%: the worst held-out error is %+.1f %%, %s; every forecast gets a grade less and an interval as wide", 100*Target, 100*worst.Error(), worst.Figure)
	}
}

func (i Interval) text() string {
	return fmt.Sprintf("%s (%s to %s)", number(i.Value), number(i.Low), number(i.High))
}
