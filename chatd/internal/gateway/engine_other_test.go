//go:build !linux

package gateway_test

import (
	"testing"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/engine/perconn"
)

// newEngine makes the engine that this system's shards have.
func newEngine(_ testing.TB, cfg engine.Config) engine.Engine { return perconn.New(cfg) }
