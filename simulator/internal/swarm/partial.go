package swarm

// partial is what a session needs while something is in two pieces: a frame that has come by half, a message of which
// some fragments have come, a frame that the socket would not take whole.
type partial struct {
	in      []byte
	message []byte
	out     []byte
	op      byte // of the message that is being put together; 0: none
}

func (p *partial) empty() bool { return len(p.in) == 0 && len(p.out) == 0 && p.op == 0 }

// partials hands out partial records and keeps their smaller buffers for the next one.
type partials struct {
	items []partial
	free  []int32
}

const (
	keepPartialBytes = 32 << 10
	// maxUnsentBytes bounds what a session has to say to a server that does not read.
	maxUnsentBytes = 256 << 10
)

// of returns the session's record, a new one if it has none. It is valid until the next call.
func (p *partials) of(s *session) *partial {
	if s.partial == 0 {
		s.partial = p.take()
	}
	return &p.items[s.partial]
}

func (p *partials) take() int32 {
	if n := len(p.free); n > 0 {
		h := p.free[n-1]
		p.free = p.free[:n-1]
		return h
	}
	if len(p.items) == 0 {
		p.items = append(p.items, partial{})
	}
	p.items = append(p.items, partial{})
	return int32(len(p.items) - 1)
}

// release gives the session's record back.
func (p *partials) release(s *session) {
	if s.partial == 0 {
		return
	}
	r := &p.items[s.partial]
	*r = partial{in: reuse(r.in), message: reuse(r.message), out: reuse(r.out)}
	p.free = append(p.free, s.partial)
	s.partial = 0
}

func reuse(b []byte) []byte {
	if cap(b) > keepPartialBytes {
		return nil
	}
	return b[:0]
}
