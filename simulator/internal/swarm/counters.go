package swarm

import (
	"maps"
	"reflect"
)

// Counters are the plain counts of a swarm. All of them add up over loops and workers.
type Counters struct {
	// Sessions, each counted once: Wanted were asked for, Dialled tried, Established upgraded to WebSocket at least once,
	// SignedIn signed in at least once, Subscribed had all their logs attached at least once.
	Wanted      int64 `json:"wanted"`
	Dialled     int64 `json:"dialled"`
	Established int64 `json:"established"`
	SignedIn    int64 `json:"signedIn"`
	Subscribed  int64 `json:"subscribed"`
	// SignedInNow is how many are signed in at this moment.
	SignedInNow int64 `json:"signedInNow"`

	// Dials are all attempts to connect; Reconnects those of a session that had been signed in; Cuts how often such a
	// session lost its connection; ComeBacks how many of these were announced by the server.
	Dials      int64 `json:"dials"`
	Reconnects int64 `json:"reconnects"`
	Cuts       int64 `json:"cuts"`
	ComeBacks  int64 `json:"comeBacks"`
	// Aborted are the sessions that Cut disconnected. AwayNow are those that have been signed in and are not at this moment; when
	// the swarm has ended, those that never came back. Slow readers are not in it.
	Aborted int64 `json:"aborted"`
	AwayNow int64 `json:"awayNow"`
	// Resumed are the sign-ins by a resume token, ReturnsResumed those of them in Result.Returns; ResumesRefused are those that were
	// refused for the token, after which the session takes its other one. Renewals are the resume tokens that were asked for.
	Resumed        int64 `json:"resumed"`
	ReturnsResumed int64 `json:"returnsResumed"`
	ResumesRefused int64 `json:"resumesRefused"`
	Renewals       int64 `json:"renewals"`

	// Slow are the sessions that read slowly, SlowCuts how often one of these lost its connection, and SlowTooLong how often one
	// was told that it is too far behind.
	Slow        int64 `json:"slow"`
	SlowCuts    int64 `json:"slowCuts"`
	SlowTooLong int64 `json:"slowTooLong"`

	// Pushes are the events that the server pushed. Delivered are the positions that reached a session for the first time,
	// however they came; Healed are those among them that came by a difference.
	Pushes    int64 `json:"pushes"`
	Delivered int64 `json:"delivered"`
	Healed    int64 `json:"healed"`
	// Duplicate: the server pushed a position again on the same connection, or one that it had been told the session has.
	// Unordered: it pushed a position below one that it had pushed before on that connection.
	Duplicate int64 `json:"duplicate"`
	Unordered int64 `json:"unordered"`
	// Overlap: a position was pushed that a difference had brought already. This is the normal race, and no fault.
	Overlap int64 `json:"overlap"`
	// Stray: an event was pushed for a log that the session has not attached, or before the answer that says from where.
	Stray int64 `json:"stray"`
	// Gaps: a position was missing when a later one was pushed. Differences are the requests that followed from gaps, from
	// sign-ins that were behind and from TooLong.
	Gaps        int64 `json:"gaps"`
	Differences int64 `json:"differences"`
	// TooLong: how often the server said it, in a push or an answer. SkippedTooLong are the positions that were left out by
	// such an answer, SkippedHole those that a difference left out without saying so. Both are lost.
	TooLong        int64 `json:"tooLong"`
	SkippedTooLong int64 `json:"skippedTooLong"`
	SkippedHole    int64 `json:"skippedHole"`
	// EpochChanges: a log's history became another one; what the session had of it before is not accounted for.
	EpochChanges int64 `json:"epochChanges"`
	// Refused: logs that the server would not let a session attach, for good.
	Refused int64 `json:"refused"`

	Pings     int64 `json:"pings"`
	BytesRead int64 `json:"bytesRead"`
	BytesSent int64 `json:"bytesSent"`
	Reads     int64 `json:"reads"`
	// ConnectsHeld: ticks at which first connects had to wait because MaxConnecting were under way. The crowd then comes
	// slower than was asked for.
	ConnectsHeld int64 `json:"connectsHeld"`
}

// Add adds o.
func (c *Counters) Add(o Counters) {
	to, from := reflect.ValueOf(c).Elem(), reflect.ValueOf(o)
	for i := range to.NumField() {
		to.Field(i).SetInt(to.Field(i).Int() + from.Field(i).Int())
	}
}

const (
	maxErrorClasses = 64
	maxErrorBytes   = 120
	otherErrors     = "other"
)

// errorCounts counts what went wrong by its text, in bounded memory: what servers say is theirs to choose.
type errorCounts map[string]int64

func (e errorCounts) add(class string, n int64) {
	if len(class) > maxErrorBytes {
		class = class[:maxErrorBytes]
	}
	if _, known := e[class]; !known && len(e) >= maxErrorClasses {
		class = otherErrors
	}
	e[class] += n
}

func (e errorCounts) merge(o errorCounts) {
	for class, n := range o {
		e.add(class, n)
	}
}

func (e errorCounts) clone() errorCounts { return maps.Clone(e) }
