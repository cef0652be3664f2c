package delay

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/stamp"
)

// hangs bounds every wait of these tests. Nothing is judged by it.
const hangs = time.Minute

// pair is a connection through a proxy: what the session has, and what the shard.
func pair(t *testing.T) (p *Proxies, near, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if p, err = Open([]string{l.Addr().String()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	conn, err := net.DialTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 64, 0, 7)}, net.TCPAddrFromAddrPort(mustAddr(t, p.Addresses()[0])))
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	near, far = conn, accepted.(*net.TCPConn)
	for _, c := range []net.Conn{near, far} {
		t.Cleanup(func() { c.Close() })
		if err := c.SetDeadline(time.Now().Add(hangs)); err != nil {
			t.Fatal(err)
		}
	}
	return p, near, far
}

func exchange(t *testing.T, from, to net.Conn, text string) (took time.Duration) {
	t.Helper()
	began := stamp.Now()
	if _, err := from.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(to, got); err != nil || string(got) != text {
		t.Fatalf("%q, %v, want %q", got, err, text)
	}
	return time.Duration(stamp.Now() - began)
}

// What comes while the way is longer goes on later, in both directions; before and after it, at once: the delay is so long that nothing
// else can be taken for it.
func TestDelay(t *testing.T) {
	const by = 2 * time.Second
	p, near, far := pair(t)
	if took := exchange(t, near, far, "before"); took >= by {
		t.Errorf("undelayed, it took %s", took)
	}
	p.Delay(stamp.Now(), stamp.Now()+int64(hangs), by, 100*time.Millisecond)
	if took := exchange(t, near, far, "there"); took < by {
		t.Errorf("there it took %s, want at least %s", took, by)
	}
	if took := exchange(t, far, near, "and back"); took < by {
		t.Errorf("back it took %s, want at least %s", took, by)
	}
	p.End()
	if took := exchange(t, near, far, "after"); took >= by {
		t.Errorf("undelayed again, it took %s", took)
	}
	if ip := far.RemoteAddr().(*net.TCPAddr).IP; !ip.Equal(net.IPv4(127, 64, 0, 7)) {
		t.Errorf("the shard sees %s, and not the session's address", ip)
	}
}

// A delay does not add up: ten pieces on their way at once all arrive one delay later, in their order though each has a jitter of
// its own, also where more is on its way than a window holds.
func TestDelaysDoNotAddUp(t *testing.T) {
	const by, pieces = time.Second, 100
	p, near, far := pair(t)
	p.Delay(stamp.Now(), stamp.Now()+int64(hangs), by, 500*time.Millisecond)
	began := stamp.Now()
	var want []byte
	for i := range pieces {
		want = append(want, bytes.Repeat([]byte{byte(i)}, 8<<10)...)
	}
	go func() { _, _ = near.Write(want) }()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(far, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("what came is not what was sent")
	}
	if took := time.Duration(stamp.Now() - began); took < by || took > pieces*by/4 {
		t.Errorf("all of it took %s", took)
	}
}

// The end of one direction goes on as that, behind what was sent before it; a reset as a reset.
func TestEnds(t *testing.T) {
	_, near, far := pair(t)
	if _, err := near.Write([]byte("the last")); err != nil {
		t.Fatal(err)
	}
	if err := near.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(far); err != nil || string(got) != "the last" {
		t.Errorf("%q, %v", got, err)
	}
	exchange(t, far, near, "the other direction still stands")

	_, near, far = pair(t)
	exchange(t, near, far, "hello")
	abort(near)
	if _, err := far.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after a reset: %v", err)
	}
}

// Who cannot be reached is not reached through a proxy either.
func TestNoShard(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	p, err := Open([]string{l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	conn, err := net.Dial("tcp", p.Addresses()[0])
	if err == nil { // The reset may also come before the dial returns.
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(hangs))
		_, err = conn.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v", err)
	}
}

func TestRoomFor(t *testing.T) {
	for limit, want := range map[uint64]int{0: 0, 1024: 0, 20000: 4744, 1 << 63: 1 << 20} {
		if got := RoomFor(limit); got != want {
			t.Errorf("of %d files: %d, want %d", limit, got, want)
		}
	}
}

func mustAddr(t *testing.T, hostPort string) netip.AddrPort {
	t.Helper()
	a, err := netip.ParseAddrPort(hostPort)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
