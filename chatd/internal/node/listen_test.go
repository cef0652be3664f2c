package node

import (
	"net"
	"strings"
	"testing"
)

// A port in use, or an address of another machine, is said with the setting that mends it.
func TestListenSaysWhatToDo(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for addr, want := range map[string]string{
		taken.Addr().String(): "address already in use; end what listens there, or choose another port with admin",
		"203.0.113.1:9090":    "this machine has no such address",
	} {
		if l, err := listen("probes", "admin", addr); err == nil {
			l.Close()
			t.Errorf("%s could be listened on", addr)
		} else if !strings.Contains(err.Error(), "listening for probes: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("said: %v, want in it: %s", err, want)
		}
	}
}
