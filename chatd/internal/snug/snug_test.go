package snug_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/chatfleet/chatfleet/chatd/internal/snug"
)

// Whatever is put in and taken out, it is what a plain slice would be, and at most half of its memory is not used.
func TestASliceIsSnug(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s, model []uint32
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"insert", "insert", "delete", "reserve"}).Draw(t, "what") {
			case "insert":
				i, v := rapid.IntRange(0, len(model)).Draw(t, "at"), rapid.Uint32().Draw(t, "value")
				s, model = snug.Insert(s, i, v), slices.Insert(model, i, v)
			case "delete":
				if len(model) > 0 {
					i := rapid.IntRange(0, len(model)-1).Draw(t, "at")
					s, model = snug.Delete(s, i), slices.Delete(model, i, i+1)
					if len(s) < cap(s)/2 || len(s) == 0 && s != nil {
						t.Fatalf("room for %d is kept for %d", cap(s), len(s))
					}
				}
			case "reserve":
				n := rapid.IntRange(0, 20).Draw(t, "more")
				if s = snug.Reserve(s, n); cap(s)-len(s) < n {
					t.Fatalf("no room for %d more", n)
				}
			}
			if !slices.Equal(s, model) {
				t.Fatalf("%v, want %v", s, model)
			}
		}
	})
}

// One that grows one by one has an eighth more than it needs, and another that the allocator's sizes come to; one whose size was known, only these.
func TestRoomIsLittle(t *testing.T) {
	var s []uint32
	grown := 0
	for n := range 100_000 {
		before := cap(s)
		if s = snug.Insert(s, n, 0); cap(s) != before {
			grown++
		}
		if most := (n + 4) * 9 / 8 * 6 / 5; cap(s) > most {
			t.Fatalf("room for %d is kept for %d, want at most %d", cap(s), n+1, most)
		}
	}
	if grown > 120 {
		t.Errorf("it was moved %d times", grown)
	}
	for _, n := range []int{1, 2, 20, 100, 1000, 100_000} {
		if s := snug.Reserve([]uint32(nil), n); cap(s) > n*6/5+1 {
			t.Errorf("room for %d, of which %d were asked for", cap(s), n)
		}
	}
}
