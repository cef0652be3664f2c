package command

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/report"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// scenarioOfFaults is a run of half a minute in which a store and a shard are killed, one is stopped, and clocks are set. Its times have room for a machine that does
// other things; that nothing is lost, doubled or out of order has none.
const scenarioOfFaults = `
apiVersion: chatfleet.io/v1alpha1
kind: Scenario
name: faults
population: {subscribers: 30, devicesPerUser: 2, channels: 6, attachPerSession: 2, jsonShare: 0.2}
phases:
  connect: {duration: 1s}
  warmup: 1s
  measure: 25s
  settle: 30s
chatter: {arrivals: constant, ratePerSecond: 20, messageBytes: 200B}
broadcasts:
  - {at: 1s, every: 4s, count: 5, deliverWithin: 30s}
faults:
  - {name: store killed, action: kill, target: store-leading, restartAfter: 1s, at: 3s}
  - {name: shard killed, action: kill, target: shard, restartAfter: 1s, at: 9s}
  - {name: store stopped, action: stop, target: meta-leader, for: 2s, at: 14s}
  - {name: store behind, action: clock, target: store-leading, step: -1h, for: 2s, at: 17s}
  - {name: shard ahead, action: clock, target: shard, step: 1h, for: 2s, at: 20s}
thresholds:
  - {metric: unacknowledged, bound: 0}
  - {metric: delivery, aggregation: max, bound: 60s}
  - {metric: faultAckWait, bound: 60s, minSamples: 5}
`

// programs are the real ones, built once.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "chatfleet-test-*")
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-o", dir+"/", "github.com/chatfleet/chatfleet/chatd", "github.com/chatfleet/chatfleet/simulator")
	if out, err := build.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := programs(); dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// local is a simulator that plays a scenario on a local fleet.
type local struct {
	*exec.Cmd
	bin, dirs, out string
	stdout, stderr lockedBuffer
}

func startLocal(t *testing.T, spec string) *local {
	t.Helper()
	return startCommand(t, "run", scenarioOfFaults, spec)
}

// startCommand starts a command of the simulator that plays a scenario on a local fleet.
func startCommand(t *testing.T, command, scenario, spec string, flags ...string) *local {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a fleet of real processes")
	}
	bin, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "scenario.yaml")
	if err := os.WriteFile(file, []byte(scenario), 0o600); err != nil {
		t.Fatal(err)
	}
	l := &local{bin: bin, dirs: t.TempDir(), out: t.TempDir()}
	l.Cmd = exec.Command(filepath.Join(bin, "simulator"), append([]string{command, file, "--local", spec, "--local-dir", l.dirs, "--out", l.out}, flags...)...)
	l.Stdout, l.Stderr = &l.stdout, &l.stderr
	l.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := l.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Process.Kill(); _ = l.Wait() })
	return l
}

// until waits until the simulator has said something.
func (l *local) until(t *testing.T, says string) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !strings.Contains(l.stdout.String(), says); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it has not said %q in three minutes:\n%s%s", says, l.stdout.String(), l.stderr.String())
		}
	}
}

// ended waits for the end and returns the exit code.
func (l *local) ended(t *testing.T) int {
	t.Helper()
	err := l.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	t.Fatal(err)
	return 0
}

// leavesNothing waits until no process of the run is left, nor a file of its fleet.
func (l *local) leavesNothing(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		processes := l.processes()
		files, err := filepath.Glob(filepath.Join(l.dirs, "*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(processes)+len(files) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left behind: %v, %v", processes, files)
		}
	}
}

// processes lists what runs one of the test's programs.
func (l *local) processes() []string {
	var running []string
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		if exe, err := os.Readlink(link); err == nil && strings.HasPrefix(exe, l.bin+"/") {
			running = append(running, link+" → "+exe)
		}
	}
	return running
}

// Through the death of a store and a shard and a store that stands still, nothing is lost, and the report has it all.
func TestRunWithFaults(t *testing.T) {
	l := startLocal(t, "stores=3,shards=2,partitions=4")
	code := l.ended(t)
	r, err := report.Read(l.out)
	if err != nil {
		t.Fatalf("exit code %d: %v\n%s%s", code, err, l.stdout.String(), l.stderr.String())
	}
	if code != r.ExitCode || r.Verdict == verdict.Fail || r.Verdict == verdict.Inconclusive {
		t.Errorf("exit code %d, verdict %s: %q\n%s%s", code, r.Verdict, r.Reasons, l.stdout.String(), l.stderr.String())
	}
	d := r.Deliveries
	if d.Expected == 0 || d.Lost+d.Duplicate+d.Unordered != 0 || r.Posts.MissingAcknowledged != 0 || r.Posts.Checked < 400 {
		t.Errorf("deliveries %+v, posts %+v", d, r.Posts)
	}
	for i, role := range []string{"store, leads", "shard", "and the stores", "clock set by -1h0m0s", "shard, clock set by 1h0m0s"} {
		f := r.Faults[i]
		if f.Error != "" || !strings.Contains(f.Role, role) || f.BackAtMs == nil || f.LongestAckWaitMs <= 0 || f.LongestAckWaitMs.Infinite() {
			t.Errorf("fault %+v", f)
		}
	}
	sessions, delivered := int64(0), int64(0)
	for _, s := range r.Shards {
		sessions, delivered = sessions+s.Sessions, delivered+s.Latency.Count()
	}
	if len(r.Shards) != 2 || sessions != 60 || delivered == 0 || r.Shards[0].Name != "shard-0" {
		t.Errorf("%d sessions and %d deliveries by shard: %+v", sessions, delivered, r.Shards)
	}
	if r.Sessions.Dropped == 0 {
		t.Error("a shard was killed and no session has lost its connection")
	}
	// What was used when adds up to what was used, though processes were killed meanwhile; the two are not begun and ended at one moment.
	seconds := 0.0
	for _, p := range r.Fleet.Processes {
		seconds += p.CPUSeconds
	}
	if over := float64(r.Series.CPUMicros.Total()) / 1e6; over < 0.9*seconds-0.2 || over > 1.1*seconds+0.2 {
		t.Errorf("the fleet has used %.2f s of processor time, and %.2f s over time", seconds, over)
	}
	if c, err := report.Compare(r, r, report.CompareOptions{LeastEffect: 0.05}); err != nil || c.Verdict != verdict.Pass {
		t.Errorf("held against itself: %s %q, %v", c.Verdict, c.Reasons, err)
	}
	if f := r.Fleet; f.Stores != 3 || f.Shards != 2 || f.Replicas != 3 || f.Durability != "Fsync" || len(f.Processes) != 5 || f.CPUMicrosPerDelivery <= 0 {
		t.Errorf("fleet %+v", f)
	}
	lines := strings.Split(strings.TrimSpace(l.stdout.String()), "\n")
	if last := lines[len(lines)-1]; !strings.Contains(last, " faults: ") || !strings.HasSuffix(last, filepath.Join(l.out, "report.html")) {
		t.Errorf("last line %q", last)
	}
	for _, file := range []string{"report.json", "report.html", "junit.xml", "latency.hlog", "logs/store-0.log"} {
		if info, err := os.Stat(filepath.Join(l.out, file)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", file, err)
		}
	}
	l.leavesNothing(t)
}

// Ctrl-C in a terminal reaches the simulator alone, which finishes in order.
func TestInterrupt(t *testing.T) {
	l := startLocal(t, "stores=1,shards=1,partitions=2")
	l.until(t, "measure ")
	if err := syscall.Kill(-l.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := l.ended(t); code != verdict.ExitInterrupted {
		t.Errorf("exit code %d, want 130\n%s%s", code, l.stdout.String(), l.stderr.String())
	}
	r, err := report.Read(l.out)
	if err != nil || r.Verdict != verdict.Inconclusive || !strings.Contains(strings.Join(r.Reasons, " "), "interrupted") {
		t.Errorf("verdict %s, reasons %q, %v", r.Verdict, r.Reasons, err)
	}
	if r.Deliveries.Lost != 0 || r.Posts.Acknowledged == 0 {
		t.Errorf("deliveries %+v, posts %+v", r.Deliveries, r.Posts)
	}
	l.leavesNothing(t)
}

// A process of the fleet that ends by itself is a defect, whatever the others make up for.
func TestCrash(t *testing.T) {
	l := startLocal(t, "stores=1,shards=2,partitions=2")
	l.until(t, "measure ")
	for _, link := range l.processes() {
		dir := filepath.Dir(strings.Fields(link)[0])
		args, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		if !strings.Contains(string(args), "shard-1") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	l.until(t, "shard-1 ended by itself")
	if err := syscall.Kill(-l.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	l.ended(t)
	r, err := report.Read(l.out)
	if err != nil || r.Verdict != verdict.Fail || len(r.Fleet.Exits) != 1 || !strings.Contains(r.Reasons[0], "shard-1: ") {
		t.Errorf("verdict %s, reasons %q, exits %q, %v", r.Verdict, r.Reasons, r.Fleet.Exits, err)
	}
	l.leavesNothing(t)
}

// However a simulator ends, at whatever moment, nothing of its fleet is left.
func TestNothingIsLeft(t *testing.T) {
	for name, c := range map[string]struct {
		moment string
		end    func(l *local) error
	}{
		"killed while it starts": {"prepare ", func(l *local) error {
			time.Sleep(200 * time.Millisecond) // Some processes are there then, and some are not.
			return l.Process.Kill()
		}},
		"killed while it runs": {"signed in after", func(l *local) error { return l.Process.Kill() }},
		"asked twice": {"signed in after", func(l *local) error {
			err := l.Process.Signal(syscall.SIGTERM)
			time.Sleep(50 * time.Millisecond)
			return errors.Join(err, l.Process.Signal(syscall.SIGTERM))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			l := startLocal(t, "stores=1,shards=1,partitions=2")
			l.until(t, c.moment)
			if err := c.end(l); err != nil {
				t.Fatal(err)
			}
			if code := l.ended(t); code != verdict.ExitInterrupted && code != -1 {
				t.Errorf("exit code %d", code)
			}
			l.leavesNothing(t)
		})
	}
}

// A fleet that does not start is exit code 6, with what the process had to say.
func TestFleetDoesNotStart(t *testing.T) {
	bin, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "chatd")
	script := "#!/bin/sh\nif [ \"$1\" = keygen ]; then exec " + bin + "/chatd \"$@\"; fi\necho no room in here >&2\nexit 7\n"
	if err := os.WriteFile(broken, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin+"/simulator", "run", smoke(), "--local", "stores=1,shards=1", "--chatd", broken, "--out", t.TempDir(), "--local-dir", t.TempDir())
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != verdict.ExitUnreachable || !strings.Contains(string(out), "no room in here") {
		t.Errorf("%v\n%s", err, out)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
