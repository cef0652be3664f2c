package cascade_test

import (
	"reflect"
	"testing"

	"github.com/chatfleet/chatfleet/simulator/internal/cascade"
	"github.com/chatfleet/chatfleet/simulator/internal/scenario"
)

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
