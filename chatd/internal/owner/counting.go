package owner

import (
	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/chatlog"
	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// count takes a partition's tally of a channel's members, and reports whether it, or a newer one, is kept for good.
func (t *term) count(e *entry, one *wire.Tally) (kept bool) {
	if !e.state.Exists() {
		return true // a channel that this history does not have; its members see that when they attach it
	}
	if e.state.Count(one) {
		t.touch(e)
		t.cp.events++
	}
	return e.kept.Has(one)
}

// recountAll has the tallies of the channels read again that were loaded before the claim: some at a time.
func (t *term) recountAll() {
	for _, e := range t.logs {
		if e.state != nil && !e.counting && e.claim != t.cp.claimed && e.state.Kind == chatv1.LogKind_LOG_KIND_CHANNEL {
			e.counting = true
			t.uncounted = append(t.uncounted, e)
		}
	}
	t.recount()
}

func (t *term) recount() {
	for len(t.uncounted) > 0 && t.counting < max(t.cfg.Readers/4, 1) {
		e := t.uncounted[0]
		t.uncounted = t.uncounted[1:]
		t.counting++
		base, claim := t.cp.base, t.cp.claimed
		t.read(func() func() {
			snapshot, err := t.readState(e.log, base, claim)
			return func() { t.recounted(e, claim, snapshot, err) }
		})
	}
}

func (t *term) recounted(e *entry, claim uint64, snapshot Revision, err error) {
	t.counting--
	e.counting = false
	w := new(wire.LogState)
	if err == nil {
		err = proto.Unmarshal(snapshot.Data, w)
	}
	if err != nil {
		t.err = wrap(err, "reading the tallies of log %s", e.log)
		return
	}
	e.state.Count(w.Tallies...)
	t.keep(e, claim, snapshot.Number, w.Tallies)
	t.recount()
}

// keep notes what a snapshot that was read holds for good: it stands before a checkpoint that every later owner has to replace before it
// counts. A snapshot after that is another owner's who did not know that he is none any more: it is stored again.
func (t *term) keep(e *entry, claim, revision uint64, tallies chatlog.Tallies) {
	e.claim = claim
	switch {
	case claim == 0 || claim != t.cp.claimed: // it is read again
	case revision < t.cp.revision:
		e.kept = e.kept.Merge(tallies...)
	case len(tallies) > 0:
		e.dirty = true
		t.cp.events++
	}
}

// noteBan has a user's own log say that he has left what he is banned from, unless he was let in again since.
func (t *term) noteBan(ban *wire.BanNote, noted func(bool)) {
	mine := logid.User(ban.User)
	note := &wire.OwnerRequest{User: ban.User, Body: &wire.OwnerRequest_Note{Note: &wire.UserNote{UserLog: mine, Log: ban.Log, Left: true, AsOf: ban.Pts}}}
	t.withState(mine, func(e *entry) {
		t.command(request{note, func(reply *wire.OwnerReply) { noted(reply.Error == nil && !reply.Repeated) }}, e)
	})
}

// bansNote reports whether a request is one of noteBan's. It does not wait until other partitions have heard of enough, or two that tell
// each other of bans could wait for each other for ever; there are no more of these than bans are told.
func bansNote(r *wire.OwnerRequest) bool { return r.GetNote().GetLeft() && r.GetNote().GetAsOf() != 0 }
