package node

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// listen listens for somebody, and says what to do if it cannot.
func listen(whom, setting, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
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
