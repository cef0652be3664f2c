package live

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// alternates says whether the slow readers read like everybody in half of the measure phase.
func (e *engine) alternates() bool {
	s := e.Scenario.Population.SlowReaders
	return s != nil && s.Alternate > 0
}

// alternate lets the slow readers read like everybody and slowly in turn, from the start of the measure phase to its end. An error is
// of a worker that could not be told.
func (e *engine) alternate(ctx context.Context, measureNs int64) error {
	slow := e.Scenario.Population.SlowReaders
	length := slow.Alternate.Std()
	var errs []error
	for block := range 2 * slow.Pairs(e.Scenario.Phases.Measure.Std()) {
		untilNs(ctx, measureNs+int64(time.Duration(block)*length))
		if ctx.Err() != nil {
			break // the run ends; that is no error of a worker
		}
		errs = append(errs, e.crowd.Wake(!slow.SlowIn(block)))
	}
	return errors.Join(errs...)
}

// slowPairs compares the blocks of the measure phase: the geometric mean of the times to the last of the broadcasts in the second half of
// each. What disturbs a broadcast multiplies its time, so that this mean varies less than the middle of so few.
// A broadcast that somebody never got is not compared; it is lost, which says more.
func (e *engine) slowPairs(broadcasts []moment) []verdict.SlowPair {
	slow := e.Scenario.Population.SlowReaders
	byBlock := map[int][]time.Duration{}
	for _, b := range broadcasts {
		if block, settled := slow.Block(b.due); settled && b.took != measure.Never && b.took > 0 {
			byBlock[block] = append(byBlock[block], b.took)
		}
	}
	var pairs []verdict.SlowPair
	for pair := range slow.Pairs(e.Scenario.Phases.Measure.Std()) {
		reading, slowly := 2*pair, 2*pair+1
		if slow.SlowIn(reading) {
			reading, slowly = slowly, reading
		}
		if len(byBlock[reading]) > 0 && len(byBlock[slowly]) > 0 {
			pairs = append(pairs, verdict.SlowPair{Reading: geometricMean(byBlock[reading]), Slow: geometricMean(byBlock[slowly])})
		}
	}
	return pairs
}

// moment is a broadcast: when it was due, from the start of the measure phase, and how long it took to the last.
type moment struct{ due, took time.Duration }

// geometricMean of times, none of which is 0.
func geometricMean(times []time.Duration) time.Duration {
	var sum float64
	for _, t := range times {
		sum += math.Log(float64(t))
	}
	return time.Duration(math.Exp(sum / float64(len(times))))
}
