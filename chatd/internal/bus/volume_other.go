//go:build !unix || openbsd || netbsd || solaris || illumos || aix

package bus

import "errors"

func volume(string) (size, free uint64, err error) { return 0, 0, errors.ErrUnsupported }
