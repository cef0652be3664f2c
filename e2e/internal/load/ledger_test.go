package load

import (
	"testing"
	"time"
)

// Each case breaks one thing in a run that is otherwise right. An audit that finds nothing in one of them cannot find it on a cluster either.
func TestAuditFindsWhatIsWrong(t *testing.T) {
	posted := []Posted{{"a", 2, 0x11}, {"a", 3, 0x12}, {"a", 4, 0x13}}
	log := func(e ...Entry) map[string][]Entry { return map[string][]Entry{"a": e} }
	right := log(Entry{1, 0}, Entry{2, 0x11}, Entry{3, 0x12}, Entry{4, 0x13})
	device := func(e ...Entry) []Heard { return []Heard{{Device: "d", Log: "a", Events: e}} }
	whole := device(right["a"]...)
	for name, c := range map[string]struct {
		logs  map[string][]Entry
		heard []Heard
		want  Faults
	}{
		"nothing":                             {right, whole, Faults{}},
		"a device that came later":            {right, []Heard{{Device: "d", Log: "a", From: 2, Events: right["a"][2:]}}, Faults{}},
		"an acknowledged post is not there":   {log(Entry{1, 0}, Entry{2, 0x11}, Entry{3, 0x12}), device(right["a"][:3]...), Faults{Lost: 1}},
		"another stands in its place":         {log(Entry{1, 0}, Entry{2, 0x11}, Entry{3, 0x99}, Entry{4, 0x13}), device(Entry{1, 0}, Entry{2, 0x11}, Entry{3, 0x99}, Entry{4, 0x13}), Faults{Lost: 1}},
		"a post stands twice":                 {log(Entry{1, 0}, Entry{2, 0x11}, Entry{3, 0x12}, Entry{4, 0x13}, Entry{5, 0x11}), device(append(right["a"], Entry{5, 0x11})...), Faults{Doubled: 1}},
		"a log out of its own order":          {log(Entry{1, 0}, Entry{2, 0x11}, Entry{3, 0x12}, Entry{4, 0x13}, Entry{4, 0}), whole, Faults{Disordered: 1}},
		"a device misses one":                 {right, device(right["a"][0], right["a"][1], right["a"][3]), Faults{Lost: 1}},
		"a device misses the last":            {right, device(right["a"][:3]...), Faults{Lost: 1}},
		"a device gets one twice":             {right, device(append(right["a"], right["a"][3])...), Faults{Doubled: 1}},
		"two are swapped":                     {right, device(right["a"][0], right["a"][2], right["a"][1], right["a"][3]), Faults{Disordered: 1}},
		"a device gets what the log has not":  {right, device(right["a"][0], Entry{2, 0x77}, right["a"][2], right["a"][3]), Faults{Disordered: 1}},
		"a device was told that it is behind": {right, []Heard{{Device: "d", Log: "a", Events: right["a"][3:], Resets: 1}}, Faults{Resets: 1}},
	} {
		got := Audit(posted, c.logs, c.heard)
		if (len(got.Examples) > 0) == got.None() {
			t.Errorf("%s: examples %q of %+v", name, got.Examples, got)
		}
		got.Examples = nil
		if got.Lost != c.want.Lost || got.Doubled != c.want.Doubled || got.Disordered != c.want.Disordered || got.Resets != c.want.Resets {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

func TestPace(t *testing.T) {
	at := func(ms ...int) (all []time.Time) {
		for _, m := range ms {
			all = append(all, time.UnixMilli(int64(m)))
		}
		return all
	}
	for _, c := range []struct {
		moments []time.Time
		want    int
	}{
		{nil, 0}, {at(5), 1}, {at(0, 999, 1000), 2}, {at(3000, 0, 3100, 3200, 9000), 3}, {at(1, 1, 1, 1), 4},
	} {
		if got := Pace(c.moments, time.Second); got != c.want {
			t.Errorf("%v: %d, want %d", c.moments, got, c.want)
		}
	}
}
