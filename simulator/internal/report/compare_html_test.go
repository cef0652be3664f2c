package report

import (
	"io"
	"math"
	"strings"
	"testing"
)

// The page of a comparison needs nothing else, and says what the table says.
func TestTheComparisonAsAPage(t *testing.T) {
	a, b := broadcastRun(12, 1, constant(100)), broadcastRun(12, 1, constant(130))
	c, err := Compare(a, b, CompareOptions{LeastEffect: 0.05})
	if err != nil {
		t.Fatal(err)
	}
	page := render(t, func(w io.Writer, _ Report) error { return RenderComparisonHTML(w, c) }, Report{})
	d := parse(t, page)
	if len(d.scripts)+len(d.links) != 0 || len(d.styles) != 1 {
		t.Errorf("%d scripts, %d links, %d styles", len(d.scripts), len(d.links), len(d.styles))
	}
	for _, want := range []string{"Fail", "+30.0 %", "worse", "least effect that matters: 5 %", "compared block by block"} {
		if !strings.Contains(d.text, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if strings.Contains(d.text, "%!") || strings.Contains(page, "NaN") {
		t.Error("it shows what is no figure")
	}
	p := comparePageOf(c)
	if middle := p.BandLeft + p.BandWidth/2; math.Abs(middle-50) > 1e-9 || p.BandWidth <= 0 {
		t.Errorf("no change is at %g, in a band of %g", middle, p.BandWidth)
	}
	for _, e := range p.Effects {
		if e.Left < 0 || e.Left+e.Width > 100.5 || e.At < e.Left-.5 || e.At > e.Left+e.Width+.5 {
			t.Errorf("%+v is off the axis", e)
		}
		if e.Finding == "worse" && e.Left <= p.BandLeft+p.BandWidth {
			t.Errorf("%+v is worse and in the band of what does not matter, to %g", e, p.BandLeft+p.BandWidth)
		}
	}
}
