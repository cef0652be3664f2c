package gateway_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// smallVolume mounts a volume of 64 MiB, and says whether it may.
func smallVolume(t testing.TB, dir string) bool {
	if syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64m") != nil {
		return false
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return true
}

// fill takes 57 MiB of it.
func fill(t testing.TB, dir string) {
	if err := os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 57<<20), 0o600); err != nil {
		t.Log("the volume is fuller than meant:", err)
	}
}
