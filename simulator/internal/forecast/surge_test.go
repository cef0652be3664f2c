package forecast

import (
	"math"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/calibration/calibrationtest"
	"github.com/chatfleet/chatfleet/simulator/internal/cascade"
	"github.com/chatfleet/chatfleet/simulator/internal/model/modeltest"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
)

func surgeOf(t *testing.T, replace ...string) report.Report {
	t.Helper()
	replace = append(replace, modeltest.Broadcasts, modeltest.Cascade, "measure: 20s", "measure: 2h", "subscribers: 4000", "subscribers: 4000\n  onlineShare: 0.5")
	return forecastOf(t, Config{Scenario: modeltest.Small(t, replace...), Calibration: calibrationtest.ByHand(), Seeds: 3})
}

// What people do is the study's, whatever the fleet is; and the fleet delivers what they post, each case by itself.
func TestPeopleAndFleetStayApart(t *testing.T) {
	r := surgeOf(t)
	p := r.Cascade.Study.Params
	alone, err := cascade.Study(p)
	if err != nil {
		t.Fatal(err)
	}
	deliveries := 0
	for i, cell := range alone.Cells {
		for _, post := range cell.Posts {
			deliveries += post.Online
		}
		got := r.Cascade.Study.Cells[i]
		if got.Forewarned != cell.Forewarned || got.CorrectionFirst != cell.CorrectionFirst || got.Arm != cell.Arm || got.DelayNs != cell.DelayNs {
			t.Errorf("cell %d: %+v, the study alone has %+v", i, got, cell)
		}
		of := r.Cascade.Cases[i]
		if of.Arm != cell.Arm || of.DelayNs != cell.DelayNs || (of.HubTo999Ms != nil) != (cell.Arm == cascade.ByHub) {
			t.Errorf("case %d is %+v", i, of)
		}
		if !(of.DeliveryP50Ms.Mean > 1 && of.DeliveryP50Ms.Mean < of.DeliveryP999Ms.Mean && of.DeliveryP999Ms.Mean < 1000) {
			t.Errorf("case %d: %+v", i, of)
		}
		if len(got.Posts) > 0 {
			t.Error("the report has the posts")
		}
	}
	if got := int(r.Deliveries.Delivered); got != deliveries || r.Deliveries.Lost != 0 {
		t.Errorf("%d delivered and %d lost, the posts ask for %d", got, r.Deliveries.Lost, deliveries)
	}
	if len(r.Broadcasts) != len(p.DelaysNs) {
		t.Fatalf("%d broadcasts, one a delay is right", len(r.Broadcasts))
	}
	if gap := float64(r.Broadcasts[1].AtMs - r.Broadcasts[0].AtMs); math.Abs(gap-float64((14*time.Minute).Milliseconds())) > 50 { // Each case connects anew.
		t.Errorf("the hub's posts are %g ms apart", gap)
	}
}

// The hub's posts are due at once, so what comes in the busiest second is nearly what was due in it; a fleet that is too slow spreads it.
func TestASlowFleetSpreadsTheSurge(t *testing.T) {
	due := func(r report.Report) (due, delivered cascade.Interval) {
		for i, cell := range r.Cascade.Study.Cells {
			if cell.Arm == cascade.ByHub {
				return cell.PeakDeliveriesPerSecond, r.Cascade.Cases[i].BusiestSecond
			}
		}
		return due, delivered
	}
	asked, quick := due(surgeOf(t))
	if math.Abs(quick.Mean/asked.Mean-1) > 0.2 {
		t.Errorf("%g are due in the busiest second, %g come", asked.Mean, quick.Mean)
	}
	slow := surgeOf(t, "coresPerShard: 2", "coresPerShard: 2, networkPerSecond: 20kB")
	if again, spread := due(slow); again != asked || spread.Mean > asked.Mean/2 {
		t.Errorf("a narrow network: %g are due, %g come in the busiest second", again.Mean, spread.Mean)
	}
	quickest := surgeOf(t)
	if a, b := quickest.Cascade.DeliveryMs.Mean, slow.Cascade.DeliveryMs.Mean; b < 5*a {
		t.Errorf("deliveries take up to %g ms, and with a narrow network %g", a, b)
	}
}

// A fleet that takes minutes changes who sees what first; one that takes milliseconds hardly does.
func TestALateFleetIsPutBackIntoTheCascade(t *testing.T) {
	most := func(r report.Report) (change float64) {
		for _, c := range r.Cascade.Cases {
			change = max(change, math.Abs(c.WithDelivery.Forewarned.Mean), math.Abs(c.WithDelivery.CorrectionFirst.Mean))
		}
		return change
	}
	far := "subscribers: 4000\n  onlineShare: 0.5\n  places: [{name: far, share: 1, roundTrip: 4m, roundTripP99: 8m}]"
	late := forecastOf(t, Config{Scenario: modeltest.Small(t, modeltest.Broadcasts, modeltest.Cascade, "measure: 20s", "measure: 2h", "subscribers: 4000", far), Calibration: calibrationtest.ByHand(), Seeds: 3})
	if quick, late := most(surgeOf(t)), most(late); quick > 0.01 || late < 0.02 {
		t.Errorf("milliseconds change a share by %g, minutes by %g", quick, late)
	}
}

func TestASurgeTakesTwoSeeds(t *testing.T) {
	s := modeltest.Small(t, modeltest.Broadcasts, modeltest.Cascade, "measure: 20s", "measure: 2h")
	if _, err := Run(Config{Scenario: s, Calibration: calibrationtest.ByHand(), Seeds: 1}); err == nil {
		t.Error("one seed has intervals")
	}
}
