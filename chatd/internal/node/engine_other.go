//go:build !linux

package node

import (
	"errors"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

const hasEpoll = false

func newEpoll(engine.Config) (engine.Engine, error) {
	return nil, errors.New("engine epoll: this system is not Linux; leave it to auto")
}
