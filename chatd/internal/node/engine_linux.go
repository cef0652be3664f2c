package node

import (
	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/engine/epoll"
)

const hasEpoll = true

func newEpoll(cfg engine.Config) (engine.Engine, error) { return epoll.New(cfg) }
