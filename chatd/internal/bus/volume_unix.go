//go:build unix && !openbsd && !netbsd && !solaris && !illumos && !aix

package bus

import "golang.org/x/sys/unix"

// volume is the size of the volume that a directory is on, as far as it is for this process, and what is free there, in bytes. As df reckons it: what is kept
// for root, or for others, is neither in use nor to be had.
func volume(dir string) (size, free uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	block := uint64(s.Bsize)
	free = uint64(s.Bavail) * block //nolint:unconvert // signed on some systems
	return (s.Blocks-s.Bfree)*block + free, free, nil
}
