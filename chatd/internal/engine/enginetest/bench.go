package enginetest

import (
	"io"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

// Benchmark measures a broadcast: one event to 1,000 sessions, until all are written. What it allocates must not grow with
// the number of sessions.
func (s Suite) Benchmark(b *testing.B) {
	const sessions = 1000
	r := s.start(b, engine.Config{})
	log := r.engine.OpenLog("c1", 1, 0)
	for range sessions {
		c := r.connect(engine.Protobuf)
		go func() { _, _ = io.Copy(io.Discard, c.conn) }()
		c.attach(log, 0)
	}
	pts := uint64(0)
	broadcast := func() {
		pts++
		log.Append(frameOf(b, "c1", 1, pts, 200))
		for r.engine.Stats().Deliveries < pts*sessions {
			time.Sleep(50 * time.Microsecond)
		}
	}
	broadcast()
	b.ReportAllocs()
	for b.Loop() {
		broadcast()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*sessions), "µs/delivery")
}
