package shard_test

import (
	"testing"

	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

func historyOf(log string, epoch uint32, before uint64, limit uint32) *chatv1.ClientFrame {
	return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_History{History: &chatv1.HistoryRequest{Log: log, Epoch: epoch, BeforePts: before, Limit: limit}}}
}

// Pages from the newest event to the first one are the whole log, each event once, however far beyond a difference.
func TestHistoryIsTheWholeLog(t *testing.T) {
	inBubble(t, func(c *shard.Config) { c.DifferenceEvents, c.TooLongAfter = 30, 100 }, func(r *rig) {
		log := r.stores.create("ann", channel)
		r.stores.post("ann", log, 499)
		d, _ := r.signIn("bob")
		before, epoch := uint64(0), uint32(0)
		for want := uint64(500); ; {
			h := d.ask(historyOf(log, epoch, before, 70)).GetHistory()
			if h == nil || h.GetEpoch() != 1 {
				t.Fatalf("before %d: %v", before, h)
			}
			events := h.GetEvents()
			if len(events) == 0 {
				if want != 0 {
					t.Errorf("the log ends before %d", want)
				}
				return
			}
			if len(events) > 30 {
				t.Fatalf("%d events, more than the server's limit", len(events))
			}
			for i := range events {
				if e := events[len(events)-1-i]; e.GetPts() != want || e.GetLog() != log || e.GetEpoch() != 1 || e.GetContent() == nil {
					t.Fatalf("before %d: the event %v where %d should be", before, e, want)
				}
				want--
			}
			before, epoch = events[0].GetPts(), h.GetEpoch()
		}
	})
}

func TestHistoryIsRefused(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		log, others := r.stores.create("ann", channel), r.stores.create("ann", group)
		r.stores.role("ann", log, "eve", chatv1.Role_ROLE_BANNED)
		d, _ := r.signIn("bob")
		eve, _ := r.signIn("eve")
		for name, c := range map[string]struct {
			by    *device
			what  *chatv1.ClientFrame
			code  chatv1.Error_Code
			field string
		}{
			"no log":             {d, historyOf("", 1, 5, 0), chatv1.Error_CODE_INVALID, "history.log"},
			"no epoch":           {d, historyOf(log, 0, 5, 0), chatv1.Error_CODE_INVALID, "history.epoch"},
			"another epoch":      {d, historyOf(log, 9, 5, 0), chatv1.Error_CODE_INVALID, "history.epoch"},
			"a group of others":  {d, historyOf(others, 1, 5, 0), chatv1.Error_CODE_NOT_MEMBER, ""},
			"a log that is none": {d, historyOf("cnosuchlog", 1, 5, 0), chatv1.Error_CODE_NOT_FOUND, ""},
			"who is banned":      {eve, historyOf(log, 1, 2, 0), chatv1.Error_CODE_DENIED, ""},
		} {
			if got := c.by.ask(c.what).GetError(); got.GetCode() != c.code || got.GetField() != c.field {
				t.Errorf("%s: %v, want %v of field %q", name, got, c.code, c.field)
			}
		}
		if got := d.ask(historyOf("me", 0, 0, 0)); got.GetHistory() == nil || len(got.GetHistory().GetEvents()) > 0 {
			t.Errorf("one's own log, which is empty: %v", got)
		}
	})
}

// A page costs what it may cost the stores, over HTTP too.
func TestHistoryIsPaidFor(t *testing.T) {
	inBubble(t, func(c *shard.Config) { c.RequestBurst, c.UserRequestBurst = 20, 20 }, func(r *rig) {
		log := r.stores.create("ann", channel)
		d, _ := r.signIn("bob")
		for range 4 {
			if got := d.ask(historyOf(log, 1, 1, 0)); got.GetError() != nil {
				t.Fatalf("a page: %v", got)
			}
		}
		if got := d.ask(historyOf(log, 1, 1, 0)); got.GetError().GetCode() != chatv1.Error_CODE_TOO_MANY {
			t.Errorf("the fifth page at once: %v", got)
		}
		ctx, cancel := contextWithin(1e9)
		defer cancel()
		for range 5 {
			if _, flt := r.shard.History(ctx, "carol", &chatv1.HistoryRequest{Log: log}); flt != nil {
				t.Fatalf("a page over HTTP: %v", flt)
			}
		}
		if _, flt := r.shard.History(ctx, "carol", &chatv1.HistoryRequest{Log: log}); flt.GetCode() != chatv1.Error_CODE_TOO_MANY {
			t.Errorf("one more over HTTP: %v", flt)
		}
	})
}
