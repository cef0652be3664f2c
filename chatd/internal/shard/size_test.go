package shard

import (
	"testing"
	"unsafe"
)

// A million sessions are a million of these: what is added to them is weighed. 208 bytes is one of the allocator's sizes.
func TestASessionIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(session{}); size > 208 {
		t.Errorf("a session has %d bytes of its own, want at most 208: what few have belongs to rare", size)
	}
}
