package fleet

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestFleetStartsAndEnds(t *testing.T) {
	f := startFleet(t, "stores=3,shards=2")
	var pids []int
	for i, want := range []string{"store-0", "store-1", "store-2", "shard-0", "shard-1"} {
		p := f.Processes()[i]
		if p.Name != want {
			t.Errorf("process %d is %s, want %s", i, p.Name, want)
		}
		if err := p.Ready(t.Context()); err != nil {
			t.Error(err)
		}
		group, err := syscall.Getpgid(p.Pid())
		if err != nil || group != p.Pid() {
			t.Errorf("%s is in process group %d, %v; want its own, that Ctrl-C does not reach", p.Name, group, err)
		}
		stats, err := p.Stats()
		if err != nil || stats.RSSBytes < 1<<20 || stats.FileDescriptors < 4 || stats.Threads < 1 {
			t.Errorf("%s uses %+v, %v", p.Name, stats, err)
		}
		// What the kernel shows in /proc is rounded down to a hundredth of a second.
		if before, cpu, after := stats.CPU, p.CPU(), cpuTime(t, p); cpu < before || cpu >= after+20*time.Millisecond {
			t.Errorf("%s has used %s of CPU, which is not between %s and %s", p.Name, cpu, before, after)
		}
		if pss, err := p.PSSBytes(); err != nil || pss <= 0 || pss > stats.RSSBytes*2 {
			t.Errorf("%s: PSS %d, %v", p.Name, pss, err)
		}
		pids = append(pids, p.Pid())
	}
	if got := len(f.Endpoints()); got != 2 {
		t.Errorf("%d endpoints, want 2", got)
	}
	if err := f.Close(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if syscall.Kill(pid, 0) == nil {
			t.Errorf("process %d is still there", pid)
		}
	}
	if _, err := os.Stat(f.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
	select {
	case e := <-f.Exits():
		t.Errorf("an ordered end was reported as an exit: %v", e)
	default:
	}
	if err := f.Processes()[0].Start(); err == nil {
		t.Error("a process started after the end")
	}
}

func TestRoles(t *testing.T) {
	f := startFleet(t, "stores=3,shards=1")
	roles, err := f.Roles(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if roles.MetaLeader != "store-1" || roles.Led["store-0"] != 5 || len(roles.Led) != 3 {
		t.Errorf("roles %+v", roles)
	}
	store, err := f.Process("store-1")
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Kill(); err != nil {
		t.Fatal(err)
	}
	if roles, err = f.Roles(t.Context()); err != nil || roles.MetaLeader != "" || len(roles.Led) != 2 {
		t.Errorf("with store-1 dead: roles %+v, %v", roles, err)
	}
	metrics, err := f.Stores()[0].Metrics(t.Context())
	if err != nil || metrics["chatd_posts_total"] != 5 {
		t.Errorf("posts over both labels %v, %v; want 5", metrics["chatd_posts_total"], err)
	}
}

func cpuTime(t *testing.T, p *Process) time.Duration {
	t.Helper()
	s, err := p.Stats()
	if err != nil {
		t.Error(err)
	}
	return s.CPU
}

func TestKillAndRestart(t *testing.T) {
	f := startFleet(t, "stores=1,shards=1")
	p := f.Stores()[0]
	before := p.Pid()
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if p.Running() || p.Kill() == nil || p.Cont() == nil {
		t.Error("a killed process takes signals")
	}
	used, err := p.Stats()
	if cpu := p.CPU(); cpu != used.CPU {
		t.Errorf("killed, it has used %s of CPU, or %s", cpu, used.CPU)
	}
	if err != nil || used.RSSBytes != 0 || used.CPU == 0 {
		t.Errorf("killed, it uses %+v, %v; want the CPU time that it had", used, err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if err := f.WaitReady(t.Context(), 30*time.Second, p); err != nil {
		t.Fatal(err)
	}
	if p.Pid() == before {
		t.Error("the same process")
	}
	if now := p.CPU(); now < used.CPU {
		t.Errorf("CPU went back from %s to %s", used.CPU, now)
	}
	if now, err := p.Stats(); err != nil || now.CPU < used.CPU {
		t.Errorf("CPU went back from %s to %s, %v", used.CPU, now.CPU, err)
	}
	if len(f.Exits()) > 0 {
		t.Error("a kill on purpose was reported as an exit")
	}
}

func TestStopAndContinue(t *testing.T) {
	f := startFleet(t, "stores=1,shards=1")
	p := f.Shards()[0]
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if !p.Running() {
		t.Error("a stopped process counts as gone")
	}
	if err := p.Ready(t.Context()); err == nil {
		t.Error("a stopped process answered")
	}
	if err := p.Cont(); err != nil {
		t.Fatal(err)
	}
	if err := f.WaitReady(t.Context(), 30*time.Second, p); err != nil {
		t.Error(err)
	}
}

func TestUnexpectedExitIsReported(t *testing.T) {
	f := startFleet(t, "stores=1,shards=1")
	if err := syscall.Kill(f.Shards()[0].Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case e := <-f.Exits():
		if e.Name != "shard-0" || !strings.Contains(e.Error(), "killed") || !strings.Contains(e.LastLines, "shard-0 begins") {
			t.Errorf("reported: %v", e)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was reported")
	}
}

func TestStartFails(t *testing.T) {
	for fault, says := range map[string]string{
		"store-0:dies":  "no room in here",
		"shard-1:never": "partition 7 has no owner",
	} {
		t.Run(fault, func(t *testing.T) {
			t.Setenv("FLEET_TEST_FAULT", fault)
			parent := t.TempDir()
			_, err := Start(t.Context(), Config{
				Spec:  Spec{Stores: 3, Shards: 2, Partitions: 1, Replicas: 3, Durability: Fsync},
				Chatd: os.Args[0], Reaper: startReaper(t), ParentDir: parent, ReadyWithin: 5 * time.Second,
			})
			name, _, _ := strings.Cut(fault, ":")
			if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), name) {
				t.Errorf("error %v; want one that names %s and says %q", err, name, says)
			}
			if left, _ := filepath.Glob(filepath.Join(parent, "*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestMissingChatd(t *testing.T) {
	_, err := Start(t.Context(), Config{Spec: Spec{Stores: 1, Shards: 1}, Chatd: "/nonexistent/chatd", Reaper: startReaper(t), ParentDir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/chatd") {
		t.Errorf("error %v; want one that names the executable", err)
	}
}

// A process that does not listen to SIGTERM is killed when its time is over.
func TestDeafProcessIsKilled(t *testing.T) {
	t.Setenv("FLEET_TEST_FAULT", "store-0:deaf")
	f := startFleet(t, "stores=1,shards=1")
	if err := f.Close(time.Second); err != nil {
		t.Fatal(err)
	}
	if f.Stores()[0].Running() {
		t.Error("it still runs")
	}
}

func TestKeep(t *testing.T) {
	f, err := Start(t.Context(), Config{
		Spec: Spec{Stores: 1, Shards: 1}, Chatd: os.Args[0], Reaper: startReaper(t), ParentDir: t.TempDir(), Keep: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	if log, err := os.ReadFile(filepath.Join(f.Dir, "log", "store-0.log")); err != nil || !strings.Contains(string(log), "store-0 begins") {
		t.Errorf("log %q, %v", log, err)
	}
}

func TestKilledSimulatorLeavesNoFleet(t *testing.T) {
	cmd := doomed(t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var dir string
	var pids [5]int
	if _, err := fmt.Fscan(out, &dir, &pids[0], &pids[1], &pids[2], &pids[3], &pids[4]); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		left := 0
		for _, pid := range pids {
			if alive(pid) {
				left++
			}
		}
		_, err := os.Stat(dir)
		if left == 0 && errors.Is(err, os.ErrNotExist) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("20 s after kill -9 there are %d processes, and the directory: %v", left, err)
		}
	}
}

func TestPortsAreNotGivenTwice(t *testing.T) {
	a, b := newPorts(), newPorts()
	a.low, a.high = 20000, 20012
	b.low, b.high = a.low, a.high
	seen := map[string]bool{}
	for range 4 {
		for _, p := range []*ports{a, b} {
			addr, err := p.next()
			if err != nil {
				t.Fatal(err)
			}
			if seen[addr] {
				t.Errorf("%s was given twice", addr)
			}
			seen[addr] = true
			l, err := net.Listen("tcp", addr)
			if err != nil {
				t.Errorf("the reserved port is taken: %v", err)
				continue
			}
			defer l.Close()
		}
	}
	if err := errors.Join(a.close(), b.close()); err != nil {
		t.Error(err)
	}
}

func TestLogIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	line := []byte(strings.Repeat("x", 1<<20-1) + "\n")
	for range 40 {
		if n, err := l.Write(line); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	if _, err := l.Write([]byte("one\ntwo\nthree\n")); err != nil {
		t.Fatal(err)
	}
	if got := l.lastLines(2); got != "two\nthree" {
		t.Errorf("last lines %q", got)
	}
	for _, name := range []string{path, path + ".1"} {
		if info, err := os.Stat(name); err != nil || info.Size() > maxLogBytes {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

// alive says whether a process runs; a zombie does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}
