package cascade_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/cascade"
	"github.com/chatfleet/chatfleet/simulator/internal/scenario"
)

// Each field has a value of its own, so that none can stand in another's place.
func TestParamsOfAScenario(t *testing.T) {
	s := &v1alpha1.Scenario{
		Seed: 9, Population: v1alpha1.Population{Subscribers: 1000, OnlineShare: 0.25}, Phases: v1alpha1.Phases{Measure: v1alpha1.Duration(5 * time.Hour)},
		Cascade: &v1alpha1.Cascade{
			Communities: 3, Coalition: v1alpha1.ChannelKind{Channels: 4, Subscriptions: 500}, Outside: v1alpha1.ChannelKind{Channels: 6, Subscriptions: 700}, SizeExponent: 1.1, SizeRatio: 12,
			OnlineByHabit: 0.1, ForwardShare: 0.2, FalseFactor: 1.3, ForewarnedFactor: 0.4, InsideShare: 0.6, Reaction: v1alpha1.Reaction{Median: v1alpha1.Duration(time.Minute), Sigma: 0.8},
			Delays: []v1alpha1.Duration{7, 8}, Seeds: 5,
		},
	}
	want := cascade.Params{
		Crowd: cascade.Crowd{
			People: 1000, Communities: 3, Coalition: cascade.Channels{Count: 4, Subscriptions: 500}, Outside: cascade.Channels{Count: 6, Subscriptions: 700},
			SizeExponent: 1.1, SizeRatio: 12, OnlineShare: 0.25, OnlineByHabit: 0.1,
		},
		Spread:   cascade.Spread{ForwardTrue: 0.2, FalseFactor: 1.3, Forewarned: 0.4, Inside: 0.6, ReactionMedianNs: time.Minute, ReactionSigma: 0.8},
		DelaysNs: []time.Duration{7, 8}, HorizonNs: 5 * time.Hour, Seed: 9, Seeds: 5,
	}
	if got := cascade.ParamsOf(s); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	s.Population.OnlineShare = 0
	if got := cascade.ParamsOf(s).Crowd.OnlineShare; got != 1 {
		t.Errorf("without a share %g are online, want all", got)
	}
}

// The scenario that ships is the study that the documents have figures of.
func TestElectionSurgeIsTheDefaultStudy(t *testing.T) {
	s, err := scenario.Load("../../../scenarios/election-surge.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := cascade.ParamsOf(s), cascade.Default(); !reflect.DeepEqual(got, want) {
		t.Errorf("the scenario names\n%+v, the study is of\n%+v", got, want)
	}
}
