package shard

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// Pauses between fetches that fail.
const (
	firstPause = 50 * time.Millisecond
	maxPause   = 2 * time.Second
)

// fetch asks the log's owner for events, in user's name. At most so many are under way to one owner.
func (f *feed) fetch(ctx context.Context, user string, what *wire.Fetch, reason string) (*wire.OwnerReply, error) {
	if err := f.part.feeding.enter(ctx); err != nil {
		return nil, err
	}
	defer f.part.feeding.exit()
	f.sh.metrics.fetches.WithLabelValues(reason).Inc()
	reply, err := f.sh.stores.Ask(ctx, f.part.number, &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_Fetch{Fetch: what}})
	if err != nil {
		return nil, fmt.Errorf("fetch log %s: %w", f.id, err)
	}
	return reply, nil
}

// healLocked begins to fetch what is missing, unless that is under way, or there is no user in whose name to ask: then the
// next one who attaches begins it.
func (f *feed) healLocked(reason string) {
	if f.healed != nil || f.target <= f.fanout.Head() {
		return
	}
	if _, ok := f.readerLocked(); !ok {
		return
	}
	healed := make(chan struct{})
	if f.sh.tasks.spawn(func() { f.heal(reason, healed) }) {
		f.healed = healed
	}
}

// readerLocked is a user who may read the log, as far as the shard knows. Of a channel, everybody may.
func (f *feed) readerLocked() (string, bool) {
	if f.group == nil {
		return f.opener, true
	}
	return f.group.anyone()
}

// heal fetches until nothing is missing. There is one at a time for a feed, whatever the number of its sessions.
func (f *feed) heal(reason string, healed chan struct{}) {
	defer close(healed)
	pause, level := firstPause, slog.LevelWarn
	for {
		f.mu.Lock()
		user, ok := f.readerLocked()
		after := f.fanout.Head()
		target := f.target
		if f.shutUp || target <= after || !ok || f.sh.ctx.Err() != nil {
			f.healed = nil
			f.mu.Unlock()
			return
		}
		f.mu.Unlock()
		err := f.fetchAfter(user, after, target, reason)
		if err == nil {
			pause = firstPause
			continue
		}
		if f.sh.ctx.Err() == nil {
			// One line a gap: it is tried again and again, for many logs at once.
			f.sh.cfg.Logger.Log(f.sh.ctx, level, "a gap is not fetched yet", "log", f.id, "after", after, "err", err)
			level = slog.LevelDebug
		}
		select {
		case <-time.After(pause):
		case <-f.sh.ctx.Done():
		}
		pause = min(2*pause, maxPause)
	}
}

// fetchAfter fetches once, and takes what came. An error means: try again.
func (f *feed) fetchAfter(user string, after, target uint64, reason string) error {
	ctx, cancel := context.WithTimeout(f.sh.ctx, f.sh.cfg.RequestTimeout)
	defer cancel()
	reply, err := f.fetch(ctx, user, &wire.Fetch{Log: f.id, AfterPts: after, Limit: uint32(f.sh.cfg.HealEvents)}, reason)
	if err != nil {
		return err
	}
	events, err := decodeAll(f.id, reply)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.takeLocked(user, target, reply, events)
}

// takeLocked appends what a fetch has brought. asked is what the target was when it was asked: an owner who has less is right, and
// whoever named the target was wrong, such as a cursor that lies.
func (f *feed) takeLocked(user string, asked uint64, reply *wire.OwnerReply, events []*chatv1.Event) error {
	head := f.fanout.Head()
	switch flt := reply.GetError(); {
	case reply.GetEpoch() < f.epoch:
		return fmt.Errorf("the answer is of epoch %d, which has ended", reply.GetEpoch())
	case flt.GetCode() == chatv1.Error_CODE_NOT_FOUND:
		return f.lowerLocked(asked)
	case flt != nil:
		return fmt.Errorf("the owner says %v: %s", flt.GetCode(), flt.GetMessage())
	case !reply.GetMayRead() && f.group == nil:
		return fmt.Errorf("the owner does not let %s read", user)
	case !reply.GetMayRead():
		if f.group.members[user] <= reply.GetPts() {
			f.dropMemberLocked(user)
		}
		return nil
	case reply.GetEpoch() > f.epoch:
		f.resetLocked(reply.GetEpoch(), reply.GetPts())
		return nil
	case reply.GetPts() > head && (reply.GetGone() || reply.GetPts()-head > uint64(f.sh.cfg.HealEvents)):
		f.resetLocked(f.epoch, reply.GetPts())
		return nil
	}
	for _, event := range events {
		if event.GetPts() == f.fanout.Head()+1 {
			f.appendLocked(event)
		}
	}
	f.catchUpLocked()
	switch now := f.fanout.Head(); {
	case now >= f.target:
		return nil
	case reply.GetPts() <= now:
		return f.lowerLocked(asked)
	case now > head:
		return nil
	}
	return fmt.Errorf("the owner's newest event is %d, yet it has sent none after %d", reply.GetPts(), head)
}

// lowerLocked gives up a target of which the owner knows nothing, unless more has been heard since it was asked.
func (f *feed) lowerLocked(asked uint64) error {
	if f.target != asked {
		return nil
	}
	if len(f.ahead) > 0 {
		return fmt.Errorf("a live event is ahead of all that the owner has")
	}
	f.target = f.fanout.Head()
	return nil
}

// reach waits until the feed is at pts, or as far as the log's owner says that it goes. If that cannot be known in time, it says so: a session that were attached
// below its own position would be brought once more what it has.
func (f *feed) reach(ctx context.Context, epoch uint32, pts uint64) *chatv1.Error {
	f.mu.Lock()
	if f.fanout.Epoch() != epoch || f.fanout.Head() >= pts {
		f.mu.Unlock()
		return nil
	}
	f.target = max(f.target, pts)
	f.healLocked(reasonAttach)
	healed := f.healed
	f.mu.Unlock()
	if healed == nil {
		return nil
	}
	select {
	case <-healed:
		return nil
	case <-ctx.Done():
		return unavailable(fmt.Errorf("whether the log goes to %d: %w", pts, ctx.Err()))
	}
}

// gate bounds how many do something at once.
type gate chan struct{}

func (g gate) enter(ctx context.Context) error {
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g gate) exit() { <-g }
