package clock

import (
	"testing"
	"testing/synctest"
	"time"
)

// What the clock shows jumps, and what passes by it does not, in the world as in a bubble.
func TestTheClockIsSet(t *testing.T) {
	test := func(t *testing.T) {
		c := New()
		before := c.Now()
		if off := time.Until(before).Abs(); before.Round(0).Sub(time.Now().Round(0)).Abs() > 2*time.Second {
			t.Errorf("it is off by %v at first", off)
		}
		for _, by := range []time.Duration{time.Hour, -2 * time.Hour} {
			before := c.Now()
			c.Step(by)
			time.Sleep(time.Millisecond)
			after := c.Now()
			passed := after.Sub(before)
			if passed < time.Millisecond || passed > time.Minute || (after.Round(0).Sub(before.Round(0))-by-passed).Abs() > time.Second || !after.After(before) {
				t.Errorf("set by %v: %v have passed, and the clock shows %v more", by, passed, after.Round(0).Sub(before.Round(0)))
			}
		}
	}
	test(t)
	synctest.Test(t, test)
}

// Setting it to an offset is from the machine's clock, not from what it was set to before.
func TestAnOffsetIsFromTheMachinesClock(t *testing.T) {
	c := New()
	if now := c.Now(); now == now.Round(0) {
		t.Error("what it shows has no second clock in it")
	}
	for _, offset := range []time.Duration{time.Hour, time.Hour, -time.Hour, MaxOffset, -MaxOffset, 0} {
		if err := c.Set(offset); err != nil {
			t.Fatal(err)
		}
		off := c.Now().Round(0).Sub(time.Now().Round(0))
		if (off-offset).Abs() > time.Minute || c.Offset() != offset {
			t.Errorf("set to %v it is off by %v, and says %v", offset, off, c.Offset())
		}
	}
	for _, wrong := range []time.Duration{MaxOffset + time.Second, -MaxOffset - time.Second, time.Second / 2} {
		if err := c.Set(wrong); err == nil || c.Offset() != 0 {
			t.Errorf("it can be set to %v: %v", wrong, err)
		}
	}
}
