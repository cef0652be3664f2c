//go:build !unix

package perconn

import "syscall"

// canWriteNow is false where a write always waits: then only writers write, which may.
const canWriteNow = false

// writeNow is not used where the system has no writes that do not wait.
type writeNow struct{}

func (*writeNow) init() {}

func (*writeNow) to(syscall.RawConn, []byte) (n int, blocked bool, err error) { return 0, true, nil }
