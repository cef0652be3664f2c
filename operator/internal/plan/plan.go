package plan

import (
	"cmp"
	"slices"
	"time"
)

// Next is what is to be done now. The same arguments give the same plan, in whatever order the snapshot lists things.
func Next(s Snapshot, want Spec, now time.Time) Plan {
	if want.Paused {
		return Plan{Waiting: []Wait{{"fleet", "paused: nothing is created, replaced, drained or updated until spec.paused is false"}}}
	}
	s = s.sorted()
	var p Plan
	planStores(&p, s, want, now)
	planShards(&p, s, want, now)
	return p
}

// Plan is what to do, in this order, and what is being waited for.
type Plan struct {
	Actions []Action
	Waiting []Wait
	// Again is when to look again if nothing changes before; 0 is never.
	Again time.Duration
}

// Wait is one thing that a plan cannot do yet.
type Wait struct {
	// What waits: a pod's name, "shards", "stores", "fleet".
	What string
	// For says what for, and where a person can help, how.
	For string
}

func (p *Plan) do(a Action)           { p.Actions = append(p.Actions, a) }
func (p *Plan) wait(what, why string) { p.Waiting = append(p.Waiting, Wait{what, why}) }

// again has the fleet looked at once more after d, or earlier if something else asks for it.
func (p *Plan) again(d time.Duration) {
	d = max(d, time.Second)
	if p.Again == 0 || d < p.Again {
		p.Again = d
	}
}

// Spec is what is wanted of a fleet, as far as planning goes. Everything else about pods is in the revisions.
type Spec struct {
	// Paused stops everything; Hibernate wants no pods and keeps the volumes.
	Paused, Hibernate bool

	Shards int
	// ShardRevision and StoreRevision name what the user wants pods to be made from: a hash of his inputs.
	ShardRevision, StoreRevision string
	// UpdatePaused keeps pods at the revision that they have.
	UpdatePaused bool
	// Surge is how many shards more than Shards there may be during a roll-out; AtOnce how many leave at the same time for it. At least one
	// of the two.
	Surge, AtOnce int
	// ZoneOrder lists zones that are rolled out first, in this order; others follow by name.
	ZoneOrder []string
	Drain     Drain

	Stores int
	// StoreSoak is how long a store that was restarted is watched before the next one's turn.
	StoreSoak time.Duration
	// VolumeBytes is the size of each store's volume.
	VolumeBytes int64
}

// Drain is how sessions are sent away.
type Drain struct {
	// SessionsPerSecond is the pace of the whole fleet, whatever number of shards drains at the same time.
	SessionsPerSecond int
	// Timeout is how long one shard's drain may take.
	Timeout time.Duration
}

// Snapshot is the fleet as it was observed.
type Snapshot struct {
	Shards []Shard
	// SessionsLately is the most sessions that all shards together have held within the last minutes, as far as that is known.
	SessionsLately int
	// Revisions are the shards' known ones, of any order.
	Revisions []Revision
	// StoreSet is the set of stores; nil if it has not been made yet.
	StoreSet *StoreSet
	Stores   []Store
	Volumes  []Volume
}

// Revision is a template of shards that is kept.
type Revision struct {
	Name string
	// Number counts revisions in the order in which they were last wanted.
	Number int64
	// Proven says that a shard of this revision has once worked.
	Proven bool
}

// Shard is one pod with sessions, or with the wish to have some.
type Shard struct {
	Name string
	// Index is its number, from 0.
	Index                int
	Zone, Node, Revision string
	// Ready says that it takes sessions; since when is ReadySince.
	Ready      bool
	ReadySince time.Time
	// Trouble says what keeps it from starting or running, if that is known; empty otherwise.
	Trouble string
	// Deleting: the API server has been told to delete it; it drains by itself, and there is no way back.
	Deleting bool
	// Ended: it will not run again, whatever happens (its containers have come to an end).
	Ended bool
	// NodeLost: its node has not been heard of for so long that nobody waits for it any more.
	NodeLost bool
	// Mark is set on shards that are to leave; nil on all others.
	Mark *Mark
	// Sessions it holds, if Reached.
	Sessions int
	// Reached says that its admin port answered. Leaving is what it said of a drain, or of a shed.
	Reached bool
	Leaving Leaving
}

// Mark stands on a shard that is to leave. It can be taken off until the shard is deleted.
type Mark struct {
	Since time.Time
	Cause Cause
}

// Cause of a mark.
type Cause string

const (
	// ScaleIn: fewer shards are wanted.
	ScaleIn Cause = "ScaleIn"
	// RollOut: another revision takes its place.
	RollOut Cause = "RollOut"
	// Hibernation: no pods are wanted.
	Hibernation Cause = "Hibernation"
)

// Leaving is how far sessions have been sent away, by the shard's own account.
type Leaving struct {
	State LeavingState
	// PerSecond is the pace in force.
	PerSecond int
}

// LeavingState is the state of a drain or a shed.
type LeavingState string

const (
	// Staying: sessions stay and new ones are taken. The zero state.
	Staying LeavingState = ""
	// Draining: all sessions are being sent away, and no new ones are taken.
	Draining LeavingState = "Draining"
	// Drained: no session is left, and no new ones are taken.
	Drained LeavingState = "Drained"
	// Shedding: sessions are being sent away until few enough are left.
	Shedding LeavingState = "Shedding"
)

// sorted is the snapshot in an order of its own, so that plans do not depend on that of lists.
func (s Snapshot) sorted() Snapshot {
	s.Shards = slices.SortedFunc(slices.Values(s.Shards), func(a, b Shard) int { return cmp.Compare(a.Name, b.Name) })
	s.Stores = slices.SortedFunc(slices.Values(s.Stores), func(a, b Store) int { return cmp.Compare(a.Ordinal, b.Ordinal) })
	s.Volumes = slices.SortedFunc(slices.Values(s.Volumes), func(a, b Volume) int { return cmp.Compare(a.Name, b.Name) })
	s.Revisions = slices.SortedFunc(slices.Values(s.Revisions), func(a, b Revision) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.Name, b.Name))
	})
	return s
}
