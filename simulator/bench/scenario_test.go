package main

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

// A scenario is compared with the floor by the number of subscribers, and not at all if somebody was not reached.
func TestCompareWithTheFloor(t *testing.T) {
	for _, test := range []struct {
		report string
		ratio  float64
		wrong  string
	}{
		{`{"verdict":"Pass","broadcasts":[{"recipients":1000,"timeToLastMs":30},{"recipients":1000,"timeToLastMs":20},{"recipients":1000,"timeToLastMs":25}]}`, 1.25, ""},
		{`{"verdict":"Fail","broadcasts":[{"recipients":1000,"lost":1,"timeToLastMs":null}]}`, 0, "not reached everybody"},
		{`{"verdict":"Pass","broadcasts":[]}`, 0, "no broadcast"},
	} {
		var p played
		if err := json.Unmarshal([]byte(test.report), &p); err != nil {
			t.Fatal(err)
		}
		f := Fleet{Sessions: 100, Floor: []float64{1, 2, 4}} // 2 ms for 100, so 20 ms for 1000
		err := f.compare(p)
		if test.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), test.wrong) {
				t.Errorf("%s: %v, want %q", test.report, err, test.wrong)
			}
			continue
		}
		if err != nil || math.Abs(f.Ratio-test.ratio) > 1e-9 || f.Predicted != 20 || f.Verdict != p.Verdict {
			t.Errorf("%s: %+v (%v)", test.report, f, err)
		}
	}
}
