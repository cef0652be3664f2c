package verdict

import (
	"strings"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
)

func TestSamplesFor(t *testing.T) {
	for _, tt := range []struct {
		p, confidence float64
		want          int64
	}{{99.9, 0.95, 2995}, {99.99, 0.95, 29_956}, {99, 0.95, 299}, {50, 0.5, 1}} {
		if got := SamplesFor(tt.p, tt.confidence); got != tt.want {
			t.Errorf("p%g at %g: %d, want %d", tt.p, tt.confidence, got, tt.want)
		}
	}
}

func TestConfidenceNeedsSamplesAndBlocks(t *testing.T) {
	confident := threshold("delivery", "p99.9", "1s")
	confident.Confidence = 0.95
	judge := func(spoil func(m *Measurements)) Result {
		m := goodRun()
		spoil(&m)
		return Judge(m, []v1alpha1.Threshold{confident}).Results[0]
	}

	good := judge(func(*Measurements) {})
	if good.Verdict != Pass || good.Blocks != 20 || !strings.Contains(good.Reason, "20 blocks; none had a miss, so up to 14 %") {
		t.Errorf("a good run: %s over %d blocks, %q", good.Verdict, good.Blocks, good.Reason)
	}

	few := judge(func(m *Measurements) { m.Blocks = m.Blocks[:9] })
	if few.Verdict != Inconclusive || !strings.Contains(few.Reason, "9 blocks") {
		t.Errorf("9 blocks: %s, %q", few.Verdict, few.Reason)
	}

	small := judge(func(m *Measurements) {
		for i := range m.Blocks {
			m.Blocks[i].Latency = histogram(time.Millisecond, 100)
		}
	})
	if small.Verdict != Inconclusive || !strings.Contains(small.Reason, "2000 samples") {
		t.Errorf("2,000 samples: %s, %q", small.Verdict, small.Reason)
	}

	none := judge(func(m *Measurements) { m.Blocks = nil })
	if none.Verdict != Inconclusive {
		t.Errorf("no blocks: %s", none.Verdict)
	}
}

// 19 misses of 20,000 hold p99.9 in this run. All in one block they say little of the next: most resamples that draw the block
// twice miss the bound.
func TestMissesInOneBlockCarryNoClaim(t *testing.T) {
	confident := threshold("delivery", "p99.9", "1s")
	confident.Confidence = 0.95
	m := goodRun()
	m.Deliveries.Latency = histogram(200*time.Millisecond, 19_981)
	m.Deliveries.Latency.RecordN(3*time.Second, 19)
	m.Blocks[0].Latency = histogram(200*time.Millisecond, 981)
	m.Blocks[0].Latency.RecordN(3*time.Second, 19)

	if r := Judge(m, []v1alpha1.Threshold{threshold("delivery", "p99.9", "1s")}).Results[0]; r.Verdict != Pass {
		t.Errorf("this run: %s, %q", r.Verdict, r.Reason)
	}
	if r := Judge(m, []v1alpha1.Threshold{confident}).Results[0]; r.Verdict != Inconclusive || !strings.Contains(r.Reason, "resamples of 20 blocks") {
		t.Errorf("the next run: %s, %q", r.Verdict, r.Reason)
	}
}
