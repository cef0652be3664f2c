package play

import "testing"

// TestTwoStoresThatDoNotRun wakes a fleet with a bad revision and puts it right in two steps, so that stores below the first do not run with a
// revision that is not wanted any more.
func TestTwoStoresThatDoNotRun(t *testing.T) {
	want := spec()
	w := newWorld(want, 1)
	w.bad["x"] = true
	w.want.Hibernate, w.want.ShardRevision, w.want.StoreRevision = true, "x", "x"
	if err := w.settle(); err != nil {
		t.Fatal(err)
	}
	w.want.Hibernate = false
	for range 20 {
		w.reconcile(-1)
		w.step()
	}
	for _, revision := range []string{"b", "c"} {
		w.want.ShardRevision, w.want.StoreRevision = revision, revision
		for range 600 {
			if w.store(2).Revision == revision && w.store(2).Ready {
				break
			}
			w.reconcile(-1)
			w.step()
		}
	}
	if err := w.settle(); err != nil || len(w.broken) > 0 {
		t.Errorf("%v %q", err, w.broken)
	}
}
