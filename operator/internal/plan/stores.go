package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// stepDownWithin is how long a store may take to give up what it leads. Then it is restarted all the same: its own shutdown does so too.
const stepDownWithin = 30 * time.Second

// StoreSet is the set that the stores' pods belong to. It restarts stores from the highest number down to Partition with Template, and makes
// those below with the template of before.
type StoreSet struct {
	Replicas, Partition int
	// Template is the revision of its newest template, Below the one that stores below Partition are made with.
	Template, Below string
}

// Store is one store, whether its pod is there or not.
type Store struct {
	Ordinal int
	Name    string
	// Revision of its pod; empty if it has none.
	Revision   string
	Ready      bool
	ReadySince time.Time
	Trouble    string
	Deleting   bool
	// NodeLost: its node has not been heard of for so long that somebody has to decide.
	NodeLost bool
	Node     string
	// Reached says that its admin port answered; what follows is its own account.
	Reached bool
	// Behind says which groups of replicas are not current, for people; empty if all are.
	Behind string
	// Leads is how many groups it leads, besides the metadata group.
	Leads         int
	LeadsMetadata bool
	// SteppingDown since when; zero if it leads what it is elected for.
	SteppingDown time.Time
}

// Volume of a store.
type Volume struct {
	Name string
	// Bytes that are asked for.
	Bytes int64
	// Growable says that its storage class grows volumes.
	Growable bool
}

// storesOutdated says that some store does not have its revision yet.
func storesOutdated(s Snapshot, want Spec) bool {
	return s.StoreSet != nil && slices.ContainsFunc(s.Stores, func(st Store) bool { return st.outdated(want) })
}

// outdated says that the store has a pod of another revision than the wanted one. What has no pod gets one from its set, and is looked at then.
func (st Store) outdated(want Spec) bool {
	return st.Revision != "" && st.Revision != want.StoreRevision
}

func planStores(p *Plan, s Snapshot, want Spec, now time.Time) {
	set := s.StoreSet
	growVolumes(p, s.Volumes, want)
	switch {
	case set == nil:
		if !want.Hibernate {
			p.do(SetStoreTemplate{want.StoreRevision, "there are no stores yet"})
			p.do(ScaleStores{want.Stores, Why(fmt.Sprintf("%d stores are wanted", want.Stores))})
		}
	case want.Hibernate:
		hibernate(p, s)
	case set.Replicas == 0:
		if set.Template != want.StoreRevision {
			p.do(SetStoreTemplate{want.StoreRevision, "no store runs"})
		}
		p.do(ScaleStores{want.Stores, "the fleet wakes"})
	default:
		updateStores(p, s, want, now)
	}
}

// hibernate ends the stores after the last shard: sessions leave by a drain, and that posts until its end.
func hibernate(p *Plan, s Snapshot) {
	switch {
	case s.StoreSet.Replicas == 0:
	case len(s.Shards) > 0:
		p.wait("stores", "hibernate once the last shard has left")
	default:
		p.do(ScaleStores{0, "the fleet hibernates, and no shard is left"})
	}
}

func growVolumes(p *Plan, volumes []Volume, want Spec) {
	for _, v := range volumes {
		switch {
		case v.Bytes >= want.VolumeBytes:
		case v.Growable:
			p.do(GrowVolume{v.Name, want.VolumeBytes, Why(fmt.Sprintf("it has %d bytes", v.Bytes))})
		default:
			p.wait(v.Name, "its storage class does not grow volumes: set allowVolumeExpansion there, if the driver can, or move the store to a larger volume")
		}
	}
}

// updateStores brings every store to the wanted number and revision, one at a time.
func updateStores(p *Plan, s Snapshot, want Spec, now time.Time) {
	set := *s.StoreSet
	leadAgain(p, s.Stores, want)
	outdated := slices.DeleteFunc(slices.Clone(s.Stores), func(st Store) bool { return !st.outdated(want) })
	grows := unfit(s.Stores, -1)
	switch {
	case set.Replicas > want.Stores:
		p.wait("stores", fmt.Sprintf("%d stores stay: a fleet of %d cannot be made from them, since streams do not shrink", set.Replicas, want.Stores))
		return
	case set.Replicas < want.Stores && (grows == "" || len(outdated) == 0): // if none is outdated, they may wait for the new ones
		growStores(p, s, want)
		return
	case set.Replicas < want.Stores && !slices.ContainsFunc(outdated, func(st Store) bool { return st.Trouble != "" }):
		p.wait("stores", fmt.Sprintf("%d more once all are well: %s", want.Stores-set.Replicas, grows))
		p.again(look)
		return
	case len(outdated) == 0:
		return
	case want.UpdatePaused:
		p.wait("stores", "updates are paused")
		return
	}
	if set.Template != want.StoreRevision {
		p.do(SetStoreTemplate{want.StoreRevision, "what the stores are made from has changed"})
		return
	}
	restartNext(p, s, want, now, slices.MaxFunc(outdated, func(a, b Store) int { return cmp.Compare(a.Ordinal, b.Ordinal) }))
}

// growStores has more stores made, from a revision that knows them. The one of before does not, so none may be made from it, even one that is
// lost in a later roll-out: the set forgets it.
func growStores(p *Plan, s Snapshot, want Spec) {
	set := s.StoreSet
	switch {
	case set.Template == want.StoreRevision && set.Below == want.StoreRevision:
		p.do(ScaleStores{want.Stores, Why(fmt.Sprintf("%d stores are wanted", want.Stores))})
	case revisions(s, want).tries() && want.Shards > 0:
		p.wait("stores", triedFirst(want))
	default:
		p.do(DropStoreTemplate{want.StoreRevision, "the revision of before does not know the new stores"})
	}
}

// leadAgain has stores lead again that have stepped down and are not to be restarted after all.
func leadAgain(p *Plan, stores []Store, want Spec) {
	for _, st := range stores {
		if !st.SteppingDown.IsZero() && st.Ready && st.Reached && (want.UpdatePaused || !st.outdated(want)) {
			p.do(ReverseStepDown{st.Name, "it is not to be restarted after all"})
		}
	}
}

// restartNext restarts a store if all others are well, after it has given up what it leads.
func restartNext(p *Plan, s Snapshot, want Spec, now time.Time, next Store) {
	rev := revisions(s, want)
	tried := want.Shards > 0 && !rev.proven
	if tried && rev.worked {
		p.wait("stores", triedFirst(want))
		return
	}
	p.again(look)
	switch why := unfit(s.Stores, next.Ordinal); {
	case next.Ordinal >= s.StoreSet.Partition:
		p.wait(next.Name, "is being restarted")
	case next.Trouble != "": // it does not run: the others lose nothing by its restart
		p.do(UpdateStore{next.Name, next.Ordinal, Why("it " + next.state() + ", and its revision " + next.Revision + " is not wanted any more")})
	case why != "":
		if !mendOutOfTurn(p, s, want) {
			p.wait(next.Name, "is restarted once all others are well: "+why)
		}
	case tried && next.Ready && len(s.Revisions) > 1: // nothing has ever worked: what fails is replaced above, what runs is kept until a shard shows more
		p.wait("stores", triedFirst(want))
	case soaks(p, s, want, now, next), stepsDown(p, now, next):
	default:
		p.do(UpdateStore{next.Name, next.Ordinal, Why("revision " + want.StoreRevision + " takes the place of " + next.Revision)})
	}
}

// triedFirst is what stores wait for while no shard has shown that the wanted revision works.
func triedFirst(want Spec) string {
	return "revision " + want.ShardRevision + " is tried on a shard first"
}

// mendOutOfTurn gives the wanted revision to a store that does not run with the one that it has, while those above it have not had their turn. The
// others lose nothing by that, however they are. A set knows no such order: it forgets the template of before, and then makes this one's with the new.
func mendOutOfTurn(p *Plan, s Snapshot, want Spec) bool {
	i := slices.IndexFunc(s.Stores, func(st Store) bool { return st.Trouble != "" && st.outdated(want) && !st.Deleting && !st.NodeLost })
	if i < 0 {
		return false
	}
	broken := s.Stores[i]
	if s.StoreSet.Below != want.StoreRevision {
		p.do(DropStoreTemplate{want.StoreRevision, Why(broken.Name + " " + broken.state() + " with revision " + broken.Revision + ", and would be made with it again")})
		return true
	}
	p.do(DeleteStore{broken.Name, Why("it " + broken.state() + ", and is made with revision " + want.StoreRevision)})
	return true
}

// soaks says that a store which was restarted is still being watched.
func soaks(p *Plan, s Snapshot, want Spec, now time.Time, next Store) bool {
	for _, st := range s.Stores {
		if left := want.StoreSoak - now.Sub(st.ReadySince); st.Revision == want.StoreRevision && left > 0 && st.Ordinal != next.Ordinal {
			p.wait(next.Name, fmt.Sprintf("is restarted once %s has run for %s", st.Name, want.StoreSoak))
			p.again(left)
			return true
		}
	}
	return false
}

// stepsDown has a store give up what it leads, and says whether that still goes on.
func stepsDown(p *Plan, now time.Time, next Store) bool {
	switch {
	case !next.Ready || !next.Reached || next.Leads == 0 && !next.LeadsMetadata:
		return false
	case next.SteppingDown.IsZero():
		p.do(StepDown{next.Name, next.LeadsMetadata, "it is restarted next, and a leader that goes unasked costs an election"})
		return true
	case now.Sub(next.SteppingDown) < stepDownWithin:
		p.wait(next.Name, fmt.Sprintf("gives up what it leads, %d groups left", next.Leads))
		return true
	}
	return false
}

// state of a store that is not ready, for people.
func (st Store) state() string { return Shard{Trouble: st.Trouble, Ready: st.Ready}.state() }

// unfit says why not all stores are well enough to go without one; that one, by its number, is not asked. Empty if they are.
func unfit(stores []Store, but int) string {
	for _, st := range stores {
		switch {
		case st.Ordinal == but:
		case st.NodeLost:
			return fmt.Sprintf("the node %s of %s is lost; if it does not come back, mark it with the taint node.kubernetes.io/out-of-service, so that the store can start elsewhere", st.Node, st.Name)
		case st.Revision == "":
			return st.Name + " has no pod"
		case st.Deleting:
			return st.Name + " is ending"
		case !st.Ready:
			return st.Name + " " + st.state()
		case !st.Reached:
			return st.Name + " does not answer on its admin port"
		case st.Behind != "":
			return st.Name + ": " + st.Behind
		}
	}
	return ""
}
