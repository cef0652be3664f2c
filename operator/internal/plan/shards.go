package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Live says that a shard is there to stay: it counts as one of those that are wanted, ready or not.
func (sh Shard) Live() bool { return sh.present() && sh.Mark == nil }

// present says that nobody has given the shard's pod up.
func (sh Shard) present() bool { return !sh.Deleting && !sh.NodeLost && !sh.Ended }

// hopeless says that the shard will not get ready by waiting, and holds nothing that a drain could save.
func (sh Shard) hopeless() bool {
	return !sh.Ready && sh.Trouble != "" && (!sh.Reached || sh.Sessions == 0)
}

func planShards(p *Plan, s Snapshot, want Spec, now time.Time) {
	f := fleet{Plan: p, want: want, now: now, shards: slices.Clone(s.Shards), lately: s.SessionsLately, rollOut: revisions(s, want)}
	if want.Hibernate {
		f.want.Shards, f.want.Surge = 0, 0
	} else {
		f.prove(p, s, now)
	}
	f.storesFirst = storesOutdated(s, want)
	f.bury()
	f.revive()
	f.create()
	f.scaleIn()
	f.replace()
	f.stopSheds()
	f.drain()
	f.rebalance()
}

// fleet is the shards while they are planned: what one rule has decided, the next ones see.
type fleet struct {
	*Plan
	rollOut
	want   Spec
	now    time.Time
	shards []Shard
	// lately is the most sessions that there were within the last minutes.
	lately int
	// storesFirst holds shards back until all stores have their revision: only the first shard of a new one goes before.
	storesFirst bool
}

// count is how many live shards there are, and how many of them have the wanted revision.
func (f *fleet) count() (live, wanted int) {
	for _, sh := range f.shards {
		if sh.Live() {
			live++
			if sh.Revision == f.wanted {
				wanted++
			}
		}
	}
	return live, wanted
}

// bury deletes pods that will never hold a session again.
func (f *fleet) bury() {
	for i, sh := range f.shards {
		switch {
		case sh.NodeLost:
			f.do(DeleteShard{sh.Name, true, Why("its node " + sh.Node + " is lost, and a shard holds nothing that must be waited for")})
		case sh.Deleting: // its end has begun
		case sh.Ended:
			f.do(DeleteShard{sh.Name, false, "it has ended and will not run again"})
		case sh.hopeless() && sh.Revision != f.wanted && sh.Revision != f.fallback:
			f.do(DeleteShard{sh.Name, false, Why("it " + sh.state() + ", holds no session, and its revision " + sh.Revision + " is not wanted any more")})
			f.shards[i].Deleting = true
		}
	}
}

// lacking is how many shards have to be made, or taken back: of the wanted revision, and of the fallback.
func (f *fleet) lacking() (wanted, fallback int) {
	live, ofWanted := f.count()
	switch {
	case f.want.Hibernate:
		return 0, 0
	case f.goesOn():
		return max(0, f.want.Shards-live), 0
	case f.held():
		return 0, max(0, f.want.Shards-live)
	}
	// One shard tries the wanted revision: one more than the others if surge allows, else in the place of one.
	others := f.want.Shards
	if f.want.Surge == 0 {
		others--
	}
	return 0, max(0, min(others-(live-ofWanted), f.want.Shards+f.want.Surge-live))
}

// revive takes marks off where shards are lacking: cheaper than a new shard, for sessions too. Whoever was marked for a roll-out only stays
// if a new one would have the same revision.
func (f *fleet) revive() {
	wanted, fallback := f.lacking()
	leavers := f.pick(func(sh Shard) bool { return sh.present() && sh.Mark != nil && !sh.hopeless() })
	slices.SortStableFunc(leavers, func(a, b int) int { return cmp.Compare(f.shards[b].Sessions, f.shards[a].Sessions) })
	for _, i := range leavers {
		sh := &f.shards[i]
		fits := &wanted
		switch {
		case f.goesOn() && sh.Mark.Cause != RollOut, f.goesOn() && sh.Revision == f.wanted:
		case !f.goesOn() && sh.Revision == f.fallback:
			fits = &fallback
		default:
			continue
		}
		if *fits == 0 {
			continue
		}
		*fits--
		f.do(UnmarkShard{sh.Name, Why(fmt.Sprintf("%d shards are wanted, and it still has its sessions", f.want.Shards))})
		sh.Mark = nil
	}
	for _, sh := range f.shards {
		if sh.Live() && sh.Reached && (sh.Leaving.State == Draining || sh.Leaving.State == Drained) {
			f.do(ReverseDrain{sh.Name, "it is not to leave"})
		}
	}
}

// create makes what is lacking, and what a roll-out may have besides.
func (f *fleet) create() {
	wanted, fallback := f.lacking()
	for range fallback {
		f.make(f.fallback, f.keptReason())
	}
	leaving := len(f.pick(func(sh Shard) bool { return sh.Mark != nil && sh.Mark.Cause == RollOut && !sh.NodeLost && !sh.Ended }))
	if f.want.Surge == 0 {
		wanted -= leaving // the place of these is free only once they have gone
	}
	for range wanted {
		f.make(f.wanted, fmt.Sprintf("%d shards are wanted", f.want.Shards))
	}
	live, ofWanted := f.count()
	room := f.want.Shards + f.want.Surge - live - leaving
	switch {
	case f.want.Hibernate || f.held() || room <= 0 || live == ofWanted && ofWanted >= f.want.Shards:
	case f.tries():
		if ofWanted == 0 {
			f.make(f.wanted, "revision "+f.wanted+" is tried on one shard before others get it")
		}
	case !f.storesFirst:
		for range min(room, live-ofWanted) {
			f.make(f.wanted, "revision "+f.wanted+" takes the place of another")
		}
	}
}

// keptReason says why a new shard does not get the wanted revision.
func (f *fleet) keptReason() string {
	if f.held() {
		return fmt.Sprintf("%d shards are wanted; updates are paused, so it gets the revision of before", f.want.Shards)
	}
	return fmt.Sprintf("%d shards are wanted; revision %s is not proven, so it gets the one of before", f.want.Shards, f.wanted)
}

// make makes a shard with the lowest number that is free. A pod that is on its way out has its number until it is gone.
func (f *fleet) make(revision, why string) {
	index := 0
	for slices.ContainsFunc(f.shards, func(sh Shard) bool { return sh.Index == index }) {
		index++
	}
	f.do(CreateShard{index, revision, Why(why)})
	f.shards = append(f.shards, Shard{Index: index, Revision: revision})
}

// scaleIn marks those that are too many. It never takes a shard that is ready where no more than the wanted number is.
func (f *fleet) scaleIn() {
	cause, why := ScaleIn, fmt.Sprintf("%d shards are wanted", f.want.Shards)
	if f.want.Hibernate {
		cause, why = Hibernation, "the fleet hibernates"
	}
	for {
		candidates := f.tooMany()
		if ready := len(f.pick(func(sh Shard) bool { return sh.Live() && sh.Ready })); ready <= f.want.Shards {
			candidates = slices.DeleteFunc(candidates, func(i int) bool { return f.shards[i].Ready })
		}
		if len(candidates) == 0 {
			return
		}
		sh := &f.shards[f.leastMissed(candidates)]
		f.do(MarkShard{sh.Name, cause, Why(why)})
		sh.Mark = &Mark{Since: f.now, Cause: cause}
	}
}

// tooMany is the live shards of which one has to go; none if there are no more than there may be.
func (f *fleet) tooMany() []int {
	live, wanted := f.count()
	all := f.pick(func(sh Shard) bool { return sh.Live() && sh.Name != "" })
	if f.want.Hibernate {
		return all
	}
	if !f.tries() {
		allowed := f.want.Shards
		if live > wanted && f.goesOn() {
			allowed += min(f.want.Surge, wanted) // a roll-out is under way
		}
		if live > allowed {
			return all
		}
		return nil
	}
	others := f.want.Shards
	if f.want.Surge == 0 && wanted > 0 {
		others--
	}
	switch {
	case live-wanted > max(0, others):
		return slices.DeleteFunc(all, func(i int) bool { return f.shards[i].Revision == f.wanted })
	case wanted > 1:
		return slices.DeleteFunc(all, func(i int) bool { return f.shards[i].Revision != f.wanted })
	}
	return nil
}

// leastMissed is which of some live shards goes first: one that cannot work, one whose revision goes anyway, one that does not work, one of
// the zone with most, the one with the fewest sessions, the one with the highest number.
func (f *fleet) leastMissed(of []int) int {
	inZone := map[string]int{}
	for _, sh := range f.shards {
		if sh.Live() {
			inZone[sh.Zone]++
		}
	}
	keep := f.wanted
	if !f.goesOn() {
		keep = f.fallback
	}
	return slices.MinFunc(of, func(i, j int) int {
		a, b := f.shards[i], f.shards[j]
		return cmp.Or(
			first(a.hopeless(), b.hopeless()),
			first(a.Revision != keep, b.Revision != keep),
			first(!a.Ready, !b.Ready),
			cmp.Compare(inZone[b.Zone], inZone[a.Zone]),
			cmp.Compare(a.Sessions, b.Sessions),
			cmp.Compare(b.Index, a.Index),
		)
	})
}

// replace marks shards of other revisions, as many as may leave at once. Those that are ready leave only while enough others are.
func (f *fleet) replace() {
	if f.want.Hibernate || f.held() {
		return
	}
	outdated := f.pick(func(sh Shard) bool { return sh.Live() && sh.Name != "" && sh.Revision != f.wanted })
	if len(outdated) == 0 {
		return
	}
	_, ofWanted := f.count()
	if f.tries() && (f.want.Surge > 0 || ofWanted > 0) {
		return // one shard more tries it
	}
	if f.goesOn() && f.storesFirst {
		f.wait("shards", "the stores get their revision first")
		return
	}
	ready := len(f.pick(func(sh Shard) bool { return sh.Live() && sh.Ready }))
	spare := ready - f.want.Shards + max(0, f.want.AtOnce-f.want.Surge)
	places := max(1, f.want.AtOnce) - len(f.pick(func(sh Shard) bool { return sh.Mark != nil && sh.Mark.Cause == RollOut && sh.present() }))
	if f.tries() {
		places = min(places, 1)
	}
	slices.SortFunc(outdated, f.byTurn)
	for _, i := range outdated {
		sh := &f.shards[i]
		if places <= 0 || sh.Ready && spare <= 0 {
			break
		}
		if sh.Ready {
			spare--
		}
		places--
		f.do(MarkShard{sh.Name, RollOut, Why("revision " + f.wanted + " takes the place of " + sh.Revision)})
		sh.Mark = &Mark{Since: f.now, Cause: RollOut}
	}
	if left := len(f.pick(func(sh Shard) bool { return sh.Live() && sh.Name != "" && sh.Revision != f.wanted })); left > 0 {
		f.wait("shards", fmt.Sprintf("%d of other revisions wait for their turn", left))
	}
}

// byTurn is the order of a roll-out: what does not work, then by zones, then who has the fewest sessions.
func (f *fleet) byTurn(i, j int) int {
	a, b := f.shards[i], f.shards[j]
	turn := func(zone string) int {
		if at := slices.Index(f.want.ZoneOrder, zone); at >= 0 {
			return at
		}
		return len(f.want.ZoneOrder)
	}
	return cmp.Or(
		first(!a.Ready, !b.Ready),
		cmp.Compare(turn(a.Zone), turn(b.Zone)),
		cmp.Compare(a.Zone, b.Zone),
		cmp.Compare(a.Sessions, b.Sessions),
		cmp.Compare(a.Index, b.Index),
	)
}

// pick is the places of shards that fit.
func (f *fleet) pick(fits func(Shard) bool) []int {
	var places []int
	for i, sh := range f.shards {
		if fits(sh) {
			places = append(places, i)
		}
	}
	return places
}

// first orders what is true before what is not.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}
