package election

import "testing"

// The behaviour, an election within a second, is tested where stores run: see package bus.
func TestSet(t *testing.T) {
	if got := inForce(); got != upstream {
		t.Fatalf("nats-server has the election times %+v, this package knows %+v", got, upstream)
	}
	for range 2 {
		if err := Set(); err != nil {
			t.Fatal(err)
		}
		want := Fast
		want.Heartbeat = 0 // ours, see Pulse
		if got := inForce(); got != want {
			t.Errorf("in force are %+v, want %+v", got, want)
		}
	}
}
