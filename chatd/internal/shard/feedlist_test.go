package shard

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A list of feeds is a map by log.
func TestAFeedListIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list feedList
		model := make(map[string]*feed)
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			id := rapid.StringMatching("[a-c]{1,3}").Draw(t, "log")
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				f := &feed{id: id}
				if before := list.put(f); before != model[id] {
					t.Fatalf("put %s in place of %v, want %v", id, before, model[id])
				}
				model[id] = f
			case 1:
				f := model[id]
				if f == nil {
					f = &feed{id: id}
				}
				if dropped := list.drop(f); dropped != (model[id] != nil) {
					t.Fatalf("drop %s: %v", id, dropped)
				}
				delete(model, id)
			case 2:
				if list.drop(&feed{id: id}) {
					t.Fatalf("another feed of %s was dropped", id)
				}
			}
			if got := list.get(id); got != model[id] {
				t.Fatalf("%s is %v, want %v", id, got, model[id])
			}
			if ids := slices.Sorted(maps.Keys(model)); !slices.EqualFunc(list, ids, func(f *feed, id string) bool { return f.id == id }) {
				t.Fatalf("the list has %d feeds, or another order than %v", len(list), ids)
			}
		}
	})
}
