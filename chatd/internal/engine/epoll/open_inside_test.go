//go:build linux

package epoll

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

// passing releases whatever says something.
type passing struct{ said []byte }

func (p *passing) Heard([]byte) engine.Opened          { return engine.Opened{Next: engine.Release} }
func (p *passing) Released(_ int, said []byte, _ bool) { p.said = said }

// A socket that was released is no business of the loop's any more, whatever comes on it; what its client has said is not the loop's memory, either.
func TestAReleasedSocketIsNotWatched(t *testing.T) {
	e, l := standing(t, engine.Config{})
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	p := new(passing)
	e.Open(engine.Socket{FD: pair[0], Opening: p, Within: time.Hour})
	l.doOps()
	say := func(words string) {
		t.Helper()
		if _, err := unix.Write(pair[1], []byte(words)); err != nil {
			t.Fatal(err)
		}
	}
	say("GET")
	l.handle(l.poll.wait(time.Now().Add(time.Second)))
	clear(l.input)
	if string(p.said) != "GET" {
		t.Fatalf("released with %q", p.said)
	}
	say(" / HTTP/1.1")
	if events := l.poll.glance(); len(events) > 0 {
		t.Errorf("the loop is told of %d events", len(events))
	}
	if e.sessions != 0 || len(l.free) != 1 {
		t.Errorf("%d sessions, %d free places", e.sessions, len(l.free))
	}
}
