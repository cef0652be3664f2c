package command

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// writeRun writes the report of a run of eight broadcasts, two seconds apart, with so many microseconds of processor time a delivery.
func writeRun(t *testing.T, label string, micros ...int64) string {
	t.Helper()
	r := report.Report{
		Schema: report.Schema, Label: label, Spec: &v1alpha1.Scenario{Name: "x", Outputs: []v1alpha1.Output{}},
		Phases: []report.Phase{report.MakePhase(report.PhaseMeasure, 0, 16*time.Second)},
		Series: report.Series{CPUMicros: measure.NewSeries(0), Delivered: measure.NewSeries(0)},
	}
	for i := range 8 {
		at := time.Duration(i) * 2 * time.Second
		r.Broadcasts = append(r.Broadcasts, report.Broadcast{AtMs: report.Millis(at.Milliseconds())})
		r.Series.Delivered.Add(at, 1000)
		r.Series.CPUMicros.Add(at, 1000*micros[i%len(micros)])
	}
	dir := t.TempDir()
	if err := report.Write(dir, r); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What comes of a comparison is its exit code.
func TestCompareExitCodes(t *testing.T) {
	base := writeRun(t, report.Measured, 100)
	for _, tt := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"the same", []string{base}, verdict.ExitPass, "Pass: nothing that is judged is worse by 5 % or more."},
		{"a tenth more", []string{writeRun(t, report.Measured, 110)}, verdict.ExitFail, "Fail: processor time a delivery: +10.0 %, at least +10.0 %."},
		{"a tenth more, which is no matter", []string{writeRun(t, report.Measured, 110), "--least-effect", "0.2"}, verdict.ExitPass, "worse by 20 % or more."},
		{"less", []string{writeRun(t, report.Measured, 80)}, verdict.ExitPass, "is better by 20.0 % at least."},
		{"now more, now less", []string{writeRun(t, report.Measured, 70, 140)}, verdict.ExitInconclusive, "Inconclusive: processor time a delivery: the interval"},
		{"no times", []string{base, "--metric", "timeTo999"}, verdict.ExitInconclusive, "timeTo999 is not known in A and B: no broadcast came to everybody"},
		{"modelled", []string{writeRun(t, "modelled", 100)}, verdict.ExitUsage, "label is measured in A and modelled in B"},
		{"no such figure", []string{base, "--metric", "speed"}, verdict.ExitUsage, `no figure "speed"`},
		{"no share", []string{base, "--least-effect", "5"}, verdict.ExitUsage, "--least-effect: \"5\" is no share above 0 and below 1; write 5% or 0.05"},
		{"no report", []string{t.TempDir()}, verdict.ExitUsage, "read report"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			code := Main(append([]string{"compare", base}, tt.args...), strings.NewReader(""), &out, &out)
			if code != tt.code || !strings.Contains(out.String(), tt.want) {
				t.Errorf("exit code %d, want %d with %q:\n%s", code, tt.code, tt.want, out.String())
			}
		})
	}
}

func TestShares(t *testing.T) {
	for _, tt := range []struct {
		text string
		want float64
	}{{"5%", 0.05}, {" 2.5 % ", 0.025}, {"0.1", 0.1}} {
		if got, err := parseShare(tt.text); err != nil || fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("%q: %g, %v", tt.text, got, err)
		}
	}
	for _, text := range []string{"", "%", "five", "0", "100%", "-5%", "NaN", "1"} {
		if got, err := parseShare(text); err == nil {
			t.Errorf("%q is %g", text, got)
		}
	}
}
