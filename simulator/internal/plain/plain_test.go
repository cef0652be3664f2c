package plain

import (
	"math"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/report"
)

func TestCount(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 12400: "12,400", 1234567: "1,234,567", -1000: "-1,000", -999: "-999"} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestMillis(t *testing.T) {
	for ms, want := range map[report.Millis]string{4.21: "4.2 ms", 48.9: "49 ms", 599: "599 ms", 1050: "1.05 s", report.Millis(math.Inf(1)): "never"} {
		if got := Millis(ms); got != want {
			t.Errorf("Millis(%g) = %s, want %s", float64(ms), got, want)
		}
	}
}

func TestLasting(t *testing.T) {
	for d, want := range map[time.Duration]string{49600 * time.Millisecond: "50 s", 119 * time.Second: "119 s", 200 * time.Second: "3 min 20 s"} {
		if got := Lasting(d); got != want {
			t.Errorf("Lasting(%s) = %s, want %s", d, got, want)
		}
	}
}

func TestPlural(t *testing.T) {
	for n, want := range map[int]string{0: "0 shards", 1: "1 shard", 2: "2 shards", 1200: "1,200 shards"} {
		if got := Plural(n, "shard"); got != want {
			t.Errorf("Plural(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestAmount(t *testing.T) {
	for v, want := range map[float64]string{64: "64", 12400: "12,400", 460.8: "460.8", 0.0625: "0.0625", 2435.25: "2435"} {
		if got := Amount(v); got != want {
			t.Errorf("Amount(%g) = %s, want %s", v, got, want)
		}
	}
}
