//go:build linux

package epoll_test

import (
	"testing"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/engine/enginetest"
	"github.com/chatfleet/chatfleet/chatd/internal/engine/epoll"
)

func newEngine(cfg engine.Config) engine.Engine {
	e, err := epoll.New(cfg)
	if err != nil {
		panic(err)
	}
	return e
}

func TestSuite(t *testing.T) { enginetest.Suite{New: newEngine}.Run(t) }

func BenchmarkBroadcast(b *testing.B) { enginetest.Suite{New: newEngine}.Benchmark(b) }
