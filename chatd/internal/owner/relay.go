package owner

import (
	"context"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

const (
	// relayBatch is how much one request tells another partition at most, relaysAtOnce how many such requests are on the way.
	relayBatch   = 512
	relaysAtOnce = 8
	relayTimeout = 2 * time.Second
	// tellAgain is the time after which what the other side does not keep for good yet is told again: a checkpoint of it takes 15 s.
	tellAgain = 5 * time.Second
	// maxRelayPause bounds the pause after requests without an answer.
	maxRelayPause = 5 * time.Second
	// tellBansFor is how long a ban is told to a user's log: longer than a join that it may have overtaken takes to get there.
	tellBansFor = time.Minute
)

// news is something that another partition has to be told, until it is known to keep it: a tally, or a ban.
type news struct {
	key   string
	to    int // partition
	tally *tally
	ban   *wire.BanNote
	since time.Time
	// queued to be told; else toldAt is when it was.
	queued bool
	toldAt time.Time
	// noted: the user's log says that he has left. It is told once more at the end, in case that a join came after it which was on its way
	// before.
	noted bool
}

// over reports whether a ban has been told for long enough.
func (t *term) over(b *wire.BanNote) bool {
	return t.cfg.Now().UnixMilli()-b.TimeMs > t.cfg.TellBansFor.Milliseconds()
}

// outbox is what one partition is to be told now. One request is on the way at a time.
type outbox struct {
	queue  []*news
	asking bool
	// After requests without an answer there is a pause.
	pause time.Duration
	until time.Time
}

// untoldIsMuch reports whether no more should come: so much waits for other partitions.
func (t *term) untoldIsMuch() bool { return len(t.news) >= t.cfg.MaxUntold }

// enqueue has news told as soon as may be. What is not loaded yet waits for that.
func (t *term) enqueue(n *news) {
	if n.queued || n.tally != nil && n.tally.value == nil {
		return
	}
	n.queued = true
	box := t.outboxes[n.to]
	if box == nil {
		box = &outbox{}
		t.outboxes[n.to] = box
	}
	box.queue = append(box.queue, n)
	t.relay(n.to, box)
}

// relayAll goes on with all that is to be told, and tells again what has been told long ago.
func (t *term) relayAll(now time.Time) {
	oldest := now
	for _, n := range t.news {
		if n.since.Before(oldest) {
			oldest = n.since
		}
		if !n.queued && now.Sub(n.toldAt) >= t.cfg.TellAgain && (!n.noted || t.over(n.ban)) {
			t.enqueue(n)
		}
	}
	t.untold.Store(int64(len(t.news)))
	t.untoldFor.Store(int64(now.Sub(oldest)))
	t.relayOn()
}

func (t *term) relayOn() {
	for to, box := range t.outboxes {
		t.relay(to, box)
	}
}

// relay tells a partition what is queued for it, if it can be told now. Before run nothing is told.
func (t *term) relay(to int, box *outbox) {
	if t.ctx == nil || box.asking || len(box.queue) == 0 || t.relays >= relaysAtOnce || time.Now().Before(box.until) {
		return
	}
	var tallies, bans []*news
	var last []bool
	relay := &wire.Relay{}
	for len(box.queue) > 0 && len(tallies)+len(bans) < relayBatch {
		n := box.queue[0]
		box.queue = box.queue[1:]
		n.queued, n.toldAt = false, time.Now()
		if n.tally != nil {
			tallies, relay.Tallies = append(tallies, n), append(relay.Tallies, n.tally.value)
		} else {
			bans, relay.Bans, last = append(bans, n), append(relay.Bans, n.ban), append(last, t.over(n.ban))
		}
	}
	box.asking = true
	t.relays++
	t.telling.Go(func() {
		ctx, cancel := context.WithTimeout(t.ctx, relayTimeout)
		defer cancel()
		reply, err := t.cfg.Link.Ask(ctx, to, &wire.OwnerRequest{Body: &wire.OwnerRequest_Relay{Relay: relay}})
		if ok := err == nil && reply.GetError() == nil && len(reply.GetRelayed().GetKept()) == len(tallies) && len(reply.GetRelayed().GetNoted()) == len(bans); !ok {
			reply = nil
		}
		select {
		case t.told <- func() { t.relayAnswered(box, tallies, bans, last, relay, reply.GetRelayed()) }:
		case <-t.ctx.Done():
		}
	})
}

// relayAnswered forgets what the other partition keeps now, if it is still the newest, and bans that were told for the last time. answer is nil
// if there was none.
func (t *term) relayAnswered(box *outbox, tallies, bans []*news, last []bool, relay *wire.Relay, answer *wire.Relayed) {
	t.relays--
	box.asking = false
	if answer == nil {
		t.cfg.Metrics.relays.WithLabelValues("unanswered").Inc()
		box.pause = min(max(2*box.pause, 100*time.Millisecond), maxRelayPause)
		box.until = time.Now().Add(box.pause)
		for _, n := range append(tallies, bans...) {
			t.enqueue(n)
		}
		return
	}
	t.cfg.Metrics.relays.WithLabelValues("answered").Inc()
	box.pause, box.until = 0, time.Time{}
	for i, n := range tallies {
		if answer.Kept[i] && n.tally.value == relay.Tallies[i] {
			delete(t.news, n.key)
		}
	}
	for i, n := range bans {
		switch {
		case n.ban != relay.Bans[i]: // a newer one has come meanwhile
		case last[i]:
			delete(t.news, n.key)
		default:
			n.noted = n.noted || answer.Noted[i]
		}
	}
	t.relayOn()
}

// hear takes what another partition tells this one, and answers when it has been dealt with.
func (t *term) hear(r request, relay *wire.Relay) {
	if len(relay.Tallies)+len(relay.Bans) > relayBatch {
		t.reply(r, &wire.OwnerReply{Error: &chatv1.Error{Code: chatv1.Error_CODE_TOO_MANY, Message: "more than 512 things in one relay"}})
		return
	}
	answer := &wire.Relayed{Kept: make([]bool, len(relay.Tallies)), Noted: make([]bool, len(relay.Bans))}
	missing := len(relay.Tallies) + len(relay.Bans)
	if missing == 0 {
		t.reply(r, &wire.OwnerReply{Relayed: answer})
		return
	}
	done := func() {
		if missing--; missing == 0 {
			t.reply(r, &wire.OwnerReply{Relayed: answer})
		}
	}
	for i, one := range relay.Tallies {
		t.withState(one.Channel, func(e *entry) {
			answer.Kept[i] = t.count(e, one)
			done()
		})
	}
	for i, ban := range relay.Bans {
		t.noteBan(ban, func(noted bool) {
			answer.Noted[i] = noted
			done()
		})
	}
}
