//go:build unix

package perconn

import (
	"errors"
	"syscall"
)

const canWriteNow = true

// writeNow writes to a socket what it takes without waiting. It is reused, so that a write allocates nothing.
type writeNow struct {
	data []byte
	n    int
	err  error
	try  func(fd uintptr) bool
}

func (w *writeNow) init() { w.try = w.tryOnce }

// to writes data; blocked says that the socket took only the first n bytes for now.
func (w *writeNow) to(raw syscall.RawConn, data []byte) (n int, blocked bool, err error) {
	w.data, w.n, w.err = data, 0, nil
	if err := raw.Write(w.try); err != nil {
		return 0, false, err
	}
	n, err, w.data = w.n, w.err, nil
	if errors.Is(err, syscall.EAGAIN) {
		return n, true, nil
	}
	return n, err == nil && n < len(data), err
}

// tryOnce always returns true: done, do not wait for the socket.
func (w *writeNow) tryOnce(fd uintptr) bool {
	for {
		n, err := syscall.Write(int(fd), w.data)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		w.n, w.err = max(n, 0), err
		return true
	}
}
