package owner

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/chatlog"
	memberclock "github.com/chatfleet/chatfleet/chatd/internal/clock"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

const (
	// requestQueue is how many requests wait for the owner's goroutine at most; shards repeat what is not taken.
	requestQueue = 4096
	// maxWaiting is how many requests wait for one thing at most: a state, a look back, an append.
	maxWaiting = 1024
	// maxReads is how many reads wait for a reader at most.
	maxReads = 8192
)

// term is one term of ownership. All of it belongs to the goroutine of run, but for what says otherwise.
type term struct {
	*Owner
	id uint64
	// prev is the stream's message before this term's first.
	prev  chain
	begun bool // whether this term has appended

	// lastSeq is the sequence given to the newest event, acknowledged or not; settledSeq that of the newest acknowledged one.
	lastSeq, settledSeq uint64
	// inheritedSeq is where lastSeq began.
	inheritedSeq uint64
	// unconfirmed is to be done once the stream is known to hold nothing else; confirming: its leader is being asked.
	unconfirmed []func()
	confirming  bool
	appender    Appender
	pending     []pending // not yet acknowledged, ascending sequences

	logs map[string]*entry
	// inherited are the logs of the tail that are still to be loaded; background is how many of them are being loaded.
	inherited  []*entry
	background int

	recent *recentEvents
	moved  map[string]uint64
	// fetching are the fetches that read the stream, and who waits for each.
	fetching map[fetchKey][]request
	anchors  anchors
	digests  uint64
	tailLen  int

	cp        checkpointer
	retention retention

	// tallies of the channels that the partition's users have joined, by channel; unloaded are those to be loaded, besides loadingTallies.
	tallies        map[string]*tally
	unloaded       []*tally
	loadingTallies int
	// uncounted are channels whose tallies are to be read again, besides counting.
	uncounted []*entry
	// remembered ids of posts, of all logs.
	remembered int
	counting   int
	// news are for other partitions, by channel or ban; outboxes by partition; relays is how many requests are on the way, whose
	// answers told brings.
	news     map[string]*news
	outboxes map[int]*outbox
	relays   int
	telling  sync.WaitGroup
	told     chan func()
	// For metrics, as of the last tick: how much is untold, and for how long at most.
	untold, untoldFor atomic.Int64

	requests chan request
	// later brings what readers found back to the term's goroutine.
	later   chan func()
	readers chan struct{}
	reads   int // begun and not yet found
	ctx     context.Context
	err     error // ends the term
}

// request is a shard's request and the way back.
type request struct {
	*wire.OwnerRequest
	answer func(*wire.OwnerReply)
}

// pending is an event on its way to the stream, and who waits for it.
type pending struct {
	stored
	entry   *entry
	effect  effect
	sent    time.Time
	waiting []waiting
}

type waiting struct {
	request
	repeated bool
}

func newTerm(o *Owner, id uint64, base *wire.Checkpoint, revision uint64) *term {
	return &term{
		Owner:    o,
		id:       id,
		logs:     make(map[string]*entry),
		recent:   newRecentEvents(o.cfg.RecentBytes),
		moved:    make(map[string]uint64),
		fetching: make(map[fetchKey][]request),
		tallies:  make(map[string]*tally),
		news:     make(map[string]*news),
		outboxes: make(map[int]*outbox),
		told:     make(chan func(), relaysAtOnce),
		cp:       checkpointer{base: base.Seq, revision: revision, last: o.cfg.Now()},
		requests: make(chan request, requestQueue),
		later:    make(chan func(), 2*o.cfg.Readers),
		readers:  make(chan struct{}, o.cfg.Readers),
	}
}

// run takes requests until ctx ends or an outcome is not the expected one, which it returns.
func (t *term) run(ctx context.Context, active func(bool)) error {
	ctx, cancel := context.WithCancel(ctx)
	t.ctx = ctx
	t.patience.begin()
	defer t.appender.Close()
	defer t.telling.Wait()
	defer t.awaitReaders()
	defer cancel()

	stop, err := t.cfg.Link.Listen(t.ask)
	if err != nil {
		return wrap(err, "listening for requests to partition %d", t.cfg.Partition)
	}
	defer stop()
	defer t.cfg.Metrics.watch(t)()
	active(true)
	defer active(false)

	// The first digest at once: it tells the shards that there is an owner again.
	t.sendDigest()
	t.claim()
	t.loadInherited()
	t.loadTallies()
	t.relayOn()
	digest := memberclock.NewTicker(t.cfg.DigestEvery)
	defer digest.Stop()
	for t.err == nil {
		requests := t.requests
		if len(t.pending) >= t.cfg.Window {
			requests = nil // until the stream has acknowledged some
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case r := <-requests:
			t.handle(r)
		case out := <-t.appender.Outcomes():
			t.settle(out)
		case found := <-t.later:
			t.reads--
			found()
		case answered := <-t.told:
			answered()
		case <-digest.C:
			t.tick()
		}
	}
	return t.err
}

// ask takes a request from any goroutine.
func (t *term) ask(req *wire.OwnerRequest, reply func(*wire.OwnerReply)) {
	select {
	case t.requests <- request{req, reply}:
	default:
		t.cfg.Metrics.dropped.Inc()
	}
}

// tick is what an owner does twice a second, asked or not.
func (t *term) tick() {
	if t.patience.isOver(len(t.pending) > 0) {
		t.err = fmt.Errorf("the stream has been silent for %v, with %d appends on the way from sequence %d on", t.patience.silence(), len(t.pending), t.pending[0].seq)
		return
	}
	if t.unfenced() && len(t.unconfirmed) == 0 {
		t.confirm(func() {}) // what came late is announced to nobody else
	}
	t.sendDigest()
	t.claim()
	t.checkpoint()
	t.retain()
	t.relayAll(time.Now())
	t.evict()
	t.forget()
	t.evictTallies()
}

func (t *term) handle(r request) {
	switch body := r.Body.(type) {
	case *wire.OwnerRequest_Heads:
		t.heads(r, body.Heads)
	case *wire.OwnerRequest_LookUp:
		t.withState(body.LookUp.GetLog(), func(e *entry) {
			reply := e.state.LookUp(r.User, body.LookUp, t.cfg.Now().UnixMilli())
			if body.LookUp.GetJoinedLimit() > 0 {
				reply.Pts = e.settledPts // a device goes on from there, and what is not in the stream yet may never be
			}
			t.reply(r, reply)
		})
	case *wire.OwnerRequest_Joined:
		t.joined(r, body.Joined)
	case *wire.OwnerRequest_Relay:
		t.hear(r, body.Relay)
	case *wire.OwnerRequest_Fetch:
		t.withState(body.Fetch.GetLog(), func(e *entry) { t.fetch(r, e, body.Fetch) })
	default:
		log := logOf(r.OwnerRequest)
		if log == "" {
			t.reply(r, &wire.OwnerReply{Error: &chatv1.Error{Code: chatv1.Error_CODE_UNSUPPORTED, Message: "the owner does not know this request; is the store older than the shard?"}})
			return
		}
		t.withState(log, func(e *entry) { t.command(r, e) })
	}
}

// command decides what becomes of a request that may append.
func (t *term) command(r request, e *entry) {
	d, failed := e.state.Decide(commandOf(r.OwnerRequest, &t.clock))
	switch {
	case failed != nil:
		t.reply(r, &wire.OwnerReply{Error: failed})
	case d.LookBackMs != 0:
		t.lookBack(r, e, d.LookBackMs)
	case d.Event != nil && d.Grows() && t.cfg.Full() != "":
		t.reply(r, &wire.OwnerReply{Error: noRoom()})
	case d.Event != nil && t.tailShare() >= 1:
		t.cfg.Metrics.dropped.Inc() // until a checkpoint has caught up; the shard asks again
	case d.Event != nil && t.untoldIsMuch() && !bansNote(r.OwnerRequest) && !effectOf(d.Event, d.Content).none():
		t.cfg.Metrics.dropped.Inc() // until other partitions have heard; the shard asks again
	case d.Event != nil:
		t.append(e, d, waiting{request: r})
	case d.Pts > e.settledPts:
		t.join(r, e, d.Pts)
	default:
		t.reply(r, t.done(e, d.Pts, true))
	}
}

// join makes a repeat of what is still on its way wait with it. A shard that asks again and again waits once: its newest
// tries are the ones that it listens for.
func (t *term) join(r request, e *entry, pts uint64) {
	for i := range t.pending {
		if p := &t.pending[i]; p.entry == e && p.event.Pts == pts {
			if len(p.waiting) >= maxWaiting {
				p.waiting = p.waiting[1:]
			}
			p.waiting = append(p.waiting, waiting{r, true})
		}
	}
}

// append sends an event on its way.
func (t *term) append(e *entry, d chatlog.Decision, w waiting) {
	event := d.Event
	event.Term = t.id
	if !t.begun {
		event.FirstOfTerm, event.PrevTerm, t.begun = true, t.prev.term, true
	}
	data, err := proto.Marshal(event)
	if err == nil {
		err = t.appender.Append(event.Log, data, t.lastSeq)
	}
	if err != nil {
		t.err = wrap(err, "appending to log %s", event.Log)
		return
	}
	t.lastSeq++
	t.cp.bytes += len(data)
	e.state.Apply(event, d.Content, t.lastSeq)
	t.touch(e)
	t.pending = append(t.pending, pending{stored{t.lastSeq, event, data}, e, effectOf(event, d.Content), time.Now(), []waiting{w}})
}

// settle takes the outcome of the oldest append that has none.
func (t *term) settle(out Outcome) {
	t.patience.answered()
	switch {
	case out.Err != nil:
		t.err = wrap(out.Err, "the stream refused an append")
		return
	case len(t.pending) == 0 || out.Seq != t.pending[0].seq:
		t.err = fmt.Errorf("the stream acknowledged sequence %d out of turn", out.Seq)
		return
	}
	p := t.pending[0]
	t.pending[0] = pending{}
	if t.pending = t.pending[1:]; len(t.pending) == 0 {
		t.pending = nil
	}
	t.settledSeq = p.seq
	t.confirmOn()
	t.settled(p.entry, p.stored)
	t.effect(p.effect, p.seq)
	t.cfg.Metrics.events.Inc()
	// The authors' answers last: who reads on hearing one finds the event announced.
	t.cfg.Link.Live(p.event.Log, t.traced(p))
	for _, w := range p.waiting {
		t.reply(w.request, t.done(p.entry, p.event.Pts, w.repeated))
	}
	if t.cp.taken != nil && !t.cp.saving {
		t.checkpoint()
	}
}

// settled notes that an event is in the stream for good.
func (t *term) settled(e *entry, s stored) {
	e.settledPts, e.settledSeq = s.event.Pts, s.seq
	t.recent.add(s.seq, s.data)
	t.moved[s.event.Log] = s.event.Pts
	t.cp.events++
}

func (t *term) done(e *entry, pts uint64, repeated bool) *wire.OwnerReply {
	return &wire.OwnerReply{Epoch: t.cfg.Epoch, Pts: pts, Repeated: repeated, Info: e.info(), Name: e.state.Claim(), LastBan: e.state.LastBan()}
}

func (t *term) reply(r request, reply *wire.OwnerReply) {
	if reply.Error != nil && t.unfenced() {
		t.confirm(func() { t.send(r, reply) })
		return
	}
	t.send(r, reply)
}

func (t *term) send(r request, reply *wire.OwnerReply) {
	reply.Epoch = t.cfg.Epoch
	t.cfg.Metrics.answered(kindOf(r.OwnerRequest), reply)
	r.answer(reply)
}

// sendDigest says which logs have moved since the last digest; also if none has, since the numbers tell a shard that it
// has missed nothing.
func (t *term) sendDigest() {
	const most = 4096
	moved := make([]*wire.Head, 0, min(len(t.moved), most))
	send := func() {
		t.digests++
		t.cfg.Link.Digest(&wire.Digest{Epoch: t.cfg.Epoch, Term: t.id, Number: t.digests, Moved: moved})
		moved = nil
	}
	for log, pts := range t.moved {
		if moved = append(moved, &wire.Head{Log: log, Pts: pts}); len(moved) == most {
			send()
		}
	}
	if len(moved) > 0 || len(t.moved) == 0 {
		send()
	}
	clear(t.moved)
}

func commandOf(r *wire.OwnerRequest, c *clock) chatlog.Command {
	nowMs, slowMs := c.read()
	return chatlog.Command{User: r.User, NowMs: nowMs, SlowMs: slowMs, Create: r.GetCreate(), Join: r.GetJoin(), Leave: r.GetLeave(), Post: r.GetPost(), Note: r.GetNote(),
		SetRole: r.GetSetRole(), SetPolicy: r.GetSetPolicy(),
		SetName: r.GetSetName(), ClaimName: r.GetClaimName(), NoteName: r.GetNoteName(),
		Invite: r.GetInvite(), RevokeInvitation: r.GetRevokeInvitation()}
}

func logOf(r *wire.OwnerRequest) string {
	switch b := r.Body.(type) {
	case *wire.OwnerRequest_Create:
		return b.Create.GetLog()
	case *wire.OwnerRequest_Join:
		return b.Join.GetLog()
	case *wire.OwnerRequest_Leave:
		return b.Leave.GetLog()
	case *wire.OwnerRequest_Post:
		return b.Post.GetLog()
	case *wire.OwnerRequest_Note:
		return b.Note.GetUserLog()
	case *wire.OwnerRequest_SetRole:
		return b.SetRole.GetLog()
	case *wire.OwnerRequest_SetPolicy:
		return b.SetPolicy.GetLog()
	case *wire.OwnerRequest_SetName:
		return b.SetName.GetLog()
	case *wire.OwnerRequest_ClaimName:
		return b.ClaimName.GetNameLog()
	case *wire.OwnerRequest_NoteName:
		return b.NoteName.GetUserLog()
	case *wire.OwnerRequest_Invite:
		return b.Invite.GetLog()
	case *wire.OwnerRequest_RevokeInvitation:
		return b.RevokeInvitation.GetLog()
	}
	return ""
}

func kindOf(r *wire.OwnerRequest) string {
	switch r.Body.(type) {
	case *wire.OwnerRequest_Create:
		return "create"
	case *wire.OwnerRequest_Join:
		return "join"
	case *wire.OwnerRequest_Leave:
		return "leave"
	case *wire.OwnerRequest_Post:
		return "post"
	case *wire.OwnerRequest_Note:
		return "note"
	case *wire.OwnerRequest_SetRole:
		return "set_role"
	case *wire.OwnerRequest_SetPolicy:
		return "set_policy"
	case *wire.OwnerRequest_SetName:
		return "set_name"
	case *wire.OwnerRequest_ClaimName:
		return "claim_name"
	case *wire.OwnerRequest_NoteName:
		return "note_name"
	case *wire.OwnerRequest_Invite:
		return "invite"
	case *wire.OwnerRequest_RevokeInvitation:
		return "revoke_invitation"
	case *wire.OwnerRequest_LookUp:
		return "look_up"
	case *wire.OwnerRequest_Joined:
		return "joined"
	case *wire.OwnerRequest_Heads:
		return "heads"
	case *wire.OwnerRequest_Fetch:
		return "fetch"
	case *wire.OwnerRequest_Relay:
		return "relay"
	}
	return "unknown"
}
