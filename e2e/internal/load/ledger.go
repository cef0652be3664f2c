package load

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Posted is a post that the fleet has acknowledged: its id is in the log at the position, for ever.
type Posted struct {
	Log string
	PTS uint64
	ID  uint64
}

// Entry is one event that stands in a log, or that a device was given. ID is 0 for events that are no posts of the load.
type Entry struct {
	PTS, ID uint64
}

// Heard is what one device was given of one log, in the order in which it was given.
type Heard struct {
	Device, Log string
	// From is the position that the device began after.
	From uint64
	// Events without those that a Reset has skipped; Resets is how many there were.
	Events []Entry
	Resets int
}

// Faults are what must not be, counted, each with the first few in words.
type Faults struct {
	// Lost: acknowledged, and not in the log where it was said to be, or not given to a device that was attached.
	Lost int `json:"lost"`
	// Doubled: twice in a log, or twice given to a device.
	Doubled int `json:"doubled"`
	// Disordered: given to a device out of the log's order, or in another place than it has there.
	Disordered int `json:"disordered"`
	// Resets: a device was told "too long" and got the newest state. No fault where a device was away for long; here none is.
	Resets int `json:"resets"`

	Examples []string `json:"examples,omitempty"`
}

// None reports whether nothing is wrong.
func (f Faults) None() bool { return f.Lost+f.Doubled+f.Disordered+f.Resets == 0 }

const mostExamples = 10

func (f *Faults) note(n *int, format string, args ...any) {
	*n++
	if len(f.Examples) < mostExamples {
		f.Examples = append(f.Examples, fmt.Sprintf(format, args...))
	}
}

// Audit compares what was acknowledged, what the logs hold and what devices were given. logs are read from the fleet afterwards, whole, ascending; a
// device must have been given all of its log from where it began.
func Audit(posted []Posted, logs map[string][]Entry, heard []Heard) Faults {
	var f Faults
	f.auditLogs(logs)
	f.auditPosts(posted, logs)
	for _, h := range heard {
		f.auditDevice(h, logs[h.Log])
	}
	return f
}

func (f *Faults) auditLogs(logs map[string][]Entry) {
	for log, entries := range logs {
		at := map[uint64]uint64{}
		for i, e := range entries {
			if i > 0 && e.PTS <= entries[i-1].PTS {
				f.note(&f.Disordered, "log %s has position %d behind %d", log, e.PTS, entries[i-1].PTS)
			}
			if e.ID == 0 {
				continue
			}
			if first, twice := at[e.ID]; twice {
				f.note(&f.Doubled, "post %x stands in log %s at %d and at %d", e.ID, log, first, e.PTS)
			}
			at[e.ID] = e.PTS
		}
	}
}

func (f *Faults) auditPosts(posted []Posted, logs map[string][]Entry) {
	for _, p := range posted {
		if e, ok := at(logs[p.Log], p.PTS); !ok || e.ID != p.ID {
			f.note(&f.Lost, "post %x was acknowledged at %d of log %s, where the log has %x", p.ID, p.PTS, p.Log, e.ID)
		}
	}
}

// at finds a position in a log.
func at(entries []Entry, pts uint64) (Entry, bool) {
	i, ok := slices.BinarySearchFunc(entries, pts, func(e Entry, pts uint64) int { return cmp.Compare(e.PTS, pts) })
	if !ok {
		return Entry{}, false
	}
	return entries[i], true
}

func (f *Faults) auditDevice(h Heard, log []Entry) {
	if h.Resets > 0 {
		f.note(&f.Resets, "%s was told %d times that log %s is too long for it", h.Device, h.Resets, h.Log)
		return // what was skipped is not to be told from what is lost
	}
	given := map[uint64]bool{}
	last := h.From
	for _, e := range h.Events {
		switch is, ok := at(log, e.PTS); {
		case given[e.PTS]:
			f.note(&f.Doubled, "%s was given position %d of log %s twice", h.Device, e.PTS, h.Log)
		case e.PTS < last:
			f.note(&f.Disordered, "%s was given position %d of log %s after %d", h.Device, e.PTS, h.Log, last)
		case ok && is.ID != e.ID:
			f.note(&f.Disordered, "%s was given %x at position %d of log %s, where the log has %x", h.Device, e.ID, e.PTS, h.Log, is.ID)
		}
		given[e.PTS] = true
		last = max(last, e.PTS)
	}
	for _, e := range log {
		if e.PTS > h.From && !given[e.PTS] {
			f.note(&f.Lost, "%s was never given position %d of log %s", h.Device, e.PTS, h.Log)
		}
	}
}

// Pace says how fast things came: the most within any window that begins with one of them.
func Pace(moments []time.Time, window time.Duration) int {
	sorted := slices.SortedFunc(slices.Values(moments), time.Time.Compare)
	most, first := 0, 0
	for i, at := range sorted {
		for at.Sub(sorted[first]) >= window {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}
