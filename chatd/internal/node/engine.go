package node

import (
	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/engine/perconn"
)

// Names of engines. EngineAuto is the best that the system has.
const (
	EngineAuto       = "auto"
	EngineGoroutines = "goroutines"
	EngineEpoll      = "epoll"
)

// newEngine makes the engine of a name.
func newEngine(name string, cfg engine.Config) (engine.Engine, error) {
	if name == EngineEpoll || (name == EngineAuto || name == "") && hasEpoll {
		return newEpoll(cfg)
	}
	return perconn.New(cfg), nil
}
