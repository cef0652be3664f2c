package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// listen listens for somebody, and says what to do if it cannot.
func listen(whom, setting, addr string) (net.Listener, error) {
	// Without the kernel's keep-alive, which takes three calls for each connection of a storm: who is silent is found by the deadlines of
	// requests and the pings of sessions, sooner than by the kernel.
	l, err := (&net.ListenConfig{KeepAlive: -1}).Listen(context.Background(), "tcp", addr)
	todo := ""
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		todo = "; end what listens there, or choose another port with " + setting
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		todo = "; this machine has no such address: choose one of its own, or none for all, with " + setting
	case errors.Is(err, os.ErrPermission):
		todo = "; choose a port above 1023 with " + setting
	}
	return nil, fmt.Errorf("listening for %s: %w%s", whom, err, todo)
}
