//go:build !linux

package gateway

import "net"

// newFront has nothing to add where no engine is an engine.Opener.
func newFront(_ *net.TCPListener, limits *limited) net.Listener { return limits }
