package bus_test

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
	"github.com/chatfleet/chatfleet/chatd/internal/election"
)

// loneEnv makes the test binary a process for TestPulse: times are the process's, and other tests have set them already.
const loneEnv = "CHATFLEET_PULSE_CHILD"

// Leaders that never speak for themselves stay leaders, since all that a store leads speak at once.
func TestPulse(t *testing.T) {
	if os.Getenv(loneEnv) == "" {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestPulse$", "-test.timeout", "5m", "-test.v")
		cmd.Env = append(os.Environ(), loneEnv+"=yes")
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("groups stayed")) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	election.Fast.Lone = time.Hour
	r := startRegion(t, 3, 8, nil)
	eventually(t, func() error { return current(r.stores) })
	terms := func() map[string]uint64 {
		all := map[string]uint64{}
		for _, s := range r.stores {
			maps.Copy(all, bus.Terms(s))
		}
		return all
	}
	// A busy machine may cost an election; without the pulse there is one in each group for every such time.
	for try := range 5 {
		before := terms()
		time.Sleep(3 * election.Fast.MaxElection)
		after := terms()
		if maps.Equal(before, after) && len(after) == groupsOf(8) {
			t.Logf("%d groups stayed", len(after))
			return
		}
		t.Logf("try %d: terms were %v, and are %v", try, before, after)
	}
	t.Error("groups elect though their leaders are there")
}
