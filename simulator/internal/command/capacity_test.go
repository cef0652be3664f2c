package command

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/chatfleet/chatfleet/simulator/internal/report"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// scenarioToVary is a run of two seconds whose bound, %s, is one that any machine meets.
const scenarioToVary = `
apiVersion: chatfleet.io/v1alpha1
kind: Scenario
name: varied
population: {subscribers: 20, channels: 4, attachPerSession: 2}
phases:
  connect: {duration: 1s}
  measure: 2s
  settle: 30s
chatter: {arrivals: constant, ratePerSecond: 10, messageBytes: 200B}
thresholds:
  - {metric: delivery, aggregation: max, bound: %s}
`

// A search on a real fleet: twice the load holds, and as nothing more may be tried, the fleet bears at least that.
func TestCapacity(t *testing.T) {
	l := startCommand(t, "capacity", fmt.Sprintf(scenarioToVary, "30s"), "stores=1,shards=1,partitions=2", "--to", "20", "--repeats", "1")
	code := l.ended(t)
	c, err := report.ReadCapacity(l.out)
	if err != nil {
		t.Fatalf("exit code %d: %v\n%s%s", code, err, l.stdout.String(), l.stderr.String())
	}
	// A machine that is very busy may have the generator give up.
	if code != c.ExitCode || code != 0 && code != verdict.ExitUnhealthy {
		t.Errorf("exit code %d, %s\n%s%s", code, c.Finding, l.stdout.String(), l.stderr.String())
	}
	if code == 0 && (len(c.Steps) != 3 || c.Capacity.Amount != 20 || !c.AtLeast || c.Steps[2].Kind != "hold" || c.Steps[2].DeliveredPerSecond < 100) {
		t.Errorf("%+v\n%s", c, l.stdout.String())
	}
	if s := c.Steps[0]; len(s.Used) != 3 || s.Used[0].Share <= 0 || s.Used[0].Share > 1 || s.Used[1].Share <= 0 || s.Used[2].Share <= 0 || s.Used[2].Share > 1 || len(s.Processors) != 4 || s.Processors[0].Share <= 0 || s.Processors[2].Share <= 0 {
		t.Errorf("used %+v, processors %+v", s.Used, s.Processors)
	}
	for _, s := range c.Steps {
		r, err := report.Read(filepath.Join(l.out, "steps", fmt.Sprint(s.Number)))
		if err != nil || r.Verdict != s.Verdict || r.Spec.Chatter.RatePerSecond != s.Load.Amount {
			t.Errorf("step %d: %v, verdict %s, want %s", s.Number, err, r.Verdict, s.Verdict)
		}
		if r.Machine == nil || r.Processors == nil || r.Processors.GeneratorSeconds <= 0 {
			t.Errorf("machine %+v, processors %+v", r.Machine, r.Processors)
		}
		// A fleet of its own, which is gone.
		if _, err := os.Stat(filepath.Join(l.out, "steps", fmt.Sprint(s.Number), "logs", "store-0.log")); err != nil {
			t.Error(err)
		}
	}
	lines := strings.Split(strings.TrimSpace(l.stdout.String()), "\n")
	if want := c.Finding + " · report " + filepath.Join(l.out, "capacity.html"); lines[len(lines)-1] != want {
		t.Errorf("last line %q, want %q", lines[len(lines)-1], want)
	}
	if code, stdout, stderr := simulator("report", l.out); code != c.ExitCode || stdout != lines[len(lines)-1]+"\n" || stderr != "" {
		t.Errorf("again: exit code %d, %q, %q", code, stdout, stderr)
	}
	l.leavesNothing(t)
}

// Ctrl-C ends a search in order: what was found by then is written.
func TestInterruptedSearch(t *testing.T) {
	l := startCommand(t, "capacity", fmt.Sprintf(scenarioToVary, "30s"), "stores=1,shards=1,partitions=2")
	l.until(t, "step 2   probe")
	if err := syscall.Kill(-l.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := l.ended(t); code != verdict.ExitInterrupted {
		t.Errorf("exit code %d, want 130\n%s%s", code, l.stdout.String(), l.stderr.String())
	}
	c, err := report.ReadCapacity(l.out)
	if err != nil || c.ExitCode != verdict.ExitInterrupted || len(c.Steps) < 1 || !strings.Contains(c.Finding, "interrupted") {
		t.Errorf("%v: %+v", err, c)
	}
	l.leavesNothing(t)
}
