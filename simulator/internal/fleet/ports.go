package fleet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
)

// ports hands out loopback ports and keeps them for this fleet until it is closed.
//
// A port that the kernel picked (":0") may be taken again, by any outgoing connection, between the moment it is known and the
// moment chatd binds it, and again while a killed process is away. So ports come from below the range that the kernel picks
// from, and a lock keeps simulators on one machine from handing out the same one: a socket in Linux's abstract namespace, which
// needs no file and goes when its process goes. Any other program that binds the very port in the same moment still wins.
type ports struct {
	low, high int
	locks     []net.Listener
}

const loopback = "127.0.0.1"

func newPorts() *ports {
	p := &ports{low: 10000, high: 32768}
	var first, last int
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if n, _ := fmt.Sscan(string(text), &first, &last); n == 2 && first >= p.low+2000 {
			p.high = first
		}
	}
	return p
}

// next reserves one more port and returns it as host:port.
func (p *ports) next() (string, error) {
	for range 200 {
		port := p.low + rand.IntN(p.high-p.low)
		lock, err := net.Listen("unix", fmt.Sprintf("@chatfleet-simulator-port-%d", port))
		if err != nil {
			continue
		}
		addr := fmt.Sprintf("%s:%d", loopback, port)
		if probe, err := net.Listen("tcp", addr); err == nil {
			p.locks = append(p.locks, lock)
			return addr, probe.Close()
		}
		if err := lock.Close(); err != nil {
			return "", fmt.Errorf("reserve a port: %w", err)
		}
	}
	return "", fmt.Errorf("no free port on %s between %d and %d in 200 tries", loopback, p.low, p.high)
}

// close gives the ports back.
func (p *ports) close() error {
	var errs []error
	for _, lock := range p.locks {
		errs = append(errs, lock.Close())
	}
	p.locks = nil
	return errors.Join(errs...)
}
