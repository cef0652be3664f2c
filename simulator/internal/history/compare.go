package history

import (
	"fmt"

	"github.com/chatfleet/chatfleet/simulator/internal/stamp"
)

// Acknowledged is a post that the fleet acknowledged, and where it said that it is.
type Acknowledged struct {
	Post  uint32
	Log   int
	Epoch uint32
	Pts   uint64
}

// Findings is how the acknowledgements and the logs agree.
type Findings struct {
	// Acknowledged posts whose logs were read to the head, so that something can be said of them.
	Checked int64
	// Of those: not in their log at all.
	Missing int64
	// In their log, and not where the acknowledgement says.
	Misplaced int64
	// Positions that hold a post which an earlier position holds too.
	Doubled int64
	// Positions after First that hold no post of the run.
	Foreign int64
	// Some of them, for people.
	Examples []string
}

const maxExamples = 10

// Compare finds where the logs do not hold what was acknowledged.
func Compare(lists []List, acknowledged []Acknowledged) Findings {
	var f Findings
	places := make([]map[uint32]uint64, len(lists))
	for i, list := range lists {
		places[i] = f.index(list)
	}
	for _, a := range acknowledged {
		list := lists[a.Log]
		if !list.Complete {
			continue
		}
		f.Checked++
		post, there := list.At(a.Pts)
		if there && post == a.Post && a.Epoch == list.Epoch {
			continue
		}
		if pts, somewhere := places[a.Log][a.Post]; somewhere {
			f.Misplaced++
			f.example("post %d was acknowledged at position %d of log %s in epoch %d and is at %d in epoch %d",
				a.Post, a.Pts, list.Log, a.Epoch, pts, list.Epoch)
			continue
		}
		f.Missing++
		f.example("post %d was acknowledged at position %d of log %s and is not in it (its head is %d)", a.Post, a.Pts, list.Log, list.Head())
	}
	return f
}

// index maps each post of a list to its first position.
func (f *Findings) index(list List) map[uint32]uint64 {
	places := make(map[uint32]uint64, len(list.Posts))
	for i, post := range list.Posts {
		pts := list.First + uint64(i)
		if post == stamp.NoPost {
			f.Foreign++
			continue
		}
		if first, ok := places[post]; ok {
			f.Doubled++
			f.example("post %d is at positions %d and %d of log %s", post, first, pts, list.Log)
			continue
		}
		places[post] = pts
	}
	return places
}

func (f *Findings) example(format string, args ...any) {
	if len(f.Examples) < maxExamples {
		f.Examples = append(f.Examples, fmt.Sprintf(format, args...))
	}
}
