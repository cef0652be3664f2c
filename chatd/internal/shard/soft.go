package shard

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// What is soft is said among shards, stored nowhere, and may be lost: who types, and who is online. It makes no traffic of its own accord.

// Soft is a shard's line to the other shards.
type Soft interface {
	// Hear asks for what is said of a log; Unhear ends that.
	Hear(partition int, log string) error
	Unhear(log string)
	// Say tells all shards that hear the log, this one too.
	Say(partition int, log string, m *wire.Soft)
	// Gather asks them, and gives take the answers that come until ctx ends, one at a time.
	Gather(ctx context.Context, partition int, log string, take func(*wire.SoftAnswer))
}

const (
	// namedMembers is how many members a group has at most whose members are named in what is soft.
	namedMembers = 200
	// namedTyping is how many are named at once; the others are counted.
	namedTyping = 20
	// typingEvery is how often one session may say that it types in a log, softEvery how often all that is said of a log goes out, and
	// comes to sessions.
	typingEvery = 3 * time.Second
	softEvery   = time.Second
	softTick    = 250 * time.Millisecond
	// softLogs bounds the logs of which something is kept at once.
	softLogs = 4096
	// rightsFor is how long a log's policy, as its owner has said it, is taken for the one in force. A ban, or the end of a membership,
	// is in force at once all the same: it ends the attachment.
	rightsFor = 5 * time.Second
)

// soft is what a shard keeps of what is soft.
type soft struct {
	mu sync.Mutex
	// said is what this shard's users do and the others are to hear, heard what its sessions are to be told; by log.
	said, heard map[string]*typists
	rights      map[string]rights
	online      map[string]*online
}

func newSoft() *soft {
	return &soft{said: map[string]*typists{}, heard: map[string]*typists{}, rights: map[string]rights{}, online: map[string]*online{}}
}

// typists are who types in a log, since that was told last.
type typists struct {
	users map[string]struct{}
	more  uint32
	told  time.Time
}

func (t *typists) add(users []string, more uint32) {
	for _, user := range users {
		if len(t.users) < namedMembers {
			t.users[user] = struct{}{}
		}
	}
	t.more += min(more, 1<<20)
}

func (t *typists) take(now time.Time) (users []string, more uint32, due bool) {
	if len(t.users) == 0 && t.more == 0 || now.Sub(t.told) < softEvery {
		return nil, 0, false
	}
	for user := range t.users {
		users = append(users, user)
	}
	more, t.told = t.more, now
	clear(t.users)
	t.more = 0
	slices.Sort(users)
	return users, more, true
}

// note adds to what is kept of a log, if there is room.
func (s *soft) note(table map[string]*typists, log string, users []string, more uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := table[log]
	if t == nil {
		if len(table) >= softLogs {
			return
		}
		t = &typists{users: map[string]struct{}{}}
		table[log] = t
	}
	t.add(users, more)
}

// due takes what is to be told now, and forgets logs of which there has been nothing for a while.
func (s *soft) due(table map[string]*typists, now time.Time, tell func(log string, users []string, more uint32)) {
	type telling struct {
		log   string
		users []string
		more  uint32
	}
	var all []telling
	s.mu.Lock()
	for log, t := range table {
		users, more, due := t.take(now)
		switch {
		case due:
			all = append(all, telling{log, users, more})
		case len(t.users) == 0 && t.more == 0 && now.Sub(t.told) >= softEvery:
			delete(table, log)
		}
	}
	s.mu.Unlock()
	for _, t := range all {
		tell(t.log, t.users, t.more)
	}
}

// rights are what is asked of a log's owner about who may post.
type rights struct {
	info *chatv1.LogInfo
	at   time.Time
}

// mayType says why a user may not post, as the owner would.
func (r rights) mayType(user string) *chatv1.Error {
	leads := user == r.info.GetOwner() || slices.Contains(r.info.GetAdmins(), user)
	if !leads && (r.info.GetKind() == chatv1.LogKind_LOG_KIND_CHANNEL || r.info.GetPolicy().GetAdminsPostOnly()) {
		return fault(chatv1.Error_CODE_DENIED, "only the owner and admins post in the log %s", r.info.GetLog())
	}
	return nil
}

func (r rights) named() bool {
	return r.info.GetKind() == chatv1.LogKind_LOG_KIND_GROUP && r.info.GetMembers() <= namedMembers
}

// rightsOf asks a log's owner, in the name of a user who may read it, unless that was done just now.
func (sh *Shard) rightsOf(ctx context.Context, user, log string) (rights, *chatv1.Error) {
	now := sh.cfg.Now()
	sh.soft.mu.Lock()
	known, ok := sh.soft.rights[log]
	sh.soft.mu.Unlock()
	if ok && now.Sub(known.at) < rightsFor {
		return known, nil
	}
	q := question{user: user, log: log, kind: logid.Kind(log), cursor: &chatv1.Cursor{Log: log}}
	got, flt := sh.fetchFor(ctx, q, &wire.Fetch{Log: log}, "rights")
	if flt != nil {
		return rights{}, flt
	}
	known = rights{got.reply.GetInfo(), now}
	sh.soft.mu.Lock()
	defer sh.soft.mu.Unlock()
	if ok || len(sh.soft.rights) < softLogs {
		sh.soft.rights[log] = known
	}
	return known, nil
}

// attached is the feed of a log that the session has attached, nil if it has not.
func (s *session) attached(log string) *feed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.feeds.get(&s.sh.table, log)
}

// typesAgain counts what a session says of its typing, and reports whether this is to be passed on.
func (s *session) typesAgain(log string) bool {
	now := s.sh.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.moreLocked()
	if last, ok := r.typed[log]; ok && now.Sub(last) < typingEvery {
		return false
	}
	if r.typed == nil {
		r.typed = make(map[string]time.Time)
	}
	for other, last := range r.typed {
		if now.Sub(last) >= typingEvery {
			delete(r.typed, other)
		}
	}
	r.typed[log] = now // as many as the session's rate lets it name within typingEvery
	return true
}

// typing passes on that the user types. Only what makes no sense is answered.
func (s *session) typing(ctx context.Context, ref uint32, req *chatv1.TypingRequest) {
	log := req.GetLog()
	if flt := sharedLog(log, "typing.log", "typed in"); flt != nil {
		s.answerFault(ref, flt)
		return
	}
	f := s.attached(log)
	switch {
	case f == nil:
		s.answerFault(ref, faultIn("typing.log", chatv1.Error_CODE_INVALID, "the log %s is not attached to this session; attach it first", log))
		return
	case s.sh.cfg.Soft == nil || !s.typesAgain(log):
		return
	}
	known, flt := s.sh.rightsOf(ctx, s.user, log)
	if flt == nil {
		flt = known.mayType(s.user)
	}
	switch {
	case flt.GetCode() == chatv1.Error_CODE_UNAVAILABLE: // it may be lost
	case flt != nil:
		s.answerFault(ref, flt)
	case s.attached(log) != f: // banned meanwhile
	case known.named():
		s.sh.soft.note(s.sh.soft.said, log, []string{s.user}, 0)
	default:
		s.sh.soft.note(s.sh.soft.said, log, nil, 1)
	}
}

// Soft takes what a shard says of a log, and answers what it asks; nil is no answer.
func (sh *Shard) Soft(log string, m *wire.Soft) *wire.SoftAnswer {
	if m.GetAsker() != "" {
		return sh.onlineHere(log)
	}
	sh.soft.note(sh.soft.heard, log, m.GetTyping(), m.GetMoreTyping())
	return nil
}

// tellSoft says to the other shards what users here do, and to the sessions here what all do. Each log at most once in softEvery.
func (sh *Shard) tellSoft(now time.Time) {
	sh.soft.due(sh.soft.said, now, func(log string, users []string, more uint32) {
		sh.cfg.Soft.Say(logid.Partition(log, sh.cfg.Partitions), log, &wire.Soft{Typing: users, MoreTyping: more})
	})
	posters := map[string][]*chatv1.Typing{} // of channels, by user
	sh.soft.due(sh.soft.heard, now, func(log string, users []string, more uint32) {
		f := sh.glance(log)
		if f == nil {
			return
		}
		if f.group != nil {
			f.pushTyping(users, more)
			return
		}
		sh.soft.mu.Lock()
		known, ok := sh.soft.rights[log]
		sh.soft.mu.Unlock()
		if !ok {
			return // nobody here has shown that he may post
		}
		t := &chatv1.Typing{Log: log, Count: more}
		for _, user := range append(known.info.GetAdmins(), known.info.GetOwner()) {
			posters[user] = append(posters[user], t)
		}
	})
	sh.pushToPosters(posters)
	sh.soft.expire(now)
}

// pushTyping tells the sessions of a group. Nobody is told of himself.
func (f *feed) pushTyping(users []string, more uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.group.sessions {
		others := users
		if at, here := slices.BinarySearch(users, s.user); here {
			others = slices.Delete(slices.Clone(users), at, at+1)
		}
		count := uint32(len(others)) + more
		if count == 0 {
			continue
		}
		others = others[:min(len(others), namedTyping)]
		s.conn.SendIfIdle(typingFrame(&chatv1.Typing{Log: f.id, Users: others, Count: count}))
	}
}

// pushToPosters tells those sessions of a channel whose users may post there. They are looked for once for all channels.
func (sh *Shard) pushToPosters(typing map[string][]*chatv1.Typing) {
	if len(typing) == 0 {
		return
	}
	sh.sessionsMu.Lock()
	defer sh.sessionsMu.Unlock()
	for s := range sh.sessions {
		s.mu.Lock()
		if s.phase == ready { // else it has no user yet
			for _, t := range typing[s.user] {
				if s.feeds.get(&sh.table, t.GetLog()) != nil {
					s.conn.SendIfIdle(typingFrame(t))
				}
			}
		}
		s.mu.Unlock()
	}
}

func typingFrame(t *chatv1.Typing) *chatv1.ServerFrame {
	return &chatv1.ServerFrame{Body: &chatv1.ServerFrame_Typing{Typing: t}}
}

// expire forgets what is too old to be of use.
func (s *soft) expire(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for log, r := range s.rights {
		if now.Sub(r.at) >= rightsFor {
			delete(s.rights, log)
		}
	}
	for log, o := range s.online {
		if o.over(now) {
			delete(s.online, log)
		}
	}
}

// glance is the feed of a log that is open, without holding it: what is soft keeps no log open. It may close at any time.
func (sh *Shard) glance(log string) *feed {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if f := sh.feeds[log]; f != nil && f.ready && !f.leaving {
		return f
	}
	return nil
}

// hear and unhear follow what is said of a log, as long as its feed is open. Of what belongs to one user nothing is.
func (f *feed) hear() error {
	if f.sh.cfg.Soft == nil || f.kind == chatv1.LogKind_LOG_KIND_USER {
		return nil
	}
	return f.sh.cfg.Soft.Hear(f.part.number, f.id)
}

func (f *feed) unhear() {
	if f.sh.cfg.Soft != nil {
		f.sh.cfg.Soft.Unhear(f.id)
	}
}
