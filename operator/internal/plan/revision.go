package plan

import (
	"fmt"
	"slices"
	"time"
)

// provenAfter is how long a shard of a new revision must have been ready before the revision counts as one that works. It is longer than
// a process needs to fall over a bad flag or a missing file after its first good probe.
const provenAfter = 10 * time.Second

// rollOut is what the shards' revisions say: which one a new shard gets, and whether others may be replaced.
type rollOut struct {
	wanted string
	// fallback is what a shard that got lost comes back as while wanted is not to be used: paused, or not proven. Empty if there is nothing to go
	// back to.
	fallback string
	// proven says that wanted has worked once, worked that some revision has.
	proven, worked bool
	paused         bool
}

// revisions reads the roll-out's state off the fleet.
func revisions(s Snapshot, want Spec) rollOut {
	r := rollOut{wanted: want.ShardRevision, paused: want.UpdatePaused}
	proven := map[string]int64{}
	for _, rev := range s.Revisions {
		if rev.Proven {
			proven[rev.Name] = rev.Number
		}
	}
	_, r.proven = proven[r.wanted]
	if r.worked = len(proven) > 0; r.worked {
		r.fallback = fallback(s, proven, r.wanted)
	} else if most := hopeful(s); most != r.wanted {
		r.fallback = most
	}
	return r
}

// hopeful is what stands for a proven revision where none is yet: the one that most shards have of those that work, or may do so in a moment; of two,
// the older. A first revision whose shards all fail is nothing to go back to.
func hopeful(s Snapshot) string {
	best, most := "", 0
	for _, rev := range s.Revisions { // ascending by number
		n := 0
		for _, sh := range s.Shards {
			if sh.Revision == rev.Name && sh.present() && !sh.hopeless() {
				n++
			}
		}
		if n > most {
			best, most = rev.Name, n
		}
	}
	return best
}

// fallback is the proven revision that most of the other shards have; of two, the newer. If no such shard is there, it is the newest
// proven one that is not wanted; for a paused fleet that has reached what is wanted, none.
func fallback(s Snapshot, proven map[string]int64, wanted string) string {
	count := map[string]int{}
	reached := false
	for _, sh := range s.Shards {
		if _, ok := proven[sh.Revision]; ok && sh.Revision != wanted {
			count[sh.Revision]++
		}
		reached = reached || sh.Revision == wanted && sh.Live()
	}
	if _, ok := proven[wanted]; ok && reached && len(count) == 0 {
		return ""
	}
	best := ""
	for _, rev := range s.Revisions { // ascending by number
		if _, ok := proven[rev.Name]; ok && rev.Name != wanted && (best == "" || count[rev.Name] >= count[best]) {
			best = rev.Name
		}
	}
	return best
}

// goesOn says whether shards of other revisions may be replaced by the wanted one, all of them: it has been proven, or there is nothing to
// go back to.
func (r rollOut) goesOn() bool { return r.fallback == "" || r.proven && !r.paused }

// held says that updates are paused, and that there is a revision to keep.
func (r rollOut) held() bool { return !r.goesOn() && r.paused }

// tries says that the wanted revision is to be tried on one shard.
func (r rollOut) tries() bool { return !r.goesOn() && !r.paused }

// prove remembers which revisions work: those of which a shard has been ready for a while. One that is not wanted any more may be gone back to.
func (r *rollOut) prove(p *Plan, s Snapshot, now time.Time) {
	for _, rev := range s.Revisions {
		if !rev.Proven && proves(p, s.Shards, rev.Name, now) && rev.Name == r.wanted {
			r.proven = true
		}
	}
	if r.proven {
		return
	}
	first := slices.IndexFunc(s.Shards, func(sh Shard) bool { return sh.Revision == r.wanted && sh.Live() })
	if r.fallback != "" && first >= 0 && !r.paused {
		sh := s.Shards[first]
		p.wait("shards", "revision "+r.wanted+" is tried on one shard first: "+sh.Name+" "+sh.state()+"; the others keep "+r.fallback)
	}
}

// proves says that some shard shows a revision to work.
func proves(p *Plan, shards []Shard, revision string, now time.Time) bool {
	for _, sh := range shards {
		if sh.Revision != revision || !sh.Ready || sh.ReadySince.IsZero() {
			continue
		}
		if left := provenAfter - now.Sub(sh.ReadySince); left > 0 {
			p.again(left)
			continue
		}
		p.do(ProveRevision{revision, Why(fmt.Sprintf("%s has been ready with it for %s", sh.Name, provenAfter))})
		return true
	}
	return false
}

// state of a shard that is not ready, for people.
func (sh Shard) state() string {
	switch {
	case sh.Trouble != "":
		return "is not ready: " + sh.Trouble
	case !sh.Ready:
		return "is not ready yet"
	}
	return "is ready"
}
