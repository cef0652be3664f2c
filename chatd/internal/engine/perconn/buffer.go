package perconn

import (
	"math/bits"
	"sync"
)

// firstBuffer is what a message larger than a session's own buffer gets at first.
const firstBuffer = 4 << 10

// buffer comes from a pool of its size, a power of two.
type buffer struct{ data []byte }

var buffers [32]sync.Pool

// newBuffer has room for n bytes.
func newBuffer(n int) *buffer {
	class := bits.Len(uint(max(n, 512) - 1))
	if b, ok := buffers[class].Get().(*buffer); ok {
		return b
	}
	return &buffer{data: make([]byte, 0, 1<<class)}
}

// release gives the buffer back. nil has nothing to give.
func (b *buffer) release() {
	if b == nil {
		return
	}
	b.data = b.data[:0]
	buffers[bits.Len(uint(cap(b.data)-1))].Put(b)
}

func (b *buffer) free() []byte { return b.data[len(b.data):cap(b.data)] }

// room returns a buffer with the same data and room for more: b itself, or one of twice the size that takes its place.
func (b *buffer) room() *buffer {
	if len(b.data) < cap(b.data) {
		return b
	}
	larger := newBuffer(2 * cap(b.data))
	larger.data = append(larger.data, b.data...)
	b.release()
	return larger
}

// append adds p, which is at most a session's own buffer.
func (b *buffer) append(p []byte) *buffer {
	if len(b.data)+len(p) > cap(b.data) {
		larger := newBuffer(2 * cap(b.data))
		larger.data = append(larger.data, b.data...)
		b.release()
		b = larger
	}
	b.data = append(b.data, p...)
	return b
}
