package report

import (
	"errors"
	"io"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/chatfleet/chatfleet/simulator/internal/measure"
)

// RenderHLog writes the histograms in HdrHistogram's interval log format 1.3: one interval, the measure phase, with a tag for
// each. Values are microseconds.
func RenderHLog(w io.Writer, r Report) error {
	log := hdrhistogram.NewHistogramLogWriter(w)
	start := int64(0)
	if !r.StartedAt.IsZero() { // What was modelled began at no moment.
		start = r.StartedAt.UnixMilli()
	}
	err := errors.Join(
		log.OutputComment("[chatfleet "+r.Scenario+": microseconds; lost ones are not in it; Interval_Max is in seconds]"),
		log.OutputLogFormatVersion(),
		log.OutputStartTime(start),
		log.OutputLegend(),
	)
	if err != nil {
		return err
	}
	from, to := Millis(0), r.DurationMs
	for _, p := range r.Phases {
		if p.Name == PhaseMeasure {
			from, to = p.FromMs, p.ToMs
		}
	}
	log.SetBaseTime(start)
	for _, one := range []struct {
		tag  string
		what *measure.Histogram
	}{
		{"delivery", r.Histograms.Delivery},
		{"response", r.Histograms.Response},
		{"service", r.Histograms.Service},
		{"sendLag", r.Histograms.SendLag},
	} {
		h := one.what.HDR()
		h.SetTag(one.tag)
		h.SetStartTimeMs(start + int64(from))
		h.SetEndTimeMs(start + int64(to))
		if err := log.OutputIntervalHistogram(h); err != nil {
			return err
		}
	}
	return nil
}
