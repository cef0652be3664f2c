//go:build linux

package epoll

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"unsafe"
)

// What crypto/tls has read a record or a handshake's message into it keeps for as long as the connection lasts: 4 KB of a session that says next to nothing. It has no
// way to give that back, so it is taken: a bytes.Buffer and a bytes.Reader that are empty are as good as new ones. Only a session's loop uses its tls.Conn.

// kept are where a tls.Conn has them; nil where this Go has others, and then they stay.
var kept = func() (at struct{ buffers, readers []uintptr }) {
	conn := reflect.TypeFor[tls.Conn]()
	for _, name := range []string{"rawInput", "hand"} {
		if f, ok := conn.FieldByName(name); ok && f.Type == reflect.TypeFor[bytes.Buffer]() {
			at.buffers = append(at.buffers, f.Offset)
		}
	}
	if f, ok := conn.FieldByName("input"); ok && f.Type == reflect.TypeFor[bytes.Reader]() {
		at.readers = append(at.readers, f.Offset)
	}
	return at
}()

// releaseBuffers has a connection let go of buffers with nothing in them.
func releaseBuffers(c *tls.Conn) {
	for _, at := range kept.readers { // the reader reads what a buffer holds
		if r := (*bytes.Reader)(unsafe.Add(unsafe.Pointer(c), at)); r.Len() > 0 {
			return
		}
	}
	for _, at := range kept.readers {
		*(*bytes.Reader)(unsafe.Add(unsafe.Pointer(c), at)) = bytes.Reader{}
	}
	for _, at := range kept.buffers {
		if b := (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c), at)); b.Len() == 0 {
			*b = bytes.Buffer{}
		}
	}
}
