package swarm

// slab holds records of one kind that are few and come and go (gaps, held events, holes), addressed by small handles
// instead of pointers, so that a session's own record stays small and the collector has nothing to follow. Handle 0 is
// none.
type slab[T any] struct {
	items []T
	free  []int32
}

// take returns the handle of a zero record. Pointers from at are invalid afterwards.
func (s *slab[T]) take() int32 {
	if n := len(s.free); n > 0 {
		h := s.free[n-1]
		s.free = s.free[:n-1]
		return h
	}
	if len(s.items) == 0 {
		s.items = make([]T, 1, 16)
	}
	var zero T
	s.items = append(s.items, zero)
	return int32(len(s.items) - 1)
}

// put gives a record back.
func (s *slab[T]) put(h int32) {
	var zero T
	s.items[h] = zero
	s.free = append(s.free, h)
}

// at is valid until the next take.
func (s *slab[T]) at(h int32) *T { return &s.items[h] }

// inUse counts the records that were taken and not put back.
func (s *slab[T]) inUse() int { return max(len(s.items)-1, 0) - len(s.free) }
