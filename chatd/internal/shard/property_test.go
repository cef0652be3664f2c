package shard_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// step is one thing that happens in a history.
type step struct {
	what   string
	log    int
	reader int
	n      int
	fates  []fate
	lost   []bool
}

const (
	historyLogs    = 2
	historyReaders = 4
)

func drawStep(rt *rapid.T) step {
	s := step{
		what: rapid.SampledFrom([]string{"post", "post", "post", "attach", "detach", "digest", "new term", "relink", "down", "up",
			"pause", "resume", "wait", "slow stores", "restore"}).Draw(rt, "step"),
		log:    rapid.IntRange(0, historyLogs-1).Draw(rt, "log"),
		reader: rapid.IntRange(0, historyReaders-1).Draw(rt, "reader"),
	}
	switch s.what {
	case "post":
		s.fates = rapid.SliceOfN(rapid.SampledFrom([]fate{arrive, arrive, lose, double, late}), 1, 12).Draw(rt, "fates")
	case "attach":
		s.n = rapid.IntRange(-1, 20).Draw(rt, "behind")
	case "digest":
		s.lost = rapid.SliceOfN(rapid.Bool(), partitions, partitions).Draw(rt, "lost")
	case "wait", "slow stores":
		s.n = rapid.IntRange(0, 3000).Draw(rt, "ms")
	}
	return s
}

// TestAnyHistory: whatever is lost, doubled or late on the way, whoever owns the partitions, and however slowly they answer and
// the sessions read: a session is pushed each position at most once, in order, without a hole of which it was not told; and
// when all is calm, everybody has come to the head.
func TestAnyHistory(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(drawStep), 1, 60).Draw(rt, "steps")
		var failure error
		// Rapid's own failures must not cross the bubble: the history is drawn before, and judged after.
		synctest.Test(t, func(t *testing.T) { failure = runHistory(t, steps) })
		if failure != nil {
			rt.Fatal(failure)
		}
	})
}

type history struct {
	*rig
	ids     []string
	readers []*follower
}

// follower is a device with the position that it must have next in each log.
type follower struct {
	*device
	paused bool
	seen   int
	at     map[string]*chatv1.Cursor
}

func runHistory(t *testing.T, steps []step) error {
	h := &history{rig: newRig(t, func(c *shard.Config) {
		c.RingEvents, c.SeedEvents, c.HealEvents, c.HoldEvents, c.CloseLogAfter = 12, 6, 6, 5, 2*time.Second
		c.RequestsPerSecond = 1e6
		c.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	})}
	defer h.end()
	for range historyLogs {
		h.ids = append(h.ids, h.stores.create("ann", channel))
	}
	for range historyReaders {
		d, _ := h.signIn("bob")
		h.readers = append(h.readers, &follower{device: d, at: map[string]*chatv1.Cursor{}})
	}
	for i, s := range steps {
		if err := h.do(s); err != nil {
			return fmt.Errorf("step %d, %+v: %w", i, s, err)
		}
	}
	return h.settle()
}

func (h *history) do(s step) error {
	log, d := h.ids[s.log], h.readers[s.reader]
	switch s.what {
	case "post":
		i := 0
		h.stores.set(func(st *stores) {
			st.fate = func(string, uint64) fate { i++; return s.fates[i-1] }
		})
		h.stores.post("ann", log, len(s.fates))
	case "digest":
		h.stores.digest(func(p int) bool { return s.lost[p] })
	case "new term":
		h.stores.newTerm()
	case "relink":
		h.stores.sent <- func(sh *shard.Shard) { sh.Relinked() }
	case "down", "up":
		h.stores.set(func(st *stores) { st.down = s.what == "down" })
	case "slow stores":
		h.stores.set(func(st *stores) {
			st.delay, st.back = time.Duration(s.n/10)*time.Millisecond, time.Duration(s.n%100)*5*time.Millisecond
		})
	case "wait":
		time.Sleep(time.Duration(s.n) * time.Millisecond)
	case "restore":
		h.stores.set(func(st *stores) { st.epoch++ }) // the same events under another epoch, as far as a shard can tell
	case "pause":
		if !d.paused {
			d.paused = true
			d.pause()
		}
	case "resume":
		d.goOn()
	case "attach", "detach":
		d.goOn()
		return h.attach(d, log, s)
	}
	return d.check()
}

func (d *follower) goOn() {
	if d.paused {
		d.paused = false
		d.resume()
	}
}

// attach ends what the session has of the log, so that what belongs to which attachment is known, and attaches it anew.
func (h *history) attach(d *follower, log string, s step) error {
	d.ask(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Detach{Detach: &chatv1.DetachRequest{Logs: []string{log}}}})
	if err := d.check(); err != nil {
		return err
	}
	delete(d.at, log)
	if s.what == "detach" {
		return nil
	}
	cursor := none(log)
	h.stores.set(func(st *stores) {
		if head := st.log(log).state.Pts; s.n >= 0 {
			cursor = at(log, st.epoch, head-min(head, uint64(s.n)))
		}
	})
	state := d.attach(cursor)[0]
	switch state.GetStatus() {
	case chatv1.LogState_STATUS_REFUSED:
		if state.GetError().GetCode() != chatv1.Error_CODE_UNAVAILABLE {
			return fmt.Errorf("attached as %v", state)
		}
		return nil
	case chatv1.LogState_STATUS_LIVE:
		if cursor.GetEpoch() != 0 && state.GetPts() != cursor.GetPts() {
			return fmt.Errorf("live after %d, asked for %v", state.GetPts(), cursor)
		}
	}
	d.at[log] = at(log, state.GetEpoch(), state.GetPts())
	return d.check()
}

// check goes through what has been pushed since the last time. The answer to an attach has always been read before what it lets in.
func (d *follower) check() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ; d.seen < len(d.pushed); d.seen++ {
		f := d.pushed[d.seen]
		e, long := f.GetEvent(), f.GetTooLong()
		if e == nil && long == nil {
			return fmt.Errorf("pushed %v", f)
		}
		p := d.at[e.GetLog()+long.GetLog()]
		switch {
		case p == nil:
			return fmt.Errorf("pushed %v of a log that is not attached", f)
		case e != nil && (e.GetEpoch() != p.GetEpoch() || e.GetPts() != p.GetPts()+1):
			return fmt.Errorf("pushed event %d of epoch %d after %v", e.GetPts(), e.GetEpoch(), p)
		case long != nil && (long.GetEpoch() < p.GetEpoch() || long.GetEpoch() == p.GetEpoch() && long.GetPts() <= p.GetPts()):
			return fmt.Errorf("pushed too long up to %d of epoch %d after %v", long.GetPts(), long.GetEpoch(), p)
		}
		p.Epoch, p.Pts = e.GetEpoch()+long.GetEpoch(), e.GetPts()+long.GetPts()
	}
	return nil
}

// settle lets everything come to rest, as it does when owners answer and digests arrive: then all sessions are at the head.
func (h *history) settle() error {
	for _, d := range h.readers {
		d.goOn()
	}
	h.stores.set(func(st *stores) { st.down, st.delay, st.back, st.fate = false, 0, 0, nil })
	h.stores.digest(nil)
	h.stores.newTerm() // whatever digest was lost: a new owner's makes all heads be asked for
	h.stores.digest(nil)
	time.Sleep(15 * time.Second)
	synctest.Wait()
	for i, d := range h.readers {
		if err := d.check(); err != nil {
			return fmt.Errorf("at the end: %w", err)
		}
		select {
		case <-d.done:
			return errors.New("a session was closed")
		default:
		}
		for id, p := range d.at {
			var head uint64
			var epoch uint32
			h.stores.set(func(st *stores) { head, epoch = st.log(id).state.Pts, st.epoch })
			if p.GetPts() != head || p.GetEpoch() != epoch {
				return fmt.Errorf("reader %d is at %v in the end, the log's head is %d of epoch %d", i, p, head, epoch)
			}
		}
	}
	return nil
}
