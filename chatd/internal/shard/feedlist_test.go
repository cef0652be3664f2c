package shard

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A list of feeds is a map by log, whatever numbers they have; and a number is given anew only when its feed is gone.
func TestAFeedListIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var table feedTable
		var list feedList
		model, there := make(map[string]*feed), make(map[string]*feed)
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			id := rapid.StringMatching("[a-c]{1,3}").Draw(t, "log")
			f := there[id]
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				if f == nil {
					f = &feed{id: id}
					table.add(f)
					there[id] = f
				}
				if put := list.put(&table, f); put != (model[id] == nil) {
					t.Fatalf("put %s: %v", id, put)
				}
				model[id] = f
			case 1:
				if f == nil {
					f = &feed{id: id}
				}
				if dropped := list.drop(&table, f); dropped != (model[id] != nil) {
					t.Fatalf("drop %s: %v", id, dropped)
				}
				delete(model, id)
			case 2:
				if list.drop(&table, &feed{id: id}) {
					t.Fatalf("another feed of %s was dropped", id)
				}
			case 3:
				if f != nil && model[id] == nil {
					table.remove(f)
					delete(there, id)
				}
			}
			if got := list.get(&table, id); got != model[id] {
				t.Fatalf("%s is %v, want %v", id, got, model[id])
			}
			if ids := slices.Sorted(maps.Keys(model)); !slices.EqualFunc(list, ids, func(n uint32, id string) bool { return table.at(n) == model[id] }) {
				t.Fatalf("the list has %d feeds, or another order than %v", len(list), ids)
			}
			numbers := make(map[uint32]bool)
			for _, f := range there {
				if numbers[f.number] || f.number >= 39 { // as many logs as there are
					t.Fatalf("a feed has the number %d, of %d feeds", f.number, len(there))
				}
				numbers[f.number] = true
			}
		}
	})
}
