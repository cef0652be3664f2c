package bus_test

import (
	"os"
	"syscall"
	"testing"
)

// A volume that is full, or may only be read, is said to be.
func TestDataDirectoryWithoutRoom(t *testing.T) {
	dir := t.TempDir()
	mount := func(flags uintptr, options string) {
		t.Helper()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", flags, options); err != nil {
			t.Skipf("only who may mount a small volume can fill it: %v", err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	}
	mount(0, "size=512k")
	refused(t, aloneConfig(t, dir), "the data directory "+dir+" is full: grow its volume or make room", "no space left on device")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 1 {
		t.Errorf("left behind: %v %v", entries, err)
	}
	mount(syscall.MS_RDONLY, "")
	refused(t, aloneConfig(t, dir), "is on a volume that can only be read")
}
