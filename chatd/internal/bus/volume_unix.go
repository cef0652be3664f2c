//go:build unix && !openbsd && !netbsd && !solaris && !illumos && !aix

package bus

import "golang.org/x/sys/unix"

// volume is the size of the volume that a directory is on, and what is free there for this process, in bytes.
func volume(dir string) (size, free uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	block := uint64(s.Bsize)
	return s.Blocks * block, uint64(s.Bavail) * block, nil //nolint:unconvert // signed on some systems
}
