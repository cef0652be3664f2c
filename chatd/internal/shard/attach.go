package shard

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// openAtOnce is how many logs one request opens at a time.
const openAtOnce = 16

// signIn makes a session of a connection, or ends it.
func (s *session) signIn(ref uint32, req *chatv1.SignInRequest) {
	if s.sh.isDraining() {
		s.excuse()
		s.sayComeBack()
		return
	}
	grant, flt, reason := s.authenticate(req)
	if flt == nil {
		flt, reason = s.sh.checkSignIn(req), notOfToken
	}
	if flt != nil {
		s.refuseSignIn(flt, reason)
		return
	}
	s.user, s.id = grant.User, grant.Session
	s.hold(grant)
	if flt := s.admit(); flt != nil {
		s.refuseSignIn(flt, notOfToken)
		return
	}
	if flt := s.sh.chargeSignIn(s.user, req); flt != nil {
		s.refuseSignIn(flt, notOfToken)
		return
	}
	wanted := s.resolve("sign_in", req.GetCursors())
	ctx, cancel := context.WithTimeout(s.sh.ctx, s.sh.cfg.RequestTimeout)
	defer cancel()
	s.attaching.Lock()
	defer s.attaching.Unlock()
	s.makeRoom(wanted)
	s.openAll(ctx, wanted)
	s.mu.Lock()
	if s.phase == signingIn {
		s.phase = ready
	}
	s.mu.Unlock()
	s.attachAll(wanted, func(states []*chatv1.LogState) {
		s.answer(ref, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_SignedIn{SignedIn: &chatv1.SignInResponse{
			Session: s.id, User: s.user, Region: s.sh.cfg.Region, ServerTimeMs: s.sh.cfg.Now().UnixMilli(), Logs: states, Limits: s.sh.cfg.limits(),
			ExpiresMs: s.endsMs(), Resume: s.resumption(),
		}}})
	})
}

// attach answers an attach request.
func (s *session) attach(ctx context.Context, ref uint32, req *chatv1.AttachRequest) {
	wanted := s.resolve("attach", req.GetCursors())
	s.attaching.Lock()
	defer s.attaching.Unlock()
	s.makeRoom(wanted)
	s.openAll(ctx, wanted)
	for _, w := range wanted {
		s.settled(w.id)
	}
	s.attachAll(wanted, func(states []*chatv1.LogState) {
		s.answer(ref, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_Attached{Attached: &chatv1.AttachResponse{Logs: states}}})
	})
}

// makeRoom refuses the logs that would be too many.
func (s *session) makeRoom(wanted []want) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var away map[string]struct{}
	if s.rare != nil {
		away = s.rare.away
	}
	attached := len(s.feeds) + len(away) // who comes back to a log finds room
	for i := range wanted {
		if _, back := away[wanted[i].id]; back || wanted[i].fault != nil || s.feeds.get(wanted[i].id) != nil {
			continue
		}
		if attached++; attached > s.sh.cfg.MaxAttachedLogs {
			wanted[i].fault = tooMany(0, "%d logs are attached to this session, the most that may be; detach some", s.sh.cfg.MaxAttachedLogs)
		}
	}
}

// want is one cursor of a request, and what has become of it.
type want struct {
	id     string
	cursor *chatv1.Cursor
	feed   *feed // held
	fault  *chatv1.Error
}

// resolve checks the cursors of a request, and puts the user's own log in place of its alias. One that makes no sense is refused by
// itself: a device whose list has gone bad in one place is not kept from its other logs.
func (s *session) resolve(field string, cursors []*chatv1.Cursor) []want {
	wanted := make([]want, len(cursors))
	seen := make(map[string]int, len(cursors))
	for i, c := range cursors {
		w := &wanted[i]
		w.cursor = c
		if w.id, w.fault = resolveLog(s.user, c.GetLog(), indexed(field+".cursors", i)+".log"); w.fault != nil {
			continue
		}
		before, twice := seen[w.id]
		if twice {
			w.fault = faultIn(indexed(field+".cursors", i)+".log", chatv1.Error_CODE_INVALID, "the log %s is there twice; the cursor at %d counts", w.id, before)
			continue
		}
		seen[w.id] = i
	}
	return wanted
}

// openAll gets the feeds: those that are open and may be read at once, the others side by side.
func (s *session) openAll(ctx context.Context, wanted []want) {
	var slow errgroup.Group
	slow.SetLimit(openAtOnce)
	for i := range wanted {
		w := &wanted[i]
		if w.fault != nil {
			continue
		}
		if w.feed = s.sh.peek(w.id); w.feed != nil && w.feed.servesAtOnce(s.user, w.cursor) {
			continue
		}
		slow.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, s.sh.cfg.AttachTimeout)
			defer cancel()
			s.open(ctx, w)
			return nil
		})
	}
	_ = slow.Wait() // what failed stands in w.fault
}

func (s *session) open(ctx context.Context, w *want) {
	if w.feed == nil {
		w.feed, w.fault = s.sh.acquire(ctx, s.user, w.id)
	}
	if w.fault == nil {
		w.fault = w.feed.allowed(ctx, s.user)
	}
	if w.fault == nil {
		w.fault = w.feed.reach(ctx, w.cursor.GetEpoch(), w.cursor.GetPts())
	}
	if w.fault != nil && w.feed != nil {
		s.sh.release(w.feed)
		w.feed = nil
	}
}

// servesAtOnce reports whether nothing need be asked to attach a cursor.
func (f *feed) servesAtOnce(user string, cursor *chatv1.Cursor) bool {
	if f.group != nil && !f.knows(user) || f.failBanned(user) != nil || f.keepsOut(user) || f.kind == chatv1.LogKind_LOG_KIND_USER && user != f.opener {
		return false
	}
	return cursor.GetEpoch() != f.fanout.Epoch() || cursor.GetPts() <= f.fanout.Head()
}

// attachAll attaches all that could be opened, and has the answer sent before any event of it.
func (s *session) attachAll(wanted []want, answer func([]*chatv1.LogState)) {
	s.conn.Cork()
	defer s.conn.Uncork()
	states := make([]*chatv1.LogState, len(wanted))
	for i := range wanted {
		states[i] = s.attachOne(&wanted[i])
	}
	answer(states)
}

func (s *session) attachOne(w *want) *chatv1.LogState {
	if w.fault != nil {
		return refusedState(w.id, w.fault)
	}
	s.mu.Lock()
	var before *feed
	over := s.phase == ended
	if !over {
		before = s.feeds.put(w.feed)
	}
	s.mu.Unlock()
	if before != nil || over {
		s.sh.release(w.feed) // before is the same feed: it cannot end while it is held
	}
	if over {
		return refusedState(w.id, draining())
	}
	state := w.feed.attach(s, w.cursor)
	if state.GetStatus() == chatv1.LogState_STATUS_REFUSED && s.forget(w.feed) {
		s.sh.release(w.feed)
	}
	return state
}

func refusedState(id string, flt *chatv1.Error) *chatv1.LogState {
	return &chatv1.LogState{Log: id, Status: chatv1.LogState_STATUS_REFUSED, Error: flt}
}

// attach begins to send a session the log's events, and says from where.
func (f *feed) attach(s *session, c *chatv1.Cursor) *chatv1.LogState {
	f.mu.Lock()
	defer f.mu.Unlock()
	if flt := f.failBannedLocked(s.user); flt != nil {
		return refusedState(f.id, flt)
	}
	if f.keepsOutLocked(s.user) {
		return refusedState(f.id, notInvitedTo(f.id))
	}
	if f.group != nil {
		if _, ok := f.group.members[s.user]; !ok {
			return refusedState(f.id, f.notAllowed())
		}
		f.group.sessions[s] = struct{}{}
		if s.over.Load() { // Closed may have looked for it before it was there
			delete(f.group.sessions, s)
		}
	}
	status, cursor := chatv1.LogState_STATUS_LIVE, c.GetPts()
	switch {
	case c.GetEpoch() == 0:
		cursor = engine.Newest
	case c.GetEpoch() != f.epoch || c.GetPts() > f.fanout.Head():
		// Of another history, or of none: the difference will be TOO_LONG, and put it right.
		status, cursor = chatv1.LogState_STATUS_BEHIND, engine.Newest
	}
	from, covered := f.fanout.Attach(s.conn, cursor)
	if !covered {
		status = chatv1.LogState_STATUS_BEHIND
	}
	return &chatv1.LogState{Log: f.id, Epoch: f.epoch, Pts: from, Status: status}
}

// detached forgets a session that has ended; the engine has let go of it already.
func (f *feed) detached(s *session) {
	if f.group == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.group.sessions, s)
}

// detach ends the sending of logs. A log that is not attached is detached already.
func (s *session) detach(req *chatv1.DetachRequest) {
	for _, id := range req.GetLogs() {
		if id == logid.Me {
			id = logid.User(s.user)
		}
		s.mu.Lock()
		f := s.feeds.get(id)
		if f != nil {
			s.feeds.drop(f)
		}
		s.settledLocked(id)
		s.mu.Unlock()
		if f == nil {
			continue
		}
		f.fanout.Detach(s.conn)
		f.detached(s)
		s.sh.release(f)
	}
}
