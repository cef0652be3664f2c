package clocktest

import (
	"testing"
	"testing/synctest"
	"time"
)

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
			if passed < time.Millisecond || passed > time.Minute || after.Round(0).Sub(before.Round(0)) != by+passed || !after.After(before) {
				t.Errorf("set by %v: %v have passed, and the clock shows %v more", by, passed, after.Round(0).Sub(before.Round(0)))
			}
		}
	}
	test(t)
	synctest.Test(t, test)
}
