//go:build linux

package epoll

import (
	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

const (
	// waveBytes are put together for one wave, unless one frame alone is more. It is what fits in a socket's buffer, so that a reader that keeps up takes it at once.
	waveBytes = 32 << 10
	// waveFrames are at most in a wave.
	waveFrames = 256
)

// wave is what a sweep brings to a segment: the events from its position to a target, or the word that they are too many.
type wave struct {
	p      *part
	from   segment // without its end
	to     segment // the same
	frames []*engine.Frame
	// tooLong: the one frame says so. watched: one of the frames is.
	tooLong, watched bool
	// joined is the frames one after the other, by encoding, once a session asks for it. One frame alone is not copied.
	joined [2][]byte
}

// forget lets go of what the wave brings.
func (w *wave) forget() {
	clear(w.frames)
	w.p, w.from, w.to, w.frames = nil, segment{}, segment{}, w.frames[:0]
	for enc := range w.joined {
		w.joined[enc] = w.joined[enc][:0]
	}
}

// gather has the wave bring what a segment lacks.
func (w *wave) gather(p *part, g segment) {
	w.forget()
	ring := p.f.ring.Load()
	w.p, w.from, w.tooLong, w.watched = p, segment{ring: g.ring, at: g.at}, ring != g.ring, false
	size := 0
	for next, head := g.at+1, ring.Head(); !w.tooLong && next <= head && len(w.frames) < waveFrames; next++ {
		frame := ring.At(next)
		if frame == nil {
			w.tooLong = true
			break
		}
		if size += frame.Size(); size > waveBytes && len(w.frames) > 0 {
			break
		}
		w.frames = append(w.frames, frame)
		w.watched = w.watched || frame.Watched() != nil
		w.to = segment{ring: ring, at: next}
	}
	if w.tooLong {
		frame := ring.TooLong()
		clear(w.frames)
		w.frames = append(w.frames[:0], frame)
		w.to = segment{ring: ring, at: frame.Pts()}
	}
}

// brings reports whether the wave is what a segment lacks, all of it if there is room for another segment.
func (w *wave) brings(p *part, g *segment) bool {
	if w.p != p || !w.from.is(g) {
		return false
	}
	ring := p.f.ring.Load()
	return len(p.segments) >= maxSegments || ring == w.to.ring && (w.to.at == ring.Head() || w.full(ring))
}

// full says whether the event after the wave's last has no room in it.
func (w *wave) full(ring *engine.Ring) bool {
	if len(w.frames) == waveFrames {
		return true
	}
	size := 0
	for _, frame := range w.frames {
		size += frame.Size()
	}
	frame := ring.At(w.to.at + 1)
	return frame != nil && size+frame.Size() > waveBytes
}

// data is what the wave brings to a session of an encoding.
func (w *wave) data(enc engine.Encoding) []byte {
	if len(w.frames) == 1 {
		return w.frames[0].Bytes(enc)
	}
	if len(w.joined[enc]) == 0 {
		for _, frame := range w.frames {
			w.joined[enc] = append(w.joined[enc], frame.Bytes(enc)...)
		}
	}
	return w.joined[enc]
}
