package engine

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

func heldFrame(t interface{ Fatal(...any) }, log string, pts uint64, size int) *Frame {
	f, err := NewFrame(&chatv1.Event{Log: log, Epoch: 1, Pts: pts, Content: &chatv1.Event_Message{
		Message: &chatv1.Message{Text: strings.Repeat("x", size)}}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Whatever is appended, asked for as JSON and dropped, in whatever order: what is held are the newest frames of all, each ring's without
// a hole up to its head, and the bytes are those of what is held, within the bound.
func TestHeldAreTheNewestOfAll(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const logs = 3
		cfg := Config{RingFrames: rapid.IntRange(1, 100).Draw(rt, "frames"), AllRingsBytes: rapid.IntRange(1, 20_000).Draw(rt, "bytes")}
		h := NewHeld(cfg)
		var rings [logs]*Ring
		for i := range rings {
			rings[i] = NewRing(fmt.Sprint("c", i), 1, 0, cfg, h)
		}
		var all []*Frame // in the order of their appends
		pick := rapid.IntRange(0, logs-1)
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				r := rings[pick.Draw(rt, "log")]
				for range rapid.IntRange(1, 30).Draw(rt, "n") {
					f := heldFrame(rt, r.log, r.Head()+1, rapid.IntRange(0, 300).Draw(rt, "size"))
					if !r.Append(f) {
						rt.Fatal("the next event is refused")
					}
					all = append(all, f)
				}
			},
			"json": func(rt *rapid.T) {
				if len(all) > 0 {
					all[rapid.IntRange(0, len(all)-1).Draw(rt, "frame")].Bytes(JSON)
				}
			},
			"drop": func(rt *rapid.T) {
				i := pick.Draw(rt, "log")
				head := rings[i].Head()
				rings[i].Drop()
				rings[i] = NewRing(rings[i].log, 1, head, cfg, h)
			},
			"": func(rt *rapid.T) { checkHeld(rt, h, rings[:], all, cfg) },
		})
		for _, r := range rings {
			r.Drop()
		}
		if h.Bytes() != 0 || h.oldest != nil || h.newest != nil {
			rt.Fatalf("%d bytes are held by no ring", h.Bytes())
		}
	})
}

func checkHeld(rt *rapid.T, h *Held, rings []*Ring, all []*Frame, cfg Config) {
	holds := map[*Frame]bool{}
	bytes := int64(0)
	for _, r := range rings {
		n := 0
		for pts := r.Head(); pts > 0 && r.At(pts) != nil; pts-- {
			f := r.At(pts)
			holds[f] = true
			bytes += int64(len(f.binary)+len(f.text)) + frameOverhead
			n++
		}
		for pts := uint64(1); pts+uint64(n) <= r.Head(); pts++ {
			if r.At(pts) != nil {
				rt.Fatalf("log %s holds %d events up to %d, and that at %d", r.log, n, r.Head(), pts)
			}
		}
		if slots := len(*r.slots.Load()); n > cfg.RingFrames || slots > max(4*n+4, firstSlots) {
			rt.Fatalf("log %s holds %d events in %d slots; %d is the bound", r.log, n, slots, cfg.RingFrames)
		}
	}
	if got := h.Bytes(); got != bytes || got > h.max && len(holds) > 1 {
		rt.Fatalf("%d bytes of %d are held, and the rings hold %d", got, h.max, bytes)
	}
	// What the bound of all took is older than anything held.
	var listed []*Frame
	for f := h.oldest; f != nil; f = f.newer {
		listed = append(listed, f)
	}
	i := 0
	for _, f := range all {
		if holds[f] {
			if i == len(listed) || listed[i] != f {
				rt.Fatalf("the event of %s at %d is not in its place among the held", f.ring.log, f.pts)
			}
			i++
		}
	}
	if i != len(listed) {
		rt.Fatalf("%d frames are listed that no ring holds", len(listed)-i)
	}
}

// A frame that makes the memory too much drops the oldest of all, and no more of them than it must.
func TestHeldDropsNoMoreThanItMust(t *testing.T) {
	cfg := Config{AllRingsBytes: 10 * (frameOverhead + 300)}
	h := NewHeld(cfg)
	a, b := NewRing("a", 1, 0, cfg, h), NewRing("b", 1, 0, cfg, h)
	for n := range uint64(20) {
		for _, r := range []*Ring{a, b} {
			if !r.Append(heldFrame(t, r.log, n+1, 300-30)) {
				t.Fatal("refused")
			}
		}
	}
	if h.Bytes() < h.max-2*(frameOverhead+300) {
		t.Errorf("%d of %d bytes are used", h.Bytes(), h.max)
	}
	for _, r := range []*Ring{a, b} {
		if r.At(14) != nil || r.At(17) == nil {
			t.Errorf("the newest 10 of 40 fit, of log %s it holds 14: %v, 17: %v", r.log, r.At(14) != nil, r.At(17) != nil)
		}
	}
}

// Rings are appended to, read and asked for JSON at once, and push each other's events off.
func TestHeldIsSharedByGoroutines(t *testing.T) {
	const logs, events = 4, 3000
	cfg := Config{AllRingsBytes: 30_000, RingFrames: 64}
	h := NewHeld(cfg)
	var all sync.WaitGroup
	for i := range logs {
		r := NewRing(fmt.Sprint("c", i), 1, 0, cfg, h)
		all.Go(func() {
			for pts := uint64(1); pts <= events; pts++ {
				if !r.Append(heldFrame(t, r.log, pts, 20)) {
					t.Error("refused")
					return
				}
			}
		})
		all.Go(func() {
			for r.Head() < events {
				head := r.Head()
				for pts := head; pts > 0 && pts+8 > head; pts-- {
					if f := r.At(pts); f != nil && (f.Pts() != pts || len(f.Bytes(JSON)) == 0) {
						t.Errorf("the event at %d is that at %d", pts, f.Pts())
						return
					}
				}
			}
		})
	}
	all.Wait()
	if got := h.Bytes(); got > 30_000 || got == 0 {
		t.Errorf("%d bytes are held", got)
	}
}
