package report

import (
	"strings"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// What a delay did is in the page, for those whom it was of and for the others; where nothing was delivered there is no figure.
func TestDelaysAreInThePage(t *testing.T) {
	of := func(d time.Duration, n int64) *measure.Histogram {
		h := measure.NewHistogram()
		h.RecordN(d, n)
		return h
	}
	kill := fault(verdict.Fault{Name: "kill"})
	delay := fault(verdict.Fault{Name: "far", Action: "delay", At: time.Second, BackAt: 3 * time.Second, Delay: &verdict.Delay{
		By: 300 * time.Millisecond, Jitter: 100 * time.Millisecond, Sessions: 1200,
		Far: of(400*time.Millisecond, 1500), Others: of(20*time.Millisecond, 6000), FarElse: of(30*time.Millisecond, 9), OthersElse: measure.NewHistogram(),
	}})
	rows := delayRows([]Fault{kill, delay})
	if len(rows) != 1 {
		t.Fatalf("%d rows", len(rows))
	}
	got := strings.Join([]string{rows[0].What, rows[0].Whom, rows[0].Deliveries, rows[0].P50, rows[0].ElseP50, rows[0].OthersCount, rows[0].OthersP50, rows[0].OthersElseP50}, "|")
	if want := "far|" + countText(1200) + " sessions, " + timeText(300) + " to " + timeText(400) + " each way|" + countText(1500) + "|" + timeText(400) + "|" + timeText(30) + "|" + countText(6000) + "|" + timeText(20) + "|–"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
