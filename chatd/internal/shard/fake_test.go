package shard_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/chatlog"
	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// stores is a shard's Stores in memory. Its owners decide by the rules of package chatlog, as the real ones; what they send, and
// when they answer, is planned by the test.
type stores struct {
	partitions int

	mu      sync.Mutex
	epoch   uint32
	logs    map[string]*storedLog
	follows map[string]bool
	owners  []*owner
	asks    map[string]int // by kind of request
	users   map[string]int // who asked for fetches

	// plan of faults
	fate  func(log string, pts uint64) fate // of live events; nil: all arrive
	delay time.Duration                     // of requests on their way to the owner
	back  time.Duration                     // of answers on their way back
	down  bool                              // no owner answers
	full  bool                              // owners refuse what grows
	dies  *death                            // what becomes of who asks; nil: nothing
	limit int                               // most events in the answer to a fetch; 0: no limit
	gone  int                               // events of each log, its oldest, that retention has taken
	close time.Duration                     // how long Unfollow takes

	// sent is what is on its way to the shard, in order.
	sent chan func(*shard.Shard)
}

type fate int

const (
	arrive fate = iota
	lose
	double
	late // after the next one
)

type storedLog struct {
	state  *chatlog.State
	events [][]byte
	held   []byte // a late live event
}

// owner is what one partition's owner says of itself.
type owner struct {
	term, number uint64
	moved        map[string]uint64
}

func newStores(partitions int) *stores {
	s := &stores{
		partitions: partitions, epoch: 1, logs: map[string]*storedLog{}, follows: map[string]bool{},
		asks: map[string]int{}, users: map[string]int{}, sent: make(chan func(*shard.Shard), 100_000),
	}
	for range partitions {
		s.owners = append(s.owners, &owner{term: rand.Uint64(), moved: map[string]uint64{}})
	}
	return s
}

// pump brings what was sent to the shard, as the bus does: in order, from one goroutine.
func (s *stores) pump(ctx context.Context, sh *shard.Shard) {
	for {
		select {
		case f := <-s.sent:
			f(sh)
		case <-ctx.Done():
			return
		}
	}
}

func (s *stores) Follow(_ int, log string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.follows[log] {
		panic("followed twice: " + log)
	}
	s.follows[log] = true
	return nil
}

func (s *stores) Unfollow(_ int, log string) {
	s.mu.Lock()
	wait := s.close
	s.mu.Unlock()
	time.Sleep(wait)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.follows, log)
}

func (s *stores) Ask(ctx context.Context, partition int, req *wire.OwnerRequest) (*wire.OwnerReply, error) {
	s.mu.Lock()
	delay, back := s.delay, s.back
	s.mu.Unlock()
	if !sleep(ctx, delay) {
		return nil, errors.New("no answer in time")
	}
	for {
		s.mu.Lock()
		if !s.down {
			break
		}
		s.mu.Unlock()
		if !sleep(ctx, 100*time.Millisecond) {
			return nil, errors.New("no owner answers")
		}
	}
	if s.dies.before() {
		s.mu.Unlock()
		return nil, errors.New("the shard has died")
	}
	reply := s.answer(partition, req)
	dead := s.dies.after()
	s.mu.Unlock()
	if dead {
		return nil, errors.New("the shard has died")
	}
	if !sleep(ctx, back) {
		return nil, errors.New("no answer in time")
	}
	return reply, nil
}

func sleep(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return ctx.Err() == nil
	}
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *stores) answer(partition int, req *wire.OwnerRequest) *wire.OwnerReply {
	now := time.Now().UnixMilli()
	switch body := req.GetBody().(type) {
	case *wire.OwnerRequest_Create:
		s.asks["create"]++
		return s.decide(partition, body.Create.GetLog(), chatlog.Command{User: req.GetUser(), NowMs: now, Create: body.Create})
	case *wire.OwnerRequest_Join:
		s.asks["join"]++
		return s.decide(partition, body.Join.GetLog(), chatlog.Command{User: req.GetUser(), NowMs: now, Join: body.Join})
	case *wire.OwnerRequest_Leave:
		s.asks["leave"]++
		return s.decide(partition, body.Leave.GetLog(), chatlog.Command{User: req.GetUser(), NowMs: now, Leave: body.Leave})
	case *wire.OwnerRequest_Post:
		s.asks["post"]++
		return s.decide(partition, body.Post.GetLog(), chatlog.Command{User: req.GetUser(), NowMs: now, Post: body.Post})
	case *wire.OwnerRequest_Note:
		s.asks["note"]++
		return s.decide(partition, body.Note.GetUserLog(), chatlog.Command{User: req.GetUser(), NowMs: now, Note: body.Note})
	case *wire.OwnerRequest_SetRole:
		return s.decide(partition, body.SetRole.GetLog(), chatlog.Command{User: req.GetUser(), NowMs: now, SetRole: body.SetRole})
	case *wire.OwnerRequest_SetPolicy:
		return s.decide(partition, body.SetPolicy.GetLog(), chatlog.Command{User: req.GetUser(), NowMs: now, SetPolicy: body.SetPolicy})
	case *wire.OwnerRequest_SetName:
		return s.decide(partition, body.SetName.GetLog(), chatlog.Command{User: req.GetUser(), NowMs: now, SetName: body.SetName})
	case *wire.OwnerRequest_ClaimName:
		return s.decide(partition, body.ClaimName.GetNameLog(), chatlog.Command{User: req.GetUser(), NowMs: now, ClaimName: body.ClaimName})
	case *wire.OwnerRequest_NoteName:
		return s.decide(partition, body.NoteName.GetUserLog(), chatlog.Command{User: req.GetUser(), NowMs: now, NoteName: body.NoteName})
	case *wire.OwnerRequest_Invite:
		return s.decide(partition, body.Invite.GetLog(), chatlog.Command{User: req.GetUser(), NowMs: now, Invite: body.Invite})
	case *wire.OwnerRequest_RevokeInvitation:
		return s.decide(partition, body.RevokeInvitation.GetLog(), chatlog.Command{User: req.GetUser(), NowMs: now, RevokeInvitation: body.RevokeInvitation})
	case *wire.OwnerRequest_LookUp:
		s.asks["look_up"]++
		reply := s.log(body.LookUp.GetLog()).state.LookUp(req.GetUser(), body.LookUp, now)
		reply.Epoch = s.epoch
		return reply
	case *wire.OwnerRequest_Joined:
		s.asks["joined"]++
		reply := &wire.OwnerReply{Epoch: s.epoch}
		for i, user := range body.Joined.GetUsers() {
			if logid.Partition(logid.User(user), s.partitions) != partition {
				panic("asked the wrong partition")
			}
			reply.AllJoined = append(reply.AllJoined, s.log(logid.User(user)).state.HasJoined(user, body.Joined.GetLogs()[i]))
		}
		return reply
	case *wire.OwnerRequest_Heads:
		s.asks["heads"]++
		reply := &wire.OwnerReply{Epoch: s.epoch}
		for _, id := range body.Heads.GetLogs() {
			reply.Heads = append(reply.Heads, &wire.Head{Log: id, Pts: s.log(id).state.Pts})
		}
		return reply
	case *wire.OwnerRequest_Fetch:
		s.asks["fetch"]++
		s.users[req.GetUser()]++
		return s.fetch(req.GetUser(), body.Fetch)
	}
	panic("a request that no owner knows")
}

// death ends a shard at one of its requests: before it, or, with answerLost, when it has been carried out.
type death struct {
	in         int
	answerLost bool
}

func (d *death) before() bool {
	if d == nil {
		return false
	}
	d.in--
	return d.in < 0 || d.in == 0 && !d.answerLost
}

func (d *death) after() bool { return d != nil && d.in <= 0 }

func (s *stores) log(id string) *storedLog {
	l := s.logs[id]
	if l == nil {
		l = &storedLog{state: &chatlog.State{ID: id}}
		s.logs[id] = l
	}
	return l
}

func (s *stores) decide(partition int, id string, c chatlog.Command) *wire.OwnerReply {
	if logid.Partition(id, s.partitions) != partition {
		panic("asked the wrong partition")
	}
	l := s.log(id)
	d, fault := l.state.Decide(c)
	if fault != nil {
		return &wire.OwnerReply{Epoch: s.epoch, Error: fault}
	}
	if d.Event != nil && s.full && d.Grows() {
		return &wire.OwnerReply{Epoch: s.epoch, Error: &chatv1.Error{Code: chatv1.Error_CODE_FULL}}
	}
	if d.Event != nil {
		s.append(partition, l, d)
	}
	return &wire.OwnerReply{Epoch: s.epoch, Pts: d.Pts, Repeated: d.Repeated, Info: l.state.Info(), Name: l.state.Claim()}
}

func (s *stores) append(partition int, l *storedLog, d chatlog.Decision) {
	l.state.Apply(d.Event, d.Content, uint64(len(l.events)+1))
	stored, err := proto.Marshal(d.Event)
	if err != nil {
		panic(err)
	}
	l.events = append(l.events, stored)
	s.owners[partition].moved[l.state.ID] = d.Pts
	if s.follows[l.state.ID] {
		s.push(l, d.Pts, stored)
	}
}

// push sends a live event, or does to it what the plan says.
func (s *stores) push(l *storedLog, pts uint64, stored []byte) {
	what := arrive
	if s.fate != nil {
		what = s.fate(l.state.ID, pts)
	}
	send := func(stored []byte) {
		id := l.state.ID
		s.sent <- func(sh *shard.Shard) { sh.Live(id, stored) }
	}
	before := l.held
	l.held = nil
	switch what {
	case arrive:
		send(stored)
	case double:
		send(stored)
		send(stored)
	case late:
		l.held = stored
	}
	if before != nil {
		send(before)
	}
}

func (s *stores) fetch(user string, f *wire.Fetch) *wire.OwnerReply {
	l := s.log(f.GetLog())
	reply := &wire.OwnerReply{Epoch: s.epoch, Pts: l.state.Pts}
	if !l.state.Exists() {
		reply.Error = &chatv1.Error{Code: chatv1.Error_CODE_NOT_FOUND, Message: "there is no log " + f.GetLog()}
		return reply
	}
	reply.Info, reply.MayRead = l.state.Info(), l.state.MayRead(user)
	if f.GetWithBanned() {
		reply.Banned = l.state.Banned()
	}
	if !reply.MayRead {
		return reply
	}
	limit := int(f.GetLimit())
	if s.limit > 0 {
		limit = min(limit, s.limit)
	}
	from := min(int(f.GetAfterPts()), len(l.events))
	to := min(from+limit, len(l.events))
	if f.GetNewest() {
		if b := f.GetBeforePts(); b > 0 {
			s.asks["history"]++
			to = int(min(uint64(len(l.events)), b-1))
		} else {
			to = len(l.events)
		}
		from = max(0, to-limit)
	}
	reply.Gone = from < to && from < s.gone
	reply.Events = l.events[min(to, max(from, s.gone)):to]
	return reply
}

// digest has every owner say which logs have moved. lost says of which partition the digest does not arrive.
func (s *stores) digest(lost func(partition int) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, o := range s.owners {
		o.number++
		d := &wire.Digest{Epoch: s.epoch, Term: o.term, Number: o.number}
		for id, pts := range o.moved {
			d.Moved = append(d.Moved, &wire.Head{Log: id, Pts: pts})
		}
		clear(o.moved)
		if lost == nil || !lost(p) {
			s.sent <- func(sh *shard.Shard) { sh.Digest(p, d) }
		}
	}
}

// newTerm has every partition go to another owner, who knows not what the one before had yet to tell.
func (s *stores) newTerm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.owners {
		o.term, o.number = rand.Uint64(), 0
		clear(o.moved)
	}
}

func (s *stores) set(change func(*stores)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *stores) asked(kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asks[kind]
}

// do is a request that comes from another shard.
func (s *stores) do(user string, id string, c chatlog.Command) *wire.OwnerReply {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.User, c.NowMs = user, time.Now().UnixMilli()
	return s.decide(logid.Partition(id, s.partitions), id, c)
}

// post has user post in a log, at another shard, n times.
func (s *stores) post(user, id string, n int) (pts uint64) {
	for range n {
		reply := s.do(user, id, chatlog.Command{Post: &chatv1.PostRequest{Log: id, RandomId: rand.Uint64(),
			Message: &chatv1.Message{Text: fmt.Sprint("post ", rand.Uint32())}}})
		if reply.GetError() != nil {
			panic(reply.GetError())
		}
		pts = reply.GetPts()
	}
	return pts
}

// create makes a log at another shard.
func (s *stores) create(user string, kind chatv1.LogKind) string {
	random := rand.Uint64()
	id := logid.Create(kind, user, random)
	s.do(user, id, chatlog.Command{Create: &wire.Create{Log: id, Request: &chatv1.CreateRequest{Kind: kind, Title: "test", RandomId: random}}})
	return id
}

func (s *stores) join(user, id string) {
	s.do(user, id, chatlog.Command{Join: &chatv1.JoinRequest{Log: id}})
}

func (s *stores) leave(user, id string) {
	s.do(user, id, chatlog.Command{Leave: &chatv1.LeaveRequest{Log: id}})
}

// role gives a role at another shard.
func (s *stores) role(by, id, user string, role chatv1.Role) {
	reply := s.do(by, id, chatlog.Command{SetRole: &chatv1.SetRoleRequest{Log: id, User: user, Role: role}})
	if reply.GetError() != nil {
		panic(reply.GetError())
	}
}

// replay folds a stored event into the log again.
func (l *storedLog) replay(stored []byte) {
	var e wire.StoredEvent
	if err := proto.Unmarshal(stored, &e); err != nil {
		panic(err)
	}
	content, err := chatlog.Content(&e)
	if err != nil {
		panic(err)
	}
	l.events = append(l.events, stored)
	l.state.Apply(&e, content, uint64(len(l.events)))
}

// restore takes every log back to its first events, under another epoch.
func (s *stores) restore(events int) {
	s.epoch++
	for id, l := range s.logs {
		old := l.events
		l.events, l.held, l.state = nil, nil, &chatlog.State{ID: id}
		for _, stored := range old[:min(events, len(old))] {
			l.replay(stored)
		}
	}
}
