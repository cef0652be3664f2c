package swarm

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// endpoint is one shard's address, resolved once.
type endpoint struct {
	host string // as it was given, for the Host header
	addr netip.AddrPort
}

// resolve looks up HOST:PORT.
func resolve(ctx context.Context, hostPort string) (endpoint, error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return endpoint{}, fmt.Errorf("swarm: endpoint %q: want HOST:PORT: %w", hostPort, err)
	}
	n, err := net.DefaultResolver.LookupPort(ctx, "tcp", port)
	if err != nil {
		return endpoint{}, fmt.Errorf("swarm: endpoint %q: %w", hostPort, err)
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return endpoint{}, fmt.Errorf("swarm: endpoint %q: %w", hostPort, err)
	}
	return endpoint{host: hostPort, addr: netip.AddrPortFrom(addrs[0].Unmap(), uint16(n))}, nil
}

// sockaddr is the address as the kernel wants it, and its family.
func sockaddr(a netip.AddrPort) (unix.Sockaddr, int) {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}, unix.AF_INET
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}, unix.AF_INET6
}

// sessionsPerSource is well below the 28,000 ports that Linux gives one source address towards one target, so that ports
// which linger after a close do not run out either.
const sessionsPerSource = 8192

// sources are the local addresses to connect from.
type sources []netip.Addr

func parseSources(texts []string) (sources, error) {
	all := make(sources, len(texts))
	for i, text := range texts {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("swarm: sourceAddresses[%d]: %w", i, err)
		}
		all[i] = a.Unmap()
	}
	return all, nil
}

// of returns the source of the session with that run-wide number. Where none are given, sessions towards a loopback target
// spread over 127.64.0.0/10, and other targets are reached from whatever address the kernel takes.
func (s sources) of(target netip.Addr, number int) (source netip.Addr, bind bool) {
	switch {
	case len(s) > 0:
		return s[number%len(s)], true
	case !target.Is4() || !target.IsLoopback():
		return netip.Addr{}, false
	}
	block := number / sessionsPerSource
	return netip.AddrFrom4([4]byte{127, 64 + byte(block>>16)&63, byte(block >> 8), byte(block)}), true
}

// openSocket starts to connect without waiting. done says that the connection stands already. With little, the kernel keeps little
// of what is not read.
func openSocket(target netip.AddrPort, from sources, number int, little bool) (fd int, done bool, err error) {
	to, family := sockaddr(target)
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, false, fmt.Errorf("socket: %w", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	if err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return -1, false, fmt.Errorf("connect: TCP_NODELAY: %w", err)
	}
	if little {
		if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, slowBufferBytes); err != nil {
			return -1, false, fmt.Errorf("connect: SO_RCVBUF: %w", err)
		}
	}
	if source, bind := from.of(target.Addr(), number); bind {
		// The port is chosen at connect, when the target is known: only so can two connections share a source port.
		if err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return -1, false, fmt.Errorf("connect: IP_BIND_ADDRESS_NO_PORT: %w", err)
		}
		local, _ := sockaddr(netip.AddrPortFrom(source, 0))
		if err = unix.Bind(fd, local); err != nil {
			return -1, false, fmt.Errorf("connect: bind to %s: %w", source, err)
		}
	}
	switch err = unix.Connect(fd, to); err {
	case nil:
		return fd, true, nil
	case unix.EINPROGRESS:
		return fd, false, nil
	default:
		return -1, false, fmt.Errorf("connect: %w", err)
	}
}

// route says in which order a session goes round n endpoints: from its home, by a step of its own that meets all of
// them. So the sessions of a shard that is lost spread over all others.
func route(number, hop, n int) int {
	if n == 1 {
		return 0
	}
	step := 1 + int(mix(uint64(number))%uint64(n-1))
	for gcd(step, n) != 1 {
		step = 1 + step%(n-1)
	}
	return (number%n + hop*step) % n
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
