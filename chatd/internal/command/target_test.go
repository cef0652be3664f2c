package command

import (
	"io"
	"net"
	"testing"
	"time"
)

// What the other side said before it went can be read, whatever was written to it meanwhile.
func TestLastWordsAreRead(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const words = "certificate refused"
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = io.WriteString(c, words)
			_ = c.Close()
		}
	}()
	c, err := dialReadably(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(c, first); err != nil { // it has come, and the end of it with it
		t.Fatal(err)
	}
	for range 100 { // the first is answered by a reset, those after it fail
		if n, err := c.Write([]byte("hello")); n != 5 || err != nil {
			t.Fatalf("written %d bytes: %v", n, err)
		}
		time.Sleep(time.Millisecond)
	}
	rest, err := io.ReadAll(c)
	if got := string(first) + string(rest); got != words {
		t.Errorf("read %q (%v), want %q", got, err, words)
	}
}
