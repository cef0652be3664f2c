package chatlog

import (
	"cmp"
	"math"
	"slices"

	"github.com/chatfleet/chatfleet/chatd/internal/wire"
)

// Tallies are how many members a channel has, by the partition in which their own logs stand: one for each partition, however many
// members there are. They are never changed in place.
//
// A tally is a function of the partition's stream up to its sequence. So of two for one partition the newer one is true and the
// other one is not needed: to take one twice, or late, changes nothing, and to take the newest makes up for all that were lost.
type Tallies []*wire.Tally // ascending partitions

// newer reports whether a says more than b.
func newer(a, b *wire.Tally) bool {
	return cmp.Or(cmp.Compare(a.GetEpoch(), b.GetEpoch()), cmp.Compare(a.GetSeq(), b.GetSeq())) > 0
}

func (t Tallies) find(partition uint32) (int, bool) {
	return slices.BinarySearchFunc(t, partition, func(t *wire.Tally, p uint32) int { return cmp.Compare(t.GetPartition(), p) })
}

// Has reports whether this tally, or a newer one of its partition, is among them.
func (t Tallies) Has(one *wire.Tally) bool {
	i, ok := t.find(one.GetPartition())
	return ok && !newer(one, t[i])
}

// Merge is the newer one of each partition.
func (t Tallies) Merge(others ...*wire.Tally) Tallies {
	merged, changed := t, false
	for _, one := range others {
		i, ok := merged.find(one.GetPartition())
		if ok && !newer(one, merged[i]) {
			continue
		}
		if !changed {
			merged, changed = slices.Clone(merged), true
		}
		if ok {
			merged[i] = one
		} else {
			merged = slices.Insert(merged, i, one)
		}
	}
	return merged
}

// Members is their sum.
func (t Tallies) Members() uint32 {
	sum := int64(0)
	for _, one := range t {
		sum += one.GetJoined()
	}
	// Below 0 it is while a partition was restored to an earlier state and the others were not.
	return uint32(min(max(sum, 0), math.MaxUint32))
}

// LastBan is the position of the newest ban of anybody: who was let in at or after it is not banned by what is on its way to his own log.
func (s *State) LastBan() uint64 { return s.lastBan }

// Tallies are what the channel knows of its members.
func (s *State) Tallies() Tallies { return s.tallies }

// Count takes a tally, and reports whether it said something new. It is no event: a channel's readers need not know of each other.
func (s *State) Count(others ...*wire.Tally) bool {
	merged := s.tallies.Merge(others...)
	changed := !slices.Equal(merged, s.tallies)
	s.tallies = merged
	return changed
}
