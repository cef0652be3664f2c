package doctor

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"
)

// Write writes the findings as a table.
func Write(w io.Writer, findings []Finding) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\tWHAT\tTHIS MACHINE\tNEEDED\tWHAT TO DO, OR WHAT IT MEANS")
	for _, f := range findings {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", f.Level, f.What, f.Have, f.Need, f.Do)
	}
	return t.Flush()
}

// count writes a number with its thousands apart.
func count[T int | uint64](n T) string {
	digits := strconv.FormatUint(uint64(n), 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func size(n uint64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

func round(d time.Duration) string {
	if d >= 10*time.Millisecond {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Microsecond).String()
}

func orUnknown(s string) string {
	if s == "" {
		return "not known"
	}
	return s
}
