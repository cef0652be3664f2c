package shard

import (
	"container/list"
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// feed is one log as the shard follows it.
type feed struct {
	sh   *Shard
	id   string
	kind chatv1.LogKind
	part *partition
	// opener is the user in whose name it was opened; of a user log, the user.
	opener string
	// opened is closed once the feed is open, or refused.
	opened  chan struct{}
	refused *chatv1.Error
	// gone is closed once the feed has been taken away.
	gone chan struct{}

	// These belong to Shard.mu. number is the feed's in Shard.table.
	number    uint32
	refs      int
	ready     bool // open, and not refused
	leaving   bool
	idleSince time.Time
	idleAt    *list.Element

	mu     sync.Mutex
	fanout engine.Fanout // nil until open
	shutUp bool
	epoch  uint32
	// target is the newest position known to exist; what lies between the head and it is to be fetched.
	target uint64
	// noted is what was said of the head before the feed was open.
	noted struct {
		epoch uint32
		pts   uint64
	}
	// ahead are live events beyond a gap.
	ahead map[uint64]*chatv1.Event
	// traced are the marks of events to come whose posts are being traced; nil if there are none.
	traced map[uint64][]byte
	// healed is closed when the fetching that is under way has come to its end; nil if none is.
	healed chan struct{}

	group *membership // of groups only
	// banned users, of channels only; roles is the position of the newest change of a role that has passed.
	banned map[string]struct{}
	roles  uint64
	// private, of a channel: it is read by who has joined it.
	private bool
}

func newFeed(sh *Shard, id, opener string) *feed {
	f := &feed{
		sh: sh, id: id, kind: logid.Kind(id), opener: opener, part: sh.partitions[logid.Partition(id, sh.cfg.Partitions)],
		opened: make(chan struct{}), gone: make(chan struct{}),
	}
	switch f.kind {
	case chatv1.LogKind_LOG_KIND_GROUP:
		f.group = newMembership()
	case chatv1.LogKind_LOG_KIND_CHANNEL:
		f.opener = "" // the shard itself: no user's right is needed to follow a channel
		f.banned = make(map[string]struct{})
	}
	return f
}

// open subscribes first and reads then, so that no event can fall between the two.
func (f *feed) open() {
	f.refused = f.tryOpen()
	f.sh.mu.Lock()
	f.ready, f.leaving = f.refused == nil, f.refused != nil
	f.sh.idleLocked(f)
	f.sh.mu.Unlock()
	if f.refused != nil {
		f.sh.end(f)
	}
	close(f.opened)
}

func (f *feed) tryOpen() *chatv1.Error {
	when, _ := f.sh.isAbsent(f.id) // asked for all the same: whoever opens it has found that it may be there
	if err := f.sh.stores.Follow(f.part.number, f.id); err != nil {
		return unavailable(fmt.Errorf("follow the log: %w", err))
	}
	if err := f.hear(); err != nil {
		return unavailable(err)
	}
	ctx, cancel := context.WithTimeout(f.sh.ctx, f.sh.cfg.AttachTimeout)
	defer cancel()
	reply, err := f.fetch(ctx, f.opener, &wire.Fetch{
		Log: f.id, Newest: true, Limit: uint32(f.sh.cfg.SeedEvents), WithBanned: f.banned != nil}, reasonAttach)
	if err != nil {
		return unavailable(err)
	}
	switch flt := reply.GetError(); {
	case flt.GetCode() == chatv1.Error_CODE_NOT_FOUND && f.kind == chatv1.LogKind_LOG_KIND_USER:
		// Nothing has happened to this user yet. His log begins with the first event.
		reply = &wire.OwnerReply{Epoch: reply.GetEpoch(), MayRead: true}
	case flt != nil:
		f.sh.noteAbsent(when, nil, reply)
		return flt
	case !reply.GetMayRead():
		return f.notAllowed()
	}
	f.sh.absent.isThere(f.id)
	events, err := decodeAll(f.id, reply)
	if err != nil {
		f.sh.cfg.Logger.Error("cannot open a log", "log", f.id, "err", err)
		return fault(chatv1.Error_CODE_INTERNAL, "the log %s cannot be read; the server's log says why", f.id)
	}
	f.begin(reply, events)
	return nil
}

// begin puts the feed into force with what was fetched, and what was heard meanwhile.
func (f *feed) begin(reply *wire.OwnerReply, events []*chatv1.Event) {
	base := reply.GetPts()
	if len(events) > 0 {
		base = events[0].GetPts() - 1
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.epoch = reply.GetEpoch()
	f.fanout = f.sh.engine.OpenLog(f.id, f.epoch, base)
	if f.banned != nil {
		f.setBannedLocked(reply.GetBanned())
		f.private = reply.GetInfo().GetPolicy().GetByInvitation()
	}
	for _, event := range events {
		f.appendLocked(event)
	}
	if f.group != nil {
		f.group.allow(f.opener, reply.GetPts())
	}
	switch {
	case f.noted.epoch > f.epoch:
		f.resetLocked(f.noted.epoch, f.noted.pts)
		return
	case f.noted.epoch == f.epoch:
		f.target = max(f.target, f.noted.pts)
	}
	f.catchUpLocked()
}

// expect tells a log's readers, if the shard has any, that an event is on its way, until the function that is returned is called.
func (sh *Shard) expect(log string) (over func()) {
	f := sh.find(log)
	if f == nil {
		return func() {}
	}
	f.mu.Lock()
	fanout := f.fanout
	f.mu.Unlock()
	if fanout == nil {
		return func() {}
	}
	fanout.Expect(1)
	return func() { fanout.Expect(-1) }
}

// shut ends the feed. Sessions are attached no more, as nobody holds it.
func (f *feed) shut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shutUp = true
	if f.fanout != nil {
		f.fanout.Close()
	}
	f.ahead = nil
}

// notAllowed is the fault of a user who may not read the log.
func (f *feed) notAllowed() *chatv1.Error { return notAllowed(f.id, f.kind) }

func notAllowed(id string, kind chatv1.LogKind) *chatv1.Error {
	if kind == chatv1.LogKind_LOG_KIND_GROUP {
		return fault(chatv1.Error_CODE_NOT_MEMBER, "you are not a member of the group %s; join it first", id)
	}
	return fault(chatv1.Error_CODE_DENIED, "you may not read the log %s", id)
}

// live takes a live event.
func (f *feed) live(event *chatv1.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	pts := event.GetPts()
	switch {
	case f.shutUp:
	case f.fanout == nil:
		f.holdLocked(event)
	case pts <= f.fanout.Head():
		// Known already: fetched, or sent twice.
	case pts == f.fanout.Head()+1:
		f.appendLocked(event)
		f.catchUpLocked()
	default:
		f.holdLocked(event)
		f.catchUpLocked()
	}
}

// holdLocked keeps an event until what comes before it is there. One that finds no room is fetched again later.
func (f *feed) holdLocked(event *chatv1.Event) {
	f.target = max(f.target, event.GetPts())
	if len(f.ahead) < f.sh.cfg.HoldEvents {
		if f.ahead == nil {
			f.ahead = make(map[uint64]*chatv1.Event)
		}
		f.ahead[event.GetPts()] = event
	}
}

// catchUpLocked appends what was held and is next, and has what is missing fetched.
func (f *feed) catchUpLocked() {
	maps.DeleteFunc(f.ahead, func(pts uint64, _ *chatv1.Event) bool { return pts <= f.fanout.Head() })
	for len(f.ahead) > 0 {
		next := f.fanout.Head() + 1
		event := f.ahead[next]
		if event == nil {
			break
		}
		delete(f.ahead, next)
		f.appendLocked(event)
	}
	if f.target <= f.fanout.Head() {
		f.ahead = nil
		return
	}
	f.healLocked(reasonGap)
}

// appendLocked fans out the next event.
func (f *feed) appendLocked(event *chatv1.Event) {
	event.Epoch = f.epoch
	frame, err := engine.NewFrame(event)
	if f.traced != nil && err == nil {
		f.watchLocked(frame)
	}
	if err != nil || !f.fanout.Append(frame) {
		// What was decoded can be encoded, and the callers have looked at the head: this would be a defect, of which readers
		// must not be left unaware.
		f.sh.cfg.Logger.Error("an event cannot be sent; its readers are told that they have missed it", "log", f.id, "pts", event.GetPts(), "err", err)
		f.fanout.Reset(f.epoch, max(event.GetPts(), f.fanout.Head()))
		return
	}
	switch {
	case f.group != nil:
		f.followMembersLocked(event)
	case f.banned != nil:
		f.followBansLocked(event)
	case event.GetLogLeft() != nil:
		f.sh.hasLeft(f.opener, event.GetLogLeft().GetLog())
	}
}

// noteHead takes note that the log's newest event is at pts, in an epoch. An older epoch is old news.
func (f *feed) noteHead(epoch uint32, pts uint64, reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.shutUp:
	case f.fanout == nil:
		if epoch > f.noted.epoch {
			f.noted.epoch, f.noted.pts = epoch, 0
		}
		if epoch == f.noted.epoch {
			f.noted.pts = max(f.noted.pts, pts)
		}
	case epoch > f.epoch:
		f.resetLocked(epoch, pts)
	case epoch == f.epoch && pts > f.fanout.Head():
		f.target = max(f.target, pts)
		f.healLocked(reason)
	}
}

// resetLocked goes on from another head: of another epoch, or because too much is missing. All sessions are told.
func (f *feed) resetLocked(epoch uint32, head uint64) {
	if epoch != f.epoch {
		f.epoch, f.target, f.ahead, f.roles = epoch, head, nil, 0
	}
	f.target = max(f.target, head)
	f.fanout.Reset(epoch, head)
	f.recheckMembersLocked()
	if f.banned != nil {
		f.recheckBansLocked()
	}
	f.catchUpLocked()
}
