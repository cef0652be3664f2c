package shard

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/snug"
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
		if _, back := away[wanted[i].id]; back || wanted[i].fault != nil || s.feeds.get(&s.sh.table, wanted[i].id) != nil {
			continue
		}
		if attached++; attached > s.sh.cfg.MaxAttachedLogs {
			wanted[i].fault = tooMany(0, "%d logs are attached to this session, the most that may be; detach some", s.sh.cfg.MaxAttachedLogs)
		}
	}
}

// expect has the session's list be as long as it is going to be.
func (s *session) expect(wanted []want) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == ended {
		return
	}
	more := 0
	for i := range wanted {
		if wanted[i].fault == nil && s.feeds.get(&s.sh.table, wanted[i].id) == nil {
			more++
		}
	}
	s.feeds = snug.Reserve(s.feeds, more)
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
	s.expect(wanted)
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
	state, noted := w.feed.attach(s, w.cursor)
	if !noted {
		s.sh.release(w.feed)
	}
	return state
}

func refusedState(id string, flt *chatv1.Error) *chatv1.LogState {
	return &chatv1.LogState{Log: id, Status: chatv1.LogState_STATUS_REFUSED, Error: flt}
}

// attach begins to send a session the log's events, and says from where. noted: the feed has come onto the session's list, which holds it from now on. What the
// list says and what the engine does change together, under the feed's lock: so nothing is sent that is not on the list, and who has ended is a member nowhere.
func (f *feed) attach(s *session, c *chatv1.Cursor) (state *chatv1.LogState, noted bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if flt := f.refusesLocked(s.user); flt != nil {
		f.detachLocked(s)
		return refusedState(f.id, flt), false
	}
	noted, over := s.note(f)
	if over {
		return refusedState(f.id, draining()), false
	}
	if f.group != nil {
		f.group.sessions[s] = struct{}{}
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
	return &chatv1.LogState{Log: f.id, Epoch: f.epoch, Pts: from, Status: status}, noted
}

// refusesLocked says why a user may not be attached, if so.
func (f *feed) refusesLocked(user string) *chatv1.Error {
	if flt := f.failBannedLocked(user); flt != nil {
		return flt
	}
	if f.keepsOutLocked(user) {
		return notInvitedTo(f.id)
	}
	if f.group != nil {
		if _, ok := f.group.members[user]; !ok {
			return f.notAllowed()
		}
	}
	return nil
}

// detached forgets a session that has ended.
func (f *feed) detached(s *session) {
	if f.group == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.group.sessions, s)
}

// detachLocked ends the sending of the log to a session, if its list has the feed.
func (f *feed) detachLocked(s *session) {
	if !s.forget(f) {
		return
	}
	f.fanout.Detach(s.conn)
	if f.group != nil {
		delete(f.group.sessions, s)
	}
	f.sh.release(f)
}

// detach ends the sending of logs. A log that is not attached is detached already.
func (s *session) detach(req *chatv1.DetachRequest) {
	for _, id := range req.GetLogs() {
		if id == logid.Me {
			id = logid.User(s.user)
		}
		if f := s.attached(id); f != nil {
			f.mu.Lock()
			f.detachLocked(s)
			f.mu.Unlock()
		}
		s.settled(id)
	}
}
