package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// text is a threshold's value for people, with its error.
func (t Threshold) text() string {
	if t.Samples == 0 {
		return "no samples"
	}
	s := inUnit(float64(t.Value), t.Unit)
	if t.Error > 0 && !t.Value.Infinite() {
		s += " ± " + inUnit(t.Error, t.Unit)
	}
	return s
}

func (t Threshold) boundText() string { return inUnit(t.Bound, t.Unit) }

func inUnit(value float64, unit string) string {
	switch unit {
	case "ms":
		return timeText(value)
	case "bytes":
		return bytesText(value)
	}
	return numberText(value)
}

// timeText writes milliseconds with about three digits.
func timeText(ms float64) string {
	abs := math.Abs(ms)
	switch {
	case math.IsInf(ms, 0):
		return "never"
	case abs >= 60_000:
		return fmt.Sprintf("%d min %02d s", int(ms)/60_000, int(ms)%60_000/1000)
	case abs >= 10_000:
		return digits(ms/1000, 1) + " s"
	case abs >= 1000:
		return digits(ms/1000, 2) + " s"
	case abs >= 100:
		return digits(ms, 0) + " ms"
	case abs >= 10:
		return digits(ms, 1) + " ms"
	case abs >= 1:
		return digits(ms, 2) + " ms"
	case ms == 0:
		return "0 ms"
	}
	return digits(ms*1000, 0) + " µs"
}

// momentText writes a moment of the run, as in 57.3 s or 1:03.4.
func momentText(ms float64) string {
	if ms < 60_000 {
		return strconv.FormatFloat(ms/1000, 'f', 1, 64) + " s"
	}
	tenths := int(ms / 100)
	return fmt.Sprintf("%d:%02d.%d", tenths/600, tenths%600/10, tenths%10)
}

// digits writes a number with at most so many decimals, without zeros at the end.
func digits(v float64, decimals int) string {
	s := strconv.FormatFloat(v, 'f', decimals, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

func bytesText(n float64) string {
	switch {
	case n >= 1<<30:
		return digits(n/(1<<30), 2) + " GiB"
	case n >= 1<<20:
		return digits(n/(1<<20), 1) + " MiB"
	case n >= 1<<10:
		return digits(n/(1<<10), 1) + " KiB"
	}
	return digits(n, 0) + " B"
}

// numberText writes whole numbers with a thin space between thousands, others with three digits.
func numberText(v float64) string {
	if v != math.Trunc(v) || math.Abs(v) > 1e15 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	return countText(int64(v))
}

func countText(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "−", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return sign + s
}

// percentText writes a share as a percentage, and never as 100 % what is not all of it.
func percentText(share float64) string {
	switch {
	case share < 1 && share > 0.9999:
		return "99.99 %"
	case share > 0.99 && share < 1:
		return digits(math.Floor(share*10_000)/100, 2) + " %"
	}
	return digits(share*100, 1) + " %"
}
