package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// up is a shard that has been ready for an hour.
func up(index int, revision string, sessions int) Shard {
	return Shard{
		Name: fmt.Sprintf("shard-%d", index), Index: index, Zone: string('a' + rune(index%3)), Node: fmt.Sprintf("node-%d", index%3),
		Revision: revision, Ready: true, ReadySince: noon.Add(-time.Hour), Reached: true, Sessions: sessions,
	}
}

// with changes a shard.
func (sh Shard) with(change func(*Shard)) Shard {
	change(&sh)
	return sh
}

func marked(cause Cause, ago time.Duration, l Leaving) func(*Shard) {
	return func(sh *Shard) {
		sh.Mark = &Mark{noon.Add(-ago), cause}
		sh.Leaving, sh.Ready = l, l.State == Staying
	}
}

func starting(sh *Shard) { sh.Ready, sh.Reached, sh.Sessions = false, false, 0 }
func broken(sh *Shard)   { starting(sh); sh.Trouble = "ImagePullBackOff" }
func lost(sh *Shard)     { sh.NodeLost, sh.Ready, sh.Reached = true, false, false }
func deleting(sh *Shard) { sh.Deleting, sh.Ready = true, false }

func ups(n int, revision string) []Shard {
	var shards []Shard
	for i := range n {
		shards = append(shards, up(i, revision, 100))
	}
	return shards
}

func stores(revision string) []Store {
	var all []Store
	for i := range 3 {
		all = append(all, Store{
			Ordinal: i, Name: fmt.Sprintf("store-%d", i), Revision: revision, Ready: true, ReadySince: noon.Add(-time.Hour), Reached: true, Leads: 5, LeadsMetadata: i == 2,
		})
	}
	return all
}

// settled is a fleet of three shards at revision a, with an older revision behind it.
func settled() Snapshot {
	return Snapshot{
		Shards: ups(3, "a"), Revisions: []Revision{{"z", 1, true}, {"a", 2, true}, {"b", 3, false}},
		StoreSet: &StoreSet{Replicas: 3, Partition: 3, Template: "a", Below: "a"}, Stores: stores("a"),
		Volumes: []Volume{{"data-0", 1 << 30, true}},
	}
}

// young is a fleet of three shards at its first revision a, which nobody has proven; the user has asked for b since.
func young(shard func(*Shard)) func(s *Snapshot) {
	return func(s *Snapshot) {
		s.Revisions = []Revision{{"a", 1, false}, {"b", 2, false}}
		for i := range s.Shards {
			s.Shards[i] = s.Shards[i].with(shard)
		}
		s.StoreSet.Template = "b"
		for i := range s.Stores {
			s.Stores[i].Leads, s.Stores[i].LeadsMetadata = 0, false
		}
	}
}

// after changes a snapshot twice.
func after(first, then func(s *Snapshot)) func(s *Snapshot) {
	return func(s *Snapshot) { first(s); then(s) }
}

func wantsB(w *Spec) { w.ShardRevision, w.StoreRevision = "b", "b" }

func fresh(sh *Shard) { sh.ReadySince = noon.Add(-4 * time.Second) }

func failing(st *Store) { st.Ready, st.Reached, st.Trouble = false, false, "CrashLoopBackOff" }

var planned = []struct {
	name string
	s    func(s *Snapshot)
	want func(w *Spec)
	// acts and waits are parts of what is planned, in this order; none means none.
	acts, waits []string
}{
	{name: "a settled fleet is left alone"},
	{name: "what is not there yet is made at once", s: func(s *Snapshot) { *s = Snapshot{Revisions: []Revision{{"a", 1, false}}} },
		acts: []string{"give the stores revision a", "have 3 stores", "create shard 0 at revision a", "create shard 1", "create shard 2"}},
	{name: "paused is paused", s: func(s *Snapshot) { s.Shards = nil }, want: func(w *Spec) { w.Paused = true }, waits: []string{"fleet: paused"}},

	{name: "scale-out makes shards with the lowest free numbers", s: func(s *Snapshot) { s.Shards = []Shard{up(0, "a", 1), up(2, "a", 1)} },
		want: func(w *Spec) { w.Shards = 4 }, acts: []string{"create shard 1 at", "create shard 3 at"}},
	{name: "scale-in marks and drains the ones with the fewest sessions, of the fullest zones, at the fleet's pace together",
		s: func(s *Snapshot) {
			s.Shards = []Shard{up(0, "a", 10), up(1, "a", 500), up(2, "a", 500), up(3, "a", 900), up(4, "a", 20)}
		},
		acts:  []string{"mark shard-0 to leave", "mark shard-4 to leave", "drain shard-0 at 25 sessions/s, within 1m0s", "drain shard-4 at 25"},
		waits: nil},
	{name: "scale-in takes what does not work first", s: func(s *Snapshot) { s.Shards = append(ups(3, "a"), up(3, "a", 0).with(broken)) },
		acts: []string{"mark shard-3 to leave", "delete shard-3"}},
	{name: "scale-in keeps who is ready while too few are", s: func(s *Snapshot) {
		s.Shards = []Shard{up(0, "a", 9), up(1, "a", 9), up(2, "a", 9).with(starting), up(3, "a", 9).with(starting)}
	}, acts: []string{"mark shard-3 to leave", "drain shard-3"}},
	{name: "who drains is waited for", s: func(s *Snapshot) {
		s.Shards = append(ups(3, "a"), up(3, "a", 70).with(marked(ScaleIn, 10*time.Second, Leaving{Draining, 50})))
	}, waits: []string{"shard-3: 70 sessions to leave"}},
	{name: "a second drain shares the pace, and the first slows down first", s: func(s *Snapshot) {
		s.Shards = append(ups(3, "a"), up(3, "a", 70).with(marked(ScaleIn, 0, Leaving{})), up(4, "a", 70).with(marked(ScaleIn, 10*time.Second, Leaving{Draining, 50})))
	}, acts: []string{"drain shard-4 at 25 sessions/s, within 50s", "drain shard-3 at 25 sessions/s, within 1m0s"}},
	{name: "who has no session left goes", s: func(s *Snapshot) {
		s.Shards = append(ups(3, "a"), up(3, "a", 0).with(marked(ScaleIn, 10*time.Second, Leaving{Drained, 50})))
	}, acts: []string{"evict shard-3"}},
	{name: "whose time is over goes a little later, with the hint", s: func(s *Snapshot) {
		s.Shards = append(ups(3, "a"), up(3, "a", 40).with(marked(ScaleIn, 65*time.Second, Leaving{Draining, 50})))
	}, acts: []string{"evict shard-3"}},
	{name: "not before", s: func(s *Snapshot) {
		s.Shards = append(ups(3, "a"), up(3, "a", 40).with(marked(ScaleIn, 62*time.Second, Leaving{Draining, 50})))
	}, waits: []string{"shard-3: 40 sessions to leave"}},
	{name: "more replicas revive who drains, the one with most sessions", s: func(s *Snapshot) {
		s.Shards = []Shard{up(0, "a", 1), up(1, "a", 1), up(2, "a", 30).with(marked(ScaleIn, time.Second, Leaving{Draining, 25})),
			up(3, "a", 40).with(marked(ScaleIn, time.Second, Leaving{Draining, 25}))}
	}, acts: []string{"take the mark off shard-3", "reverse the drain of shard-3", "drain shard-2 at 50"}},
	{name: "a drain without a mark is reversed: an operator died between the two", s: func(s *Snapshot) {
		s.Shards[1] = s.Shards[1].with(func(sh *Shard) { sh.Leaving, sh.Ready = Leaving{Drained, 50}, false })
	}, acts: []string{"reverse the drain of shard-1"}},

	{name: "an evicted shard is replaced while it drains by itself", s: func(s *Snapshot) { s.Shards[1] = s.Shards[1].with(deleting) },
		acts: []string{"create shard 3 at revision a"}},
	{name: "a lost node's shard is replaced, and its pod not waited for", s: func(s *Snapshot) { s.Shards[1] = s.Shards[1].with(lost) },
		acts: []string{"delete shard-1 without waiting for its node", "create shard 3 at revision a"}},
	{name: "a pod that has ended is buried", s: func(s *Snapshot) { s.Shards[1] = s.Shards[1].with(func(sh *Shard) { sh.Ended = true }) },
		acts: []string{"delete shard-1", "create shard 3"}},

	{name: "a new revision is tried on one shard more", want: func(w *Spec) { w.ShardRevision = "b" },
		acts: []string{"create shard 3 at revision b"}},
	{name: "without surge it is tried in the place of one", want: func(w *Spec) { w.ShardRevision, w.Surge = "b", 0 },
		acts: []string{"mark shard-0 to leave", "drain shard-0"}, waits: []string{"shards: 2 of other revisions wait"}},
	{name: "nothing else moves until it is proven", s: func(s *Snapshot) { s.Shards = append(s.Shards, up(3, "b", 0).with(starting)) },
		want: func(w *Spec) { w.ShardRevision = "b" }, waits: []string{"shards: revision b is tried on one shard first: shard-3 is not ready yet"}},
	{name: "a bad one stops there, and what is evicted comes back as before", s: func(s *Snapshot) {
		s.Shards = append(s.Shards, up(3, "b", 0).with(broken))
		s.Shards[0] = s.Shards[0].with(deleting)
	}, want: func(w *Spec) { w.ShardRevision = "b" }, acts: []string{"create shard 4 at revision a"}, waits: []string{"ImagePullBackOff"}},
	{name: "put right, the bad one goes and the next is tried", s: func(s *Snapshot) {
		s.Shards = append(s.Shards, up(3, "b", 0).with(broken))
		s.Revisions = append(s.Revisions, Revision{"c", 4, false})
	}, want: func(w *Spec) { w.ShardRevision = "c" }, acts: []string{"delete shard-3", "create shard 4 at revision c"}},
	{name: "rolled back, the bad one just goes", s: func(s *Snapshot) { s.Shards = append(s.Shards, up(3, "b", 0).with(broken)) },
		acts: []string{"delete shard-3"}},
	{name: "ready for a while, it is proven, and the first of the others leaves", s: func(s *Snapshot) { s.Shards = append(s.Shards, up(3, "b", 0)) },
		want: func(w *Spec) { w.ShardRevision = "b" }, acts: []string{"remember revision b as proven", "mark shard-0 to leave", "drain shard-0 at 50"},
		waits: []string{"shards: 2 of other revisions wait for their turn"}},
	{name: "a moment is not enough", s: func(s *Snapshot) {
		s.Shards = append(s.Shards, up(3, "b", 0).with(func(sh *Shard) { sh.ReadySince = noon.Add(-4 * time.Second) }))
	}, want: func(w *Spec) { w.ShardRevision = "b" }, waits: []string{"shards: revision b is tried on one shard first: shard-3 is ready; the others keep a"}},
	{name: "without surge one leaves for it, whatever may leave at once", want: func(w *Spec) { w.ShardRevision, w.Surge, w.AtOnce = "b", 0, 2 },
		acts: []string{"mark shard-0 to leave", "drain shard-0"}, waits: []string{"shards: 2 of other revisions wait"}},
	{name: "without surge the place of who leaves is free once he has gone", s: func(s *Snapshot) {
		s.Revisions[2].Proven = true
		s.Shards[0] = s.Shards[0].with(marked(RollOut, time.Second, Leaving{Draining, 50}))
	}, want: func(w *Spec) { w.ShardRevision, w.Surge = "b", 0 }, waits: []string{"shards: 2 of other", "shard-0: 100 sessions"}},
	{name: "scale-in of a roll-out under way never takes who is ready while no more are", s: func(s *Snapshot) {
		s.Revisions[2].Proven = true
		s.Shards = append(s.Shards, up(3, "b", 0).with(starting), up(4, "b", 0).with(starting))
	}, want: func(w *Spec) { w.ShardRevision = "b" }, acts: []string{"mark shard-4", "drain shard-4"}, waits: []string{"shards: 3 of other"}},
	{name: "scale-in goes on while shards wait for the stores", s: func(s *Snapshot) { s.Revisions[2].Proven = true; s.Shards = ups(4, "a") },
		want: func(w *Spec) { w.ShardRevision, w.StoreRevision = "b", "b" }, acts: []string{"give the stores", "mark shard-3 to leave", "drain shard-3"},
		waits: []string{"shards: the stores"}},
	{name: "paused where all have the revision already, a new one gets it too", s: func(s *Snapshot) { s.Shards = s.Shards[:2] },
		want: func(w *Spec) { w.UpdatePaused = true }, acts: []string{"create shard 2 at revision a"}},
	{name: "zones go in the order that was asked for", s: func(s *Snapshot) { s.Shards = append(s.Shards, up(3, "b", 0)); s.Revisions[2].Proven = true },
		want: func(w *Spec) { w.ShardRevision, w.ZoneOrder = "b", []string{"c", "a"} }, acts: []string{"mark shard-2 to leave", "drain shard-2"},
		waits: []string{"shards: 2 of"}},
	{name: "the stores get theirs before the other shards", s: func(s *Snapshot) { s.Shards = append(s.Shards, up(3, "b", 0)); s.Revisions[2].Proven = true },
		want: func(w *Spec) { w.ShardRevision, w.StoreRevision = "b", "b" }, acts: []string{"give the stores revision b"},
		waits: []string{"shards: the stores get their revision first"}},
	{name: "paused updates keep the revision, for new shards too", s: func(s *Snapshot) { s.Shards = s.Shards[:2] },
		want: func(w *Spec) { w.ShardRevision, w.UpdatePaused = "b", true }, acts: []string{"create shard 2 at revision a"}},
	{name: "paused in the middle, who was to leave stays", s: func(s *Snapshot) {
		s.Revisions[2].Proven = true
		s.Shards = append([]Shard{s.Shards[0].with(marked(RollOut, time.Second, Leaving{Draining, 50}))}, s.Shards[1], up(3, "b", 3))
	}, want: func(w *Spec) { w.ShardRevision, w.UpdatePaused = "b", true }, acts: []string{"take the mark off shard-0", "reverse the drain of shard-0"}},
	{name: "paused before the first shard of a new fleet means nothing", s: func(s *Snapshot) { *s = Snapshot{Revisions: []Revision{{"a", 1, false}}} },
		want: func(w *Spec) { w.UpdatePaused, w.Shards = true, 1 }, acts: []string{"give the stores", "have 3 stores", "create shard 0 at revision a"}},

	{name: "before the first revision is proven the next one is tried on a shard too", s: young(fresh), want: wantsB,
		acts: []string{"create shard 3 at revision b"}, waits: []string{"stores: revision b is tried on a shard first"}},
	{name: "also while its shards start", s: young(starting), want: wantsB,
		acts: []string{"create shard 3 at revision b"}, waits: []string{"stores: revision b is tried on a shard first"}},
	{name: "it is proven though it is not wanted any more, so that there is something to go back to", s: young(func(*Shard) {}), want: wantsB,
		acts: []string{"remember revision a as proven", "create shard 3 at revision b"}, waits: []string{"stores: revision b is tried on a shard first"}},
	{name: "a bad second revision stops at its shard, and what is evicted comes back as before", want: wantsB,
		s: after(young(fresh), func(s *Snapshot) {
			s.Shards[0] = s.Shards[0].with(deleting)
			s.Shards = append(s.Shards, up(3, "b", 0).with(broken))
		}),
		acts: []string{"create shard 4 at revision a"}, waits: []string{"stores: revision b", "shards: revision b is tried on one shard first: shard-3 is not ready: ImagePullBackOff; the others keep a"}},
	{name: "a first revision whose shards never work is replaced without a proof, and stores that do are kept until there is one", s: young(broken), want: wantsB,
		acts: []string{"delete shard-0", "delete shard-1", "delete shard-2", "create shard 3 at revision b", "create shard 4", "create shard 5"}, waits: []string{"stores: revision b is tried on a shard first"}},
	{name: "stores that never work are replaced without one", want: wantsB,
		s: after(young(starting), func(s *Snapshot) {
			for i := range s.Stores {
				failing(&s.Stores[i])
			}
		}),
		acts: []string{"restart store-2 with the new revision", "create shard 3 at revision b"}},
	{name: "also one whose turn has not come", want: wantsB, s: after(young(starting), func(s *Snapshot) { failing(&s.Stores[0]) }),
		acts: []string{"have every store that is made from now on get revision b", "create shard 3 at revision b"}},
	{name: "what changes for stores alone has no shard to show it", s: after(young(starting), func(s *Snapshot) { s.Revisions = s.Revisions[:1] }), want: func(w *Spec) { w.StoreRevision = "b" },
		acts: []string{"restart store-2 with the new revision"}},
	{name: "nor has a fleet without shards", s: after(young(fresh), func(s *Snapshot) { s.Shards = nil }), want: func(w *Spec) { wantsB(w); w.Shards = 0 },
		acts: []string{"restart store-2 with the new revision"}},
	{name: "back to the first, the other one goes", s: after(young(fresh), func(s *Snapshot) {
		s.Shards = append(s.Shards, up(3, "b", 0).with(starting))
		s.StoreSet.Template, s.Revisions = "a", []Revision{{"b", 2, false}, {"a", 3, false}}
	}), acts: []string{"mark shard-3 to leave", "drain shard-3"}},
	{name: "a third one: what most have is gone back to", s: after(young(fresh), func(s *Snapshot) {
		s.Shards = append([]Shard{s.Shards[0].with(deleting)}, s.Shards[1], s.Shards[2], up(3, "b", 0).with(starting))
		s.Revisions = append(s.Revisions, Revision{"c", 3, false})
	}), want: func(w *Spec) { w.Shards, w.ShardRevision = 4, "c" }, acts: []string{"create shard 4 at revision a", "create shard 5 at revision c"}},
	{name: "where most have the one that fails, the others are made as places get free", s: func(s *Snapshot) {
		s.Shards = []Shard{up(0, "b", 0).with(broken), up(1, "b", 0).with(broken), up(2, "b", 0).with(broken), up(3, "a", 0).with(starting)}
		s.Revisions = []Revision{{"a", 1, false}, {"b", 2, false}}
	}, want: func(w *Spec) { w.ShardRevision = "b" }, acts: []string{"mark shard-0", "mark shard-2", "delete shard-0", "delete shard-2"},
		waits: []string{"shards: revision b is tried on one shard first: shard-0 is not ready: ImagePullBackOff; the others keep a"}},

	{name: "full shards shed down to the mean", s: func(s *Snapshot) {
		s.Shards = []Shard{up(0, "a", 2000), up(1, "a", 2000), up(2, "a", 200)}
	}, acts: []string{"have shard-0 shed down to 1400 sessions at 25/s", "have shard-1 shed"}},
	{name: "those on their way count: nobody else leaves before they have a place", s: func(s *Snapshot) {
		s.Shards, s.SessionsLately = []Shard{up(0, "a", 1500), up(1, "a", 300), up(2, "a", 200)}, 4200
	}},
	{name: "chance is not evened out", s: func(s *Snapshot) { s.Shards = []Shard{up(0, "a", 60), up(1, "a", 36), up(2, "a", 24)} }},
	{name: "nothing is evened out before new shards have been ready for a while", s: func(s *Snapshot) {
		s.Shards = []Shard{up(0, "a", 2000), up(1, "a", 2000), up(2, "a", 0).with(func(sh *Shard) { sh.ReadySince = noon.Add(-5 * time.Second) })}
	}},
	{name: "a shed ends where a drain begins", s: func(s *Snapshot) {
		s.Shards = append(ups(3, "a"), up(3, "a", 9))
		s.Shards[1].Leaving = Leaving{Shedding, 50}
	}, acts: []string{"mark shard-3", "reverse the drain of shard-1", "drain shard-3 at 50"}},

	{name: "a store gives up what it leads before its turn", s: func(s *Snapshot) { s.StoreSet.Template = "b" }, want: func(w *Spec) { w.StoreRevision = "b" },
		acts: []string{"have store-2 give up what it leads, the metadata group last"}},
	{name: "and is restarted then", s: func(s *Snapshot) { s.StoreSet.Template = "b"; s.Stores[2].Leads, s.Stores[2].LeadsMetadata = 0, false },
		want: func(w *Spec) { w.StoreRevision = "b" }, acts: []string{"restart store-2 with the new revision"}},
	{name: "or when it takes too long", s: func(s *Snapshot) { s.StoreSet.Template = "b"; s.Stores[2].SteppingDown = noon.Add(-30 * time.Second) },
		want: func(w *Spec) { w.StoreRevision = "b" }, acts: []string{"restart store-2"}},
	{name: "not while another is behind", s: func(s *Snapshot) { s.StoreSet.Template = "b"; s.Stores[0].Behind = "group LOG-3 lags" },
		want: func(w *Spec) { w.StoreRevision = "b" }, waits: []string{"store-2: is restarted once all others are well: store-0: group LOG-3 lags"}},
	{name: "not before the last one has run for a while", s: func(s *Snapshot) {
		s.StoreSet.Template, s.StoreSet.Partition = "b", 2
		s.Stores[2].Revision, s.Stores[2].ReadySince = "b", noon.Add(-4*time.Second)
	}, want: func(w *Spec) { w.StoreRevision = "b" }, waits: []string{"store-1: is restarted once store-2 has run for 10s"}},
	{name: "not while a new revision is tried on a shard", want: func(w *Spec) { w.ShardRevision, w.StoreRevision = "b", "b" }, s: func(s *Snapshot) { s.StoreSet.Template = "b" },
		acts: []string{"create shard 3 at revision b"}, waits: []string{"stores: revision b is tried on a shard first"}},
	{name: "not while updates are paused", want: func(w *Spec) { w.StoreRevision, w.UpdatePaused = "b", true }, waits: []string{"stores: updates are paused"}},
	{name: "a store that is not to be restarted after all leads again", s: func(s *Snapshot) { s.Stores[2].SteppingDown = noon.Add(-time.Minute) },
		acts: []string{"have store-2 lead again"}},
	{name: "a bad revision stops at its first store", s: func(s *Snapshot) {
		s.StoreSet.Template, s.StoreSet.Partition = "b", 2
		s.Stores[2] = Store{Ordinal: 2, Name: "store-2", Revision: "b", Trouble: "CrashLoopBackOff"}
	}, want: func(w *Spec) { w.StoreRevision = "b" }, waits: []string{"store-2 is not ready: CrashLoopBackOff"}},
	{name: "and goes first once it is put right", s: func(s *Snapshot) {
		s.StoreSet.Template = "c"
		s.Stores[2] = Store{Ordinal: 2, Name: "store-2", Revision: "b", Trouble: "CrashLoopBackOff"}
	}, want: func(w *Spec) { w.StoreRevision = "c" }, acts: []string{"restart store-2"}},
	{name: "a store that cannot wait for its turn is made with the new revision", s: func(s *Snapshot) {
		s.StoreSet.Template = "b"
		s.Stores[0].Ready, s.Stores[0].Reached, s.Stores[0].Trouble = false, false, "CrashLoopBackOff"
	}, want: func(w *Spec) { w.StoreRevision = "b" }, acts: []string{"have every store that is made from now on get revision b"}},
	{name: "once its set is", s: func(s *Snapshot) {
		s.StoreSet.Template, s.StoreSet.Below = "b", "b"
		s.Stores[0].Ready, s.Stores[0].Reached, s.Stores[0].Trouble = false, false, "CrashLoopBackOff"
	}, want: func(w *Spec) { w.StoreRevision = "b" }, acts: []string{"delete store-0, whose set makes it again"}},
	{name: "a lost store is not decided for", s: func(s *Snapshot) { s.StoreSet.Template = "b"; s.Stores[0].NodeLost, s.Stores[0].Node = true, "node-7" },
		want: func(w *Spec) { w.StoreRevision = "b" }, waits: []string{"node-7 of store-0 is lost; if it does not come back, mark it with the taint node.kubernetes.io/out-of-service"}},
	{name: "stores grow while all are well", want: func(w *Spec) { w.Stores = 5 }, acts: []string{"have 5 stores"}},
	{name: "from what they are to be made from", want: func(w *Spec) { w.Stores, w.StoreRevision = 5, "b" }, acts: []string{"have every store that is made from now on get revision b"}},
	{name: "with none of before beside it", s: func(s *Snapshot) { s.StoreSet.Template, s.StoreSet.Partition = "b", 3 },
		want: func(w *Spec) { w.Stores, w.StoreRevision = 5, "b" }, acts: []string{"have every store that is made from now on get revision b"}},
	{name: "which the old ones get after that", s: func(s *Snapshot) { s.StoreSet.Template, s.StoreSet.Below, s.StoreSet.Partition = "b", "b", 3 },
		want: func(w *Spec) { w.Stores, w.StoreRevision = 5, "b" }, acts: []string{"have 5 stores"}},
	{name: "and not else", s: func(s *Snapshot) { s.Stores[1].Ready = false }, want: func(w *Spec) { w.Stores, w.StoreRevision = 5, "b" }, waits: []string{"store-1 is not ready yet"}},
	{name: "unless all have the wanted revision, and may wait for the new ones", s: func(s *Snapshot) { s.Stores[1].Ready = false }, want: func(w *Spec) { w.Stores = 5 }, acts: []string{"have 5 stores"}},
	{name: "one that does not run is mended first", s: func(s *Snapshot) {
		s.StoreSet.Template, s.StoreSet.Partition, s.Stores[2].Ready, s.Stores[2].Trouble = "b", 3, false, "CrashLoopBackOff"
	}, want: func(w *Spec) { w.Stores, w.StoreRevision = 5, "b" }, acts: []string{"restart store-2"}},
	{name: "volumes grow", want: func(w *Spec) { w.VolumeBytes = 2 << 30 }, acts: []string{"grow volume data-0 to 2147483648 bytes"}},
	{name: "where their class does", s: func(s *Snapshot) { s.Volumes[0].Growable = false }, want: func(w *Spec) { w.VolumeBytes = 2 << 30 }, waits: []string{"data-0: its storage class does not grow volumes"}},

	{name: "hibernation: shards leave by a drain", want: func(w *Spec) { w.Hibernate = true },
		acts: []string{"mark shard-2", "mark shard-1", "mark shard-0", "drain shard-0 at 16", "drain shard-1", "drain shard-2"}, waits: []string{"stores: hibernate once the last shard has left"}},
	{name: "then the stores go", s: func(s *Snapshot) { s.Shards = nil }, want: func(w *Spec) { w.Hibernate = true }, acts: []string{"have 0 stores"}},
	{name: "and sleep", s: func(s *Snapshot) { s.Shards, s.Stores, s.StoreSet.Replicas = nil, nil, 0 }, want: func(w *Spec) { w.Hibernate = true }},
	{name: "awake again", s: func(s *Snapshot) { s.Shards, s.Stores, s.StoreSet.Replicas = nil, nil, 0 }, want: func(w *Spec) { w.Shards = 1 },
		acts: []string{"have 3 stores", "create shard 0 at revision a"}},
}

func spec() Spec {
	return Spec{
		Shards: 3, ShardRevision: "a", StoreRevision: "a", Surge: 1, AtOnce: 1, Stores: 3,
		Drain: Drain{SessionsPerSecond: 50, Timeout: time.Minute}, StoreSoak: 10 * time.Second, VolumeBytes: 1 << 30,
	}
}

func TestNext(t *testing.T) {
	for _, tt := range planned {
		t.Run(tt.name, func(t *testing.T) {
			s, want := settled(), spec()
			if tt.s != nil {
				tt.s(&s)
			}
			if tt.want != nil {
				tt.want(&want)
			}
			p := Next(s, want, noon)
			var acts, waits []string
			for _, a := range p.Actions {
				acts = append(acts, a.String())
				if a.Because() == "" {
					t.Errorf("%s: no reason", a)
				}
			}
			for _, w := range p.Waiting {
				waits = append(waits, w.What+": "+w.For)
			}
			match := func(kind string, got, want []string) {
				if !slices.EqualFunc(got, want, strings.Contains) {
					t.Errorf("%s:\n  %s\nwant\n  %s", kind, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
				}
			}
			match("actions", acts, tt.acts)
			match("waits", waits, tt.waits)
			if len(p.Actions)+len(p.Waiting) == 0 && p.Again != 0 && tt.s == nil {
				t.Errorf("looks again after %v", p.Again)
			}
		})
	}
}
