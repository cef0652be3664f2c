package v1alpha1

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Duration is a time written with its units, such as 500ms, 4s or 1m30s.
type Duration time.Duration

// Std returns it as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String writes it the way it is read.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes it the way it is read.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

var durationForm = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`)

// UnmarshalText reads a duration of at least 0.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || !durationForm.Match(text) {
		return fmt.Errorf("%q is not a duration; write a number with its unit, such as 500ms, 4s or 1m30s", text)
	}
	*d = Duration(v)
	return nil
}

// Step is a time forward, such as 1h, or back, such as -90s.
type Step time.Duration

// Std returns it as the standard library's type.
func (s Step) Std() time.Duration { return time.Duration(s) }

// String writes it the way it is read.
func (s Step) String() string { return time.Duration(s).String() }

// MarshalText writes it the way it is read.
func (s Step) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a time with or without a sign.
func (s *Step) UnmarshalText(text []byte) error {
	number, back := strings.CutPrefix(string(text), "-")
	if !back {
		number = strings.TrimPrefix(number, "+")
	}
	var d Duration
	if d.UnmarshalText([]byte(number)) != nil {
		return fmt.Errorf("%q is not a step; write a time with its unit, forward such as 1h or back such as -90s", text)
	}
	if *s = Step(d); back {
		*s = -*s
	}
	return nil
}

// Size is a number of bytes: an integer, or written with a unit, such as 200B, 64KiB or 1MiB.
type Size int64

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1}}

// String writes it in bytes.
func (s Size) String() string { return strconv.FormatInt(int64(s), 10) + "B" }

// MarshalText writes it the way it is read.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a size of at least 0.
func (s *Size) UnmarshalText(text []byte) error {
	number := strings.TrimRight(string(text), "BKMGikb")
	unit := strings.TrimPrefix(string(text), number)
	n, err := strconv.ParseInt(number, 10, 64)
	if err == nil && n >= 0 {
		for _, u := range sizeUnits {
			if u.suffix == unit && n <= math.MaxInt64/u.bytes {
				*s = Size(n * u.bytes)
				return nil
			}
		}
	}
	return fmt.Errorf("%q is not a size; write whole bytes, such as 200 or 200B, or 64KiB, 1MiB", text)
}

// WorkerCount is how many worker processes there are; 0 is auto.
type WorkerCount int

// AutoWorkers lets the machine's limits decide.
const AutoWorkers WorkerCount = 0

const maxWorkers = 256

// String writes it the way it is read.
func (c WorkerCount) String() string {
	if c == AutoWorkers {
		return "auto"
	}
	return strconv.Itoa(int(c))
}

// MarshalText writes it the way it is read.
func (c WorkerCount) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads auto or a number from 1 to 256.
func (c *WorkerCount) UnmarshalText(text []byte) error {
	if string(text) == "auto" {
		*c = AutoWorkers
		return nil
	}
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 || n > maxWorkers {
		return fmt.Errorf("%q is neither auto nor a number from 1 to %d", text, maxWorkers)
	}
	*c = WorkerCount(n)
	return nil
}

// Unit is what a bound, and the metric it bounds, is counted in.
type Unit string

// The units.
const (
	// Time, below the bound; in a Bound: nanoseconds.
	UnitTime Unit = "time"
	// A size of memory, at most the bound; in a Bound: bytes.
	UnitBytes Unit = "bytes"
	// A number or share of things, at most the bound.
	UnitNumber Unit = "number"
)

// Bound is an upper bound: a time ("1s"), a size ("64KiB") or a number (0, 0.001).
type Bound struct {
	// What Value is counted in.
	Unit Unit
	// Nanoseconds, bytes or things.
	Value float64
}

// TimeBound returns the bound of a time.
func TimeBound(d time.Duration) Bound { return Bound{UnitTime, float64(d)} }

// NumberBound returns the bound of a number.
func NumberBound(n float64) Bound { return Bound{UnitNumber, n} }

// Duration returns the bound of a time; ok is false for others.
func (b Bound) Duration() (d time.Duration, ok bool) {
	return time.Duration(b.Value), b.Unit == UnitTime
}

// String writes it the way it is read.
func (b Bound) String() string {
	switch b.Unit {
	case UnitTime:
		return time.Duration(b.Value).String()
	case UnitBytes:
		return Size(b.Value).String()
	}
	return strconv.FormatFloat(b.Value, 'f', -1, 64)
}

// MarshalText writes it the way it is read.
func (b Bound) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

var plainNumber = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)

// UnmarshalText reads a bound of at least 0 and finds its unit from how it is written.
func (b *Bound) UnmarshalText(text []byte) error {
	if plainNumber.Match(text) {
		n, err := strconv.ParseFloat(string(text), 64)
		if err != nil {
			return fmt.Errorf("%q is too large a number", text)
		}
		*b = NumberBound(n)
		return nil
	}
	var d Duration
	if d.UnmarshalText(text) == nil {
		*b = TimeBound(d.Std())
		return nil
	}
	var s Size
	if s.UnmarshalText(text) == nil {
		*b = Bound{UnitBytes, float64(s)}
		return nil
	}
	return errors.New(strconv.Quote(string(text)) + " is not a bound; write a time such as 1s, a size such as 64KiB, or a number of at least 0")
}
