package perconn_test

import (
	"net"
	"testing"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/engine/enginetest"
	"github.com/chatfleet/chatfleet/chatd/internal/engine/perconn"
)

func newEngine(cfg engine.Config) engine.Engine { return perconn.New(cfg) }

func TestSuite(t *testing.T) { enginetest.Suite{New: newEngine}.Run(t) }

// opaque hides that a connection is a socket, as TLS does, so that the engine writes in goroutines that wait.
type opaque struct{ net.Conn }

func TestSuiteOnOpaqueConnections(t *testing.T) {
	enginetest.Suite{New: newEngine, Wrap: func(c net.Conn) net.Conn { return opaque{c} }}.Run(t)
}

func BenchmarkBroadcast(b *testing.B) { enginetest.Suite{New: newEngine}.Benchmark(b) }
