package report

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
)

// A fault that could not be done is none of those that struck, and what was never acknowledged is no wait of "never".
func TestFaultsThatWereNotDone(t *testing.T) {
	failed := Fault{What: "store 1 restarted", Error: "the fleet had not got over what was before"}
	got := faultTile([]Fault{{What: "a", AtMs: 5, LongestAckWaitMs: 10}, failed, {What: "b", AtMs: 9, LongestAckWaitMs: Millis(math.Inf(1))}})
	if got.Value != "2" || got.Note != "worst: b, after which a post was never acknowledged; 1 could not be done" {
		t.Errorf("got %+v", got)
	}
	if got := faultTile([]Fault{failed}); got.Value != "0" || got.Note != "1 could not be done" {
		t.Errorf("got %+v", got)
	}
	if row := faultRowOf(failed); row.At != "not done" {
		t.Errorf("at %q", row.At)
	}
}

// The page says between which times growth is, and gives no rate a second for what took less than one.
func TestWhatFiguresAreOf(t *testing.T) {
	if got := grewText(&v1alpha1.Scenario{Growth: &v1alpha1.Growth{From: v1alpha1.Duration(2 * time.Minute), To: v1alpha1.Duration(10 * time.Minute)}}); !strings.Contains(got, "around 10m0s") || !strings.Contains(got, "around 2m0s") {
		t.Error(got)
	}
	if got := grewText(&v1alpha1.Scenario{}); !strings.Contains(got, "last fifth") {
		t.Error(got)
	}
	for ms, want := range map[Millis]bool{594: false, 1500: true} {
		got := reconnectTile(Fault{Reconnects: &Reconnects{Sessions: 2000, Resumed: 2000, AllBackMs: ms, SignInsPerSecond: 3366, PeakSignInsPerSecond: 2000}})
		if strings.Contains(got.Note, "a second") != want {
			t.Errorf("%v ms: %s", ms, got.Note)
		}
	}
}

func TestAPageListsTheSlowestOfManyBroadcasts(t *testing.T) {
	many := make([]Broadcast, 3*shownBroadcasts)
	for i := range many {
		many[i].TimeTo999Ms = Millis(i % 100)
	}
	many[7].TimeTo999Ms = Millis(math.Inf(1)) // not all sessions were reached
	places := slowest(many)
	if len(places) != shownBroadcasts || places[0] != 7 || !slices.IsSorted(places) {
		t.Errorf("%d places: %v", len(places), places)
	}
	for _, i := range places[1:] {
		if many[i].TimeTo999Ms < 60 {
			t.Errorf("broadcast %d with %v ms is listed", i, many[i].TimeTo999Ms)
		}
	}
	if all := slowest(many[:shownBroadcasts]); len(all) != shownBroadcasts {
		t.Errorf("%d of %d are listed", len(all), shownBroadcasts)
	}
}
