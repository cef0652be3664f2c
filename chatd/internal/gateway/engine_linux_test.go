package gateway_test

import (
	"testing"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/engine/epoll"
)

// newEngine makes the engine that this system's shards have.
func newEngine(t testing.TB, cfg engine.Config) engine.Engine {
	t.Helper()
	e, err := epoll.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}
