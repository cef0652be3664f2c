package v1alpha1

import (
	"encoding"
	"slices"
	"testing"
	"time"
)

// refused stands for what a value does not read.
const refused = ""

func TestValuesAreWrittenTheWayTheyAreRead(t *testing.T) {
	tests := map[string]struct {
		value func() (encoding.TextUnmarshaler, encoding.TextMarshaler)
		texts map[string]string // what is read, and what it is written as
	}{
		"duration": {
			func() (encoding.TextUnmarshaler, encoding.TextMarshaler) { d := new(Duration); return d, d },
			map[string]string{
				"500ms": "500ms", "1m30s": "1m30s", "0s": "0s", "1.5s": "1.5s", "90s": "1m30s",
				"1": refused, "0": refused, "-1s": refused, "+1s": refused, "": refused, "1 s": refused, "9999999999h": refused,
			},
		},
		"step": {
			func() (encoding.TextUnmarshaler, encoding.TextMarshaler) { s := new(Step); return s, s },
			map[string]string{
				"1h": "1h0m0s", "+1h": "1h0m0s", "-90s": "-1m30s", "0s": "0s", "-0s": "0s",
				"1": refused, "": refused, "-": refused, "--1h": refused, "+-1h": refused, "- 1h": refused,
			},
		},
		"size": {
			func() (encoding.TextUnmarshaler, encoding.TextMarshaler) { s := new(Size); return s, s },
			map[string]string{
				"200": "200B", "200B": "200B", "64KiB": "65536B", "1MiB": "1048576B", "2kB": "2000B", "0": "0B",
				"-1": refused, "1.5KiB": refused, "KiB": refused, "1 B": refused, "1BB": refused, "9223372036854775807GiB": refused, "": refused,
			},
		},
		"worker count": {
			func() (encoding.TextUnmarshaler, encoding.TextMarshaler) { c := new(WorkerCount); return c, c },
			map[string]string{"auto": "auto", "1": "1", "256": "256", "0": refused, "257": refused, "-1": refused, "Auto": refused, "": refused},
		},
		"bound": {
			func() (encoding.TextUnmarshaler, encoding.TextMarshaler) { b := new(Bound); return b, b },
			map[string]string{
				"1s": "1s", "0": "0", "0.001": "0.001", "64KiB": "65536B", "300B": "300B", "12": "12",
				"-1": refused, "1e3": refused, "soon": refused, "": refused, "1 s": refused, "NaN": refused,
			},
		},
	}
	for name, tt := range tests {
		for text, want := range tt.texts {
			read, written := tt.value()
			err := read.UnmarshalText([]byte(text))
			if (err != nil) != (want == refused) {
				t.Errorf("%s %q: %v", name, text, err)
				continue
			}
			if got, _ := written.MarshalText(); err == nil && string(got) != want {
				t.Errorf("%s %q is written as %s, want %s", name, text, got, want)
			}
		}
	}
}

func TestMomentsOfASchedule(t *testing.T) {
	s := Schedule{At: Duration(2 * time.Second), Every: Duration(3 * time.Second), Count: 3}
	if got := s.Moments(); !slices.Equal(got, []time.Duration{2 * time.Second, 5 * time.Second, 8 * time.Second}) {
		t.Errorf("moments %v", got)
	}
	if got := (Schedule{}).Moments(); !slices.Equal(got, []time.Duration{0}) {
		t.Errorf("a schedule that says nothing is once, at the start; got %v", got)
	}
}

func TestHowLongAFaultLasts(t *testing.T) {
	second := Duration(time.Second)
	for _, tt := range []struct {
		fault   Fault
		lasts   time.Duration
		returns bool
	}{
		{Fault{Action: Stop, For: second}, time.Second, true},
		{Fault{Action: Kill, RestartAfter: second}, time.Second, true},
		{Fault{Action: Kill}, 0, false},
		{Fault{Action: Restart}, 0, true},
	} {
		if lasts, returns := tt.fault.Lasts(); lasts != tt.lasts || returns != tt.returns {
			t.Errorf("%+v lasts %s, returns %t", tt.fault, lasts, returns)
		}
	}
}

func TestConnecting(t *testing.T) {
	if got := (Connect{RatePerSecond: 100}).ConnectsOver(500); got != 5*time.Second {
		t.Errorf("500 at 100 a second take %s", got)
	}
	if got := (Connect{Duration: Duration(time.Minute)}).ConnectsOver(500); got != time.Minute {
		t.Errorf("a minute is %s", got)
	}
	if got := (Connect{RatePerSecond: 5e-324}).ConnectsOver(1e7); got <= 0 {
		t.Errorf("for ever is %s", got)
	}
	if got := (Population{Subscribers: 10, DevicesPerUser: 3}).Sessions(); got != 30 {
		t.Errorf("%d sessions", got)
	}
	for target, want := range map[FaultTarget]bool{StoreLeading: true, MetaLeader: true, AllStores: true, "store-2": true, AnyShard: false, "shard-2": false} {
		if target.OnStore() != want {
			t.Errorf("%s: %t", target, !want)
		}
	}
}
