package election

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// slow is a group that waits for its disk until it is let go on.
type slow struct {
	said atomic.Int64
	disk chan struct{}
}

func (s *slow) SendHeartbeat() {
	<-s.disk
	s.said.Add(1)
}

func TestAGroupWaitsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var groups pulses
		groups = groups.of([]string{"stuck", "free"})
		stuck, free := &slow{disk: make(chan struct{})}, &slow{disk: make(chan struct{})}
		close(free.disk)
		for range 3 {
			beat(stuck, groups["stuck"])
			beat(free, groups["free"])
			synctest.Wait()
			groups = groups.of([]string{"new", "stuck", "free"}) // what is known stays known
		}
		if got := [2]int64{stuck.said.Load(), free.said.Load()}; got != [2]int64{0, 3} {
			t.Errorf("the stuck one and the free one have said %v, want 0 and 3", got)
		}
		close(stuck.disk)
		synctest.Wait()
		if got := stuck.said.Load(); got != 1 {
			t.Errorf("the stuck one has said %d afterwards, want the one that waited", got)
		}
		if groups = groups.of([]string{"new"}); len(groups) != 1 {
			t.Errorf("gone groups are remembered: %v", groups)
		}
	})
}
