package node

import (
	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/engine/perconn"
)

// newEngine makes the engine of a name.
func newEngine(name string, cfg engine.Config) (engine.Engine, error) {
	if name == "epoll" {
		return newEpoll(cfg)
	}
	return perconn.New(cfg), nil
}
