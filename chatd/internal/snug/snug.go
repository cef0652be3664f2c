// Package snug has slices with little room beyond what is in them, for such as there are many of, which grow one by one and stay: append makes a short one twice as
// large. It is for nothing else; a slice that comes and goes is append's.
package snug

import "slices"

// part is how much more than is needed is taken when a slice grows, and left when it shrinks: an eighth. What it costs to grow one by one is so no more than eight
// copies of each element.
const part = 8

// Reserve makes room for n more: for no others, if these are more than an eighth of what is there.
func Reserve[S ~[]E, E any](s S, n int) S {
	if cap(s)-len(s) >= n {
		return s
	}
	return resize(s, len(s)+max(n, 1+len(s)/part))
}

// Insert puts v at place i.
func Insert[S ~[]E, E any](s S, i int, v E) S {
	s = Reserve(s, 1)
	s = s[:len(s)+1]
	copy(s[i+1:], s[i:])
	s[i] = v
	return s
}

// Delete takes out what is at place i, and gives memory back once less than half of it is used. A slice that is empty is nil.
func Delete[S ~[]E, E any](s S, i int) S {
	s = slices.Delete(s, i, i+1)
	switch {
	case len(s) == 0:
		return nil
	case len(s) < cap(s)/2:
		return resize(s, len(s)+1+len(s)/part)
	}
	return s
}

// resize moves s to memory for n, and what the allocator gives with that.
func resize[S ~[]E, E any](s S, n int) S { return append(slices.Grow(S(nil), n), s...) }
