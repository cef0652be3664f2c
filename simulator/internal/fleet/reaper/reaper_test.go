package reaper

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary plays three parts besides its own: the reaper, a simulator, and a child of the simulator.
func TestMain(m *testing.M) {
	switch os.Getenv("REAPER_TEST_PART") {
	case "":
		os.Exit(m.Run())
	case "reaper":
		if err := Main(os.Stdin, os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case "simulator":
		simulator()
	case "child":
		// As a stuck server would: it listens to nobody.
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
		time.Sleep(time.Hour)
	}
}

func part(name string) []string {
	return []string{"/usr/bin/env", "REAPER_TEST_PART=" + name, os.Args[0]}
}

// simulator starts a child and a directory under a reaper, prints their names, and hangs.
func simulator() {
	client, err := Start(part("reaper"), nil)
	if err != nil {
		panic(err)
	}
	dir, err := client.GuardDir(os.Getenv("REAPER_TEST_DIR"), "fleet-*")
	if err != nil {
		panic(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data"), []byte("x"), 0o600); err != nil {
		panic(err)
	}
	argv := part("child")
	child := exec.Command(argv[0], argv[1:]...)
	if err := child.Start(); err != nil {
		panic(err)
	}
	if err := client.Guard(child.Process.Pid); err != nil {
		panic(err)
	}
	fmt.Printf("%d %d %s\n", child.Process.Pid, client.Pid(), dir)
	time.Sleep(time.Hour)
}

func TestKilledSimulatorLeavesNothing(t *testing.T) {
	argv := part("simulator")
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "REAPER_TEST_DIR="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var child, reaper int
	var dir string
	if _, err := fmt.Fscan(out, &child, &reaper, &dir); err != nil {
		t.Fatal(err)
	}
	// The reaper must outlive what ends a whole process group or session.
	if err := syscall.Kill(reaper, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(reaper, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()

	eventually(t, "the child is gone", func() bool { return !running(child) })
	eventually(t, "the directory is gone", func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err)
	})
	eventually(t, "the reaper is gone", func() bool { return !running(reaper) })
}

func TestOrderlyEndLeavesEverythingReleased(t *testing.T) {
	client, err := Start(part("reaper"), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	argv := part("child")
	child := exec.Command(argv[0], argv[1:]...)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	if err := client.Guard(child.Process.Pid); err != nil {
		t.Fatal(err)
	}
	dir, err := client.GuardDir(t.TempDir(), "fleet with spaces \"*\"")
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Release(child.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if err := client.ReleaseDir(dir); err != nil {
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if !running(child.Process.Pid) {
		t.Error("the reaper killed a process that had been released")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("the reaper removed a directory that had been released: %v", err)
	}
}

// A process id that has come to name another process is left alone.
func TestReusedPidIsSafe(t *testing.T) {
	argv := part("child")
	other := exec.Command(argv[0], argv[1:]...)
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	start, err := startTime(other.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	said := fmt.Sprintf("guard %d %d\n", other.Process.Pid, start-1)
	if err := Main(strings.NewReader(said), io.Discard, os.Stderr); err != nil {
		t.Fatal(err)
	}
	if !running(other.Process.Pid) {
		t.Error("the reaper killed a process that only has the same id")
	}
}

// A directory that the simulator did not make is left alone, whatever was said.
func TestForeignDirectoryIsSafe(t *testing.T) {
	dir := t.TempDir()
	if err := Main(strings.NewReader("dir "+strconv.Quote(dir)+"\n"), io.Discard, os.Stderr); err == nil {
		t.Error("no error for a directory without the marker")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("the directory is gone: %v", err)
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	for _, line := range []string{"", "guard", "guard x 1", "guard 1 5", "guard -1 5", "release x", "dir /unquoted", "kill 5"} {
		var e estate
		if err := e.hear(line); err == nil {
			t.Errorf("hear(%q) took it", line)
		}
		if len(e.processes)+len(e.dirs) > 0 {
			t.Errorf("hear(%q) left %+v", line, e)
		}
	}
}

// running says whether a process runs; a zombie does not.
func running(pid int) bool {
	s, err := stat(pid)
	return err == nil && s.State != "Z"
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 20 s it is still not so that %s", what)
		}
	}
}
