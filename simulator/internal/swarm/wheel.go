package swarm

// wheel is a timer wheel whose timers are small records in one array, named by their index: a loop of ten thousand
// sessions has one wheel and no runtime timer. It is coarse on purpose (wheelTickNs): nothing that it drives, pings,
// time-outs and pauses, needs better.
type wheel struct {
	nodes []wheelNode
	heads []int32 // first node of each slot, noNode if none
	now   uint32  // the last tick that was run
	due   []int32 // scratch of advance
}

// wheelNode is one timer. Twelve bytes a session.
type wheelNode struct {
	due        uint32 // in ticks
	next, prev int32  // in its slot; prev names the slot by -2-slot for the first one
}

const (
	wheelTickNs = 10_000_000
	wheelSlots  = 1024
	noNode      = -1
	// States of a node that is in no slot, in its prev.
	nodeIdle    = -1
	nodeExpired = -2 - wheelSlots
)

func newWheel(nodes int) *wheel {
	w := &wheel{nodes: make([]wheelNode, nodes), heads: make([]int32, wheelSlots)}
	for i := range w.nodes {
		w.nodes[i].prev = nodeIdle
	}
	for i := range w.heads {
		w.heads[i] = noNode
	}
	return w
}

// grow makes room for the node id.
func (w *wheel) grow(id int32) {
	for int(id) >= len(w.nodes) {
		w.nodes = append(w.nodes, wheelNode{prev: nodeIdle})
	}
}

// set arms the timer id for atNs (since the wheel began), in place of what it was armed for. It never runs early.
func (w *wheel) set(id int32, atNs int64) {
	w.stop(id)
	due := uint32((max(atNs, 0) + wheelTickNs - 1) / wheelTickNs)
	w.link(id, max(due, w.now+1))
}

// stop disarms the timer id. One that has expired but was not called yet is not called.
func (w *wheel) stop(id int32) {
	n := &w.nodes[id]
	switch {
	case n.prev == nodeIdle:
		return
	case n.prev == nodeExpired:
	case n.prev >= 0:
		w.nodes[n.prev].next = n.next
		if n.next != noNode {
			w.nodes[n.next].prev = n.prev
		}
	default:
		w.heads[-2-n.prev] = n.next
		if n.next != noNode {
			w.nodes[n.next].prev = n.prev
		}
	}
	n.prev = nodeIdle
}

// armed tells whether the timer id is set and has not been called.
func (w *wheel) armed(id int32) bool { return w.nodes[id].prev != nodeIdle }

// advance calls expired for each timer that is due at nowNs. expired may set and stop any timer.
func (w *wheel) advance(nowNs int64, expired func(id int32)) {
	now := uint32(max(nowNs, 0) / wheelTickNs)
	if now <= w.now {
		return
	}
	first := w.now + 1
	if now-w.now > wheelSlots {
		first = now - wheelSlots + 1
	}
	w.due = w.due[:0]
	for tick := first; tick <= now; tick++ {
		w.collect(tick%wheelSlots, now)
	}
	w.now = now
	for _, id := range w.due {
		if w.nodes[id].prev == nodeExpired {
			w.nodes[id].prev = nodeIdle
			expired(id)
		}
	}
}

// collect moves what is due from a slot to w.due; what waits for a later round stays.
func (w *wheel) collect(slot, now uint32) {
	id := w.heads[slot]
	for id != noNode {
		next := w.nodes[id].next
		if w.nodes[id].due <= now {
			w.stop(id)
			w.nodes[id].prev = nodeExpired
			w.due = append(w.due, id)
		}
		id = next
	}
}

func (w *wheel) link(id int32, due uint32) {
	slot := due % wheelSlots
	head := w.heads[slot]
	w.nodes[id] = wheelNode{due: due, next: head, prev: -2 - int32(slot)}
	if head != noNode {
		w.nodes[head].prev = id
	}
	w.heads[slot] = id
}
