package owner

import "time"

const (
	// slewPart: a clock that is ahead loses one part in so many of the time that passes. Package chatlog knows of it.
	slewPart = 16
	// slewFrom is from where on that counts: what is less comes of reading two clocks one after the other.
	slewFrom = 10 * time.Millisecond
	// stepFrom is from where on the machine's clock was set forward, and not only kept right; trustAfter is when that is believed by what
	// throws away.
	stepFrom, trustAfter = time.Minute, 24 * time.Hour
)

// clock is the time by which an owner stamps events, for which the machine's clock alone will not do: that is set back now and then, and
// no two machines' agree. It is never behind the machine's clock, and never goes back within a partition, also when another machine
// takes over: so events' times do not go back within a log, and reading a log back to a time ends at the right event. While it is ahead,
// it runs slow and does not stand still, so that nobody in slow mode is locked out for as long as the machine's clock was set back.
// It belongs to the goroutine of the owner's term.
type clock struct {
	now    func() time.Time
	steady func() time.Duration

	// at is what it said last, in nanoseconds since 1970, when steady said then.
	at   int64
	then time.Duration
	// began is what both said when the clock was made.
	began      time.Time
	beganAfter time.Duration
	// ahead: careful has seen the machine's clock set forward, first when steady said aheadFrom.
	ahead     bool
	aheadFrom time.Duration
	// slow is what it said when it ran slow last, by more than a little.
	slow int64
}

// read is the time in milliseconds since 1970, and when it ran slow last.
func (c *clock) read() (ms, slowMs int64) {
	wall, then := c.now().UnixNano(), c.steady()
	passed := int64(then - c.then)
	c.then = then
	ahead := c.at+passed > wall+int64(slewFrom)
	// Where it is not ahead the machine's clock counts, however much of the time that has passed is taken away here.
	c.at = max(c.at+passed-passed/slewPart, wall)
	if ahead {
		c.slow = c.at
	}
	return c.at / int64(time.Millisecond), c.slow / int64(time.Millisecond)
}

func newClock(now func() time.Time, steady func() time.Duration) clock {
	return clock{now: now, steady: steady, began: now().Round(0), beganAfter: steady()}
}

// careful is the machine's time, or less where that was set forward since the clock was made and for a day after: what is thrown away by it
// is old even if the machine is wrong. A clock that is still ahead after a day has been wrong before.
func (c *clock) careful() time.Time {
	now, steady := c.now().Round(0), c.steady()
	passed := c.began.Add(steady - c.beganAfter)
	switch ahead := now.Sub(passed); {
	case ahead <= 0:
		c.ahead = false
		return now
	case ahead <= stepFrom:
		c.ahead = false
	case !c.ahead:
		c.ahead, c.aheadFrom = true, steady
	case steady-c.aheadFrom >= trustAfter:
		c.began, c.beganAfter, c.ahead = now, steady, false
		return now
	}
	return passed
}

// notBefore sets it to what another owner's clock said last, if that is later.
func (c *clock) notBefore(ms int64) {
	c.read()
	c.at = max(c.at, ms*int64(time.Millisecond))
}

// lastMs is what it said last, at least.
func (c *clock) lastMs() int64 { return c.at / int64(time.Millisecond) }
