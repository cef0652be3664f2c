package sched

import (
	"context"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sliceOf returns what a thread has asked for or, from Linux 6.12 on, been given. It skips the test on older kernels, which say 0, and under
// another policy.
func sliceOf(t *testing.T, thread int) time.Duration {
	t.Helper()
	attributes, err := unix.SchedGetAttr(thread, 0)
	if err != nil {
		t.Fatal(err)
	}
	if attributes.Policy != unix.SCHED_NORMAL {
		t.Skipf("somebody runs this test with policy %d, which is left alone", attributes.Policy)
	}
	if attributes.Runtime == 0 {
		t.Skip("this kernel has no slices of a thread's own: it takes Linux 6.12")
	}
	return time.Duration(attributes.Runtime)
}

// All threads of the process are prompt, but for the one that is to be patient; a process that it starts is not.
func TestPrompt(t *testing.T) {
	if usual := sliceOf(t, 0); usual == slice {
		t.Skipf("this process was started with a slice of %v", usual)
	}
	var p Process
	ctx, cancel := context.WithCancel(t.Context())
	ready, seen, ended := make(chan int), make(chan bool), make(chan struct{})
	go p.Patiently(func() { ready <- unix.Gettid(); <-seen })
	patient := <-ready
	go func() { p.Prompt(ctx); close(ended) }()
	eventually(t, "all threads but one have the short slice", func() bool {
		for _, thread := range threads() {
			if attributes, err := unix.SchedGetAttr(thread, 0); err == nil && (attributes.Runtime == uint64(slice)) == (thread == patient) {
				return false
			}
		}
		return true
	})

	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	if got := sliceOf(t, child.Process.Pid); got == slice {
		t.Errorf("a process that was started has a slice of %v too", got)
	}

	close(seen)
	cancel()
	<-ended
}

// A policy that somebody chose for the process is not changed.
func TestOtherPoliciesAreLeftAlone(t *testing.T) {
	done := make(chan struct{})
	var p Process
	go p.Patiently(func() {
		defer close(done)
		thread := unix.Gettid()
		if err := unix.SchedSetAttr(thread, &unix.SchedAttr{Policy: unix.SCHED_BATCH}, 0); err != nil {
			t.Error(err)
			return
		}
		ask(thread, slice)
		got, err := unix.SchedGetAttr(thread, 0)
		if err != nil || got.Policy != unix.SCHED_BATCH || got.Runtime == uint64(slice) {
			t.Errorf("a thread that was to be run in batches has %+v, %v", got, err)
		}
	})
	<-done
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within 10 s: " + what)
		}
	}
}
