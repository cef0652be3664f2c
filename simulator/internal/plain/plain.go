// Package plain writes figures as a terminal shows them, in the same way for every command: counts with their thousands apart, times in the unit that reads best.
// Pages have their own, with signs that a terminal may lack (package report).
package plain

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/report"
)

// Count writes a number with its thousands apart: 12,400.
func Count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Millis writes a latency: 4.2 ms, 49 ms, 1.05 s, or that it never ended.
func Millis(ms report.Millis) string {
	switch {
	case ms.Infinite():
		return "never"
	case ms >= 600:
		return strconv.FormatFloat(float64(ms)/1000, 'f', 2, 64) + " s"
	case ms >= 10:
		return strconv.FormatFloat(float64(ms), 'f', 0, 64) + " ms"
	}
	return strconv.FormatFloat(float64(ms), 'f', 1, 64) + " ms"
}

// Lasting writes a time to wait: 50 s, 3 min 20 s.
func Lasting(d time.Duration) string {
	if d >= 2*time.Minute {
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d s", int(d.Round(time.Second).Seconds()))
}

// Plural writes a number of things: 1 shard, 12,400 shards.
func Plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return Count(int64(n)) + " " + thing + "s"
}

// Amount writes a number that need not be whole: 12,400, 0.125, 131.5.
func Amount(v float64) string {
	if v == math.Trunc(v) {
		return Count(int64(v))
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}
