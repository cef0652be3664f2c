package chatlog

import (
	"maps"
	"slices"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// A name is one log's. Who has it is decided in the log of the name, whose id is a hash of it; three logs have a part in a change, each
// with an owner of its own, and a shard takes them through it (shard/names.go). What each of them decides here makes every stop on
// the way harmless:
//
//   - A claim is replaced only by who knows the newest position of the name's log and vouches that the claimant does not bear the name,
//     and only when it is older than ClaimFor.
//   - A log takes a name only within TakeWithin of the claim. So once a claim may be replaced, who did not take the name never will. The
//     owners' clocks may differ by half of ClaimFor for this to hold; where they differ by more, two logs can bear one name for a while,
//     and the one that the name's log says has it.
//   - A log's name changes only as of the position of its last change: two changes at once become one and an error.
//   - A user's log keeps a slot for each log of his before that claims anything, and frees it only for a later change than the one it was
//     taken at: he never holds more names than slots.
const (
	ClaimFor   = time.Minute
	TakeWithin = 30 * time.Second
	// MaxNames is how many names a user's logs may bear, exactly. A claim that failed may keep a slot until the log's name is given up.
	MaxNames = 20
)

// naming is the part of a State that is about names.
type naming struct {
	// name of a channel or group, with where it is claimed; and the position at which it changed last, 0 if it never did.
	name             string
	claim, changedAt uint64

	// Of the log of a name: the log that claims it, with which try, and since when.
	claimant  string
	try       uint64
	claimedMs int64

	// Of a user log: the logs that names are kept for, each as of a position.
	slots map[string]uint64
}

// Name is the state of the log's name, nil if there is nothing to say of it.
func (s *State) Name() *wire.NameState {
	n := &s.naming
	if n.changedAt == 0 && n.claimedMs == 0 {
		return nil
	}
	return &wire.NameState{Name: n.name, ChangedPts: n.changedAt, Claim: n.claim, Log: n.claimant, Try: n.try, TimeMs: n.claimedMs}
}

// Claim is the same of the log of a name, and nil of any other.
func (s *State) Claim() *wire.NameState {
	if !s.ofName() {
		return nil
	}
	return s.Name()
}

// ofName reports whether the log is that of a name.
func (s *State) ofName() bool { return logid.IsName(s.ID) }

func (s *State) decideSetName(c Command) (Decision, *chatv1.Error) {
	r := c.SetName
	switch claimed := time.Duration(c.NowMs-r.GetClaimedMs()) * time.Millisecond; {
	case s.mayName(c.User, r.GetName()) != nil:
		return Decision{}, s.mayName(c.User, r.GetName())
	case r.GetName() == s.naming.name && (r.GetName() != "" || !r.GetForce()):
		return Decision{Pts: s.Pts, Repeated: true}, nil
	case r.GetIfChangedPts() != s.naming.changedAt:
		return Decision{}, passing("the name of the log %s has just been changed by another request; look at it, and repeat yours", s.ID)
	case r.GetName() != "" && (claimed > TakeWithin || claimed < -TakeWithin):
		return Decision{}, passing("the claim to @%s is %v old, and one counts for %v; repeat the request", r.GetName(), claimed, TakeWithin)
	}
	return s.event(c, 0, 0, &chatv1.Event{Content: &chatv1.Event_NameChanged{NameChanged: &chatv1.NameChanged{Name: r.GetName(), Claim: r.GetClaim()}}})
}

// mayName says why user may not give the log this name, if so.
func (s *State) mayName(user, name string) *chatv1.Error {
	switch {
	case s.Kind != chatv1.LogKind_LOG_KIND_CHANNEL && s.Kind != chatv1.LogKind_LOG_KIND_GROUP || s.Role(user) != chatv1.Role_ROLE_OWNER:
		return fail(chatv1.Error_CODE_DENIED, "only its owner names the log %s", s.ID)
	case name != "" && s.policy.GetByInvitation():
		return fail(chatv1.Error_CODE_INVALID, "the log %s is joined by invitation; a private log has no public name", s.ID)
	}
	return nil
}

// decideClaim is about the log of a name.
func (s *State) decideClaim(c Command) (Decision, *chatv1.Error) {
	r, n := c.ClaimName, &s.naming
	if !s.ofName() || s.ID != logid.Name(r.GetName()) {
		return Decision{}, fail(chatv1.Error_CODE_INVALID, "the log %s is not that of the name %q", s.ID, r.GetName())
	}
	log := r.GetLog()
	switch {
	case r.GetRelease() != 0 && (r.GetRelease() != s.Pts || n.claimant == ""):
		return Decision{Pts: s.Pts, Repeated: true}, nil // it is claimed anew, or free already
	case r.GetRelease() != 0:
		log = ""
	case n.claimant == log && n.try == r.GetTry():
		return Decision{Pts: s.Pts, Repeated: true}, nil
	case r.GetReplaces() != s.Pts:
		return Decision{}, passing("the name @%s has just been claimed or given up by another; repeat the request", r.GetName())
	case n.claimant != "" && n.claimant != log && c.NowMs-n.claimedMs < ClaimFor.Milliseconds():
		return Decision{}, FailTaken(r.GetName())
	}
	return s.event(c, 0, 0, &chatv1.Event{Content: &chatv1.Event_NameClaimed{NameClaimed: &chatv1.NameClaimed{Name: r.GetName(), Log: log, Try: r.GetTry()}}})
}

// FailTaken is the fault of who wants another's name.
func FailTaken(name string) *chatv1.Error {
	return fail(chatv1.Error_CODE_TAKEN, "the name @%s is another log's, or kept for one that has just asked for it; choose another", name)
}

// decideNoteName is about the user's own log.
func (s *State) decideNoteName(c Command) (Decision, *chatv1.Error) {
	r := c.NoteName
	if s.Exists() && s.Owner != c.User {
		return Decision{}, fail(chatv1.Error_CODE_DENIED, "the user log %s is another user's", s.ID)
	}
	asOf, kept := s.naming.slots[r.GetLog()]
	switch {
	case r.GetFree() && (!kept || r.GetAsOf() <= asOf), !r.GetFree() && kept && r.GetAsOf() <= asOf:
		return Decision{Pts: s.Pts, Repeated: true}, nil
	case !r.GetFree() && !kept && len(s.naming.slots) >= MaxNames:
		return Decision{}, fail(chatv1.Error_CODE_TOO_MANY, "%d logs of yours have a name, or have asked for one, the most that may; give up that of one of %v",
			MaxNames, slices.Sorted(maps.Keys(s.naming.slots)))
	}
	return s.event(c, 0, 0, &chatv1.Event{Content: &chatv1.Event_NameSlot{NameSlot: &chatv1.NameSlot{Log: r.GetLog(), AsOf: r.GetAsOf(), Freed: r.GetFree()}}})
}

// applyNaming folds in what an event says about names.
func (s *State) applyNaming(e *wire.StoredEvent, content *chatv1.Event) {
	n := &s.naming
	switch c := content.Content.(type) {
	case *chatv1.Event_NameChanged:
		n.name, n.claim, n.changedAt = c.NameChanged.GetName(), c.NameChanged.GetClaim(), e.Pts
	case *chatv1.Event_NameClaimed:
		n.name, n.claimant, n.try, n.claimedMs = c.NameClaimed.GetName(), c.NameClaimed.GetLog(), c.NameClaimed.GetTry(), e.TimeMs
	case *chatv1.Event_NameSlot:
		if c.NameSlot.GetFreed() {
			delete(n.slots, c.NameSlot.GetLog())
			return
		}
		if e.Pts == 1 {
			s.Kind, s.Owner = chatv1.LogKind_LOG_KIND_USER, e.Sender
		}
		n.keep(c.NameSlot.GetLog(), c.NameSlot.GetAsOf())
	}
}

func (n *naming) keep(log string, asOf uint64) {
	if n.slots == nil {
		n.slots = make(map[string]uint64)
	}
	n.slots[log] = asOf
}

func (s *State) snapshotNaming(w *wire.LogState) {
	w.Name = s.Name()
	w.NameSlots = slices.Sorted(maps.Keys(s.naming.slots))
	for _, log := range w.NameSlots {
		w.NameSlotsAsOf = append(w.NameSlotsAsOf, s.naming.slots[log])
	}
}

func (s *State) restoreNaming(w *wire.LogState) {
	if n := w.GetName(); n != nil {
		s.naming = naming{name: n.GetName(), claim: n.GetClaim(), changedAt: n.GetChangedPts(), claimant: n.GetLog(), try: n.GetTry(), claimedMs: n.GetTimeMs()}
	}
	for i, log := range w.GetNameSlots() {
		if i < len(w.GetNameSlotsAsOf()) {
			s.naming.keep(log, w.GetNameSlotsAsOf()[i])
		}
	}
}

// passing is the fault of a request that can be repeated as it is.
func passing(format string, args ...any) *chatv1.Error {
	e := fail(chatv1.Error_CODE_UNAVAILABLE, format, args...)
	e.RetryAfterMs = 100
	return e
}
