package des

import "time"

// Station is some equal servers with one queue, first come, first served. Jobs must come in the order of their moments. It needs no events:
// a job begins when the server that is free first is free (Kiefer and Wolfowitz, 1955). It must be made by NewStation.
type Station struct {
	// When each server is free, as a heap with two children: the least is first.
	free []time.Duration
	busy time.Duration
}

// NewStation returns an idle station. It has at least one server.
func NewStation(servers int) *Station { return &Station{free: make([]time.Duration, max(servers, 1))} }

// Serve takes in a job and returns when it begins and ends.
func (s *Station) Serve(at, takes time.Duration) (begins, ends time.Duration) {
	begins = max(at, s.free[0])
	ends = begins + takes
	s.busy += takes
	s.replace(ends)
	return begins, ends
}

// ServeBulk takes in n equal jobs that come at once, and returns when the last of them ends. done is told when each ends, in the order in which
// they begin; it may be nil.
func (s *Station) ServeBulk(at time.Duration, n int, takes time.Duration, done func(i int, ends time.Duration)) (last time.Duration) {
	for i := range n {
		_, ends := s.Serve(at, takes)
		last = max(last, ends)
		if done != nil {
			done(i, ends)
		}
	}
	return last
}

// Free is when the next server is free.
func (s *Station) Free() time.Duration { return s.free[0] }

// Busy is for how long all servers together have worked, what they have taken in included.
func (s *Station) Busy() time.Duration { return s.busy }

// Servers is how many there are.
func (s *Station) Servers() int { return len(s.free) }

// Stop has no server free before a moment.
func (s *Station) Stop(until time.Duration) {
	for i := range s.free {
		s.free[i] = max(s.free[i], until) // the larger of each and one value keeps the order of a heap
	}
}

// replace gives the server that was free first its next moment.
func (s *Station) replace(at time.Duration) {
	i := 0
	for {
		child := 2*i + 1
		if child >= len(s.free) {
			break
		}
		if child+1 < len(s.free) && s.free[child+1] < s.free[child] {
			child++
		}
		if s.free[child] >= at {
			break
		}
		s.free[i] = s.free[child]
		i = child
	}
	s.free[i] = at
}
