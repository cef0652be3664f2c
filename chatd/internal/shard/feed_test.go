package shard_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

const (
	channel = chatv1.LogKind_LOG_KIND_CHANNEL
	group   = chatv1.LogKind_LOG_KIND_GROUP
)

// readers signs in many users who begin at the head of a log.
func (r *rig) readers(n int, log string) (all []*device) {
	r.t.Helper()
	for range n {
		d, _ := r.signIn("reader", none(log))
		all = append(all, d)
	}
	return all
}

func wantPushed(t *testing.T, what string, readers []*device, log string, want []int) {
	t.Helper()
	for i, d := range readers {
		if got := d.positions(log); !slices.Equal(got, want) {
			t.Fatalf("%s: reader %d was pushed %v, want %v", what, i, got, want)
		}
	}
}

func TestAnEventReachesEverySession(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		log := r.stores.create("ann", channel)
		readers := r.readers(20, log)
		author, _ := r.signIn("ann", none(log))
		posted := author.ask(postOf(log, 7, "hello")).GetPosted()
		if posted.GetPts() != 2 || posted.GetEpoch() != 1 || posted.GetLog() != log || posted.GetRepeated() {
			t.Fatalf("posted: %v", posted)
		}
		if again := author.ask(postOf(log, 7, "hello")).GetPosted(); again.GetPts() != 2 || !again.GetRepeated() {
			t.Errorf("posted again: %v", again)
		}
		wantPushed(t, "a post", append(readers, author), log, []int{2})
		e := readers[0].pushed[0].GetEvent()
		if e.GetSender() != "ann" || e.GetMessage().GetText() != "hello" || e.GetEpoch() != 1 || e.GetTimeMs() != time.Now().UnixMilli() {
			t.Errorf("the event is %v", e)
		}
		if got := r.metric("chatd_deliveries_total"); got != 21 {
			t.Errorf("%v deliveries counted, want 21", got)
		}
	})
}

// Signing in to a log that the shard follows already costs the stores nothing, whatever the number of sessions.
func TestSignInToAnOpenLogAsksNobody(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		log := r.stores.create("ann", channel)
		r.stores.post("ann", log, 5)
		r.readers(1, log)
		before := r.stores.asked("fetch")
		for range 200 {
			_, signedIn := r.signIn("someone", at(log, 1, 3))
			if s := signedIn.GetLogs()[0]; s.GetStatus() != chatv1.LogState_STATUS_LIVE || s.GetPts() != 3 {
				t.Fatalf("attached as %v", s)
			}
		}
		if got := r.stores.asked("fetch"); before != 1 || got != 1 {
			t.Errorf("%d fetches for the first session and %d for 201, want one in all", before, got)
		}
	})
}

// However a live push is lost, all sessions have it in the end, in order, and one fetch serves them all.
// While what is missing is fetched, live events go on coming, and wait for it.
// An owner whose answers are bounded is asked on until nothing is missing.
func TestAttachBeginsWhereTheCursorSays(t *testing.T) {
	inBubble(t, func(c *shard.Config) { c.RingEvents, c.SeedEvents = 10, 10 }, func(r *rig) {
		log := r.stores.create("ann", channel)
		r.stores.post("ann", log, 29)
		r.readers(1, log)
		for _, c := range []struct {
			name   string
			cursor *chatv1.Cursor
			status chatv1.LogState_Status
			pts    uint64
			pushed []int
		}{
			{"without a cursor", none(log), chatv1.LogState_STATUS_LIVE, 30, nil},
			{"at the head", at(log, 1, 30), chatv1.LogState_STATUS_LIVE, 30, nil},
			{"within the ring", at(log, 1, 25), chatv1.LogState_STATUS_LIVE, 25, upTo(26, 30)},
			{"at the ring's end", at(log, 1, 20), chatv1.LogState_STATUS_LIVE, 20, upTo(21, 30)},
			{"before the ring", at(log, 1, 19), chatv1.LogState_STATUS_BEHIND, 30, nil},
			{"from the beginning", at(log, 1, 0), chatv1.LogState_STATUS_BEHIND, 30, nil},
			{"of another epoch", at(log, 9, 25), chatv1.LogState_STATUS_BEHIND, 30, nil},
			{"beyond all that there is", at(log, 1, 1<<60), chatv1.LogState_STATUS_BEHIND, 30, nil},
		} {
			d, signedIn := r.signIn("bob", c.cursor)
			s := signedIn.GetLogs()[0]
			if s.GetStatus() != c.status || s.GetPts() != c.pts || s.GetEpoch() != 1 || s.GetLog() != log {
				t.Errorf("%s: attached as %v, want %v after %d", c.name, s, c.status, c.pts)
			}
			if got := d.positions(log); !slices.Equal(got, c.pushed) {
				t.Errorf("%s: pushed %v, want %v", c.name, got, c.pushed)
			}
			if d.all[0].GetSignedIn() == nil {
				t.Errorf("%s: the first frame is %v, want the answer", c.name, d.all[0])
			}
		}
	})
}

// A device that comes from another shard may be ahead of this one, whose live push was lost.
func TestACursorAheadOfTheShardBringsItUpToDate(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		log := r.stores.create("ann", channel)
		readers := r.readers(1, log)
		r.stores.set(func(s *stores) { s.fate = func(string, uint64) fate { return lose } })
		r.stores.post("ann", log, 5)
		_, signedIn := r.signIn("bob", at(log, 1, 4))
		if s := signedIn.GetLogs()[0]; s.GetStatus() != chatv1.LogState_STATUS_LIVE || s.GetPts() != 4 {
			t.Errorf("attached as %v", s)
		}
		wantPushed(t, "the others", readers, log, upTo(2, 6))
	})
}

func TestALogIsClosedWhenNobodyReadsIt(t *testing.T) {
	inBubble(t, func(c *shard.Config) { c.CloseLogAfter = 10 * time.Second }, func(r *rig) {
		log := r.stores.create("ann", channel)
		follows := func() int {
			synctest.Wait()
			r.stores.mu.Lock()
			defer r.stores.mu.Unlock()
			return len(r.stores.follows)
		}
		d := r.readers(1, log)[0]
		if follows() != 1 {
			t.Fatal("the log is not followed")
		}
		d.ask(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Detach{Detach: &chatv1.DetachRequest{Logs: []string{log, "c1"}}}})
		time.Sleep(8 * time.Second)
		d.attach(none(log)) // again, before it is closed
		if r.stores.asked("fetch") != 1 {
			t.Error("the log was closed before its time")
		}
		_ = d.conn.Close()
		time.Sleep(12 * time.Second)
		if follows() != 0 || r.metric("chatd_attached_logs") != 0 {
			t.Error("the log is followed still")
		}
		readers := r.readers(2, log)
		r.stores.post("ann", log, 1)
		wantPushed(t, "opened again", readers, log, []int{2})
	})
}

// Logs that are closed and opened at the same moment lose no event.
func TestALogThatIsReopenedAtOnceIsFollowed(t *testing.T) {
	inBubble(t, func(c *shard.Config) { c.MaxLogs = 1 }, func(r *rig) {
		a, b := r.stores.create("ann", channel), r.stores.create("ann", channel)
		for i := range 20 {
			log := []string{a, b}[i%2]
			d := r.readers(1, log)[0]
			pts := r.stores.post("ann", log, 1)
			if got := d.positions(log); !slices.Equal(got, []int{int(pts)}) {
				t.Fatalf("round %d: pushed %v, want %d", i, got, pts)
			}
			d.ask(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Detach{Detach: &chatv1.DetachRequest{Logs: []string{log}}}})
		}
		d := r.readers(1, a)[0]
		if s := d.attach(none(b))[0]; s.GetStatus() != chatv1.LogState_STATUS_REFUSED || s.GetError().GetCode() != chatv1.Error_CODE_TOO_MANY {
			t.Errorf("one log too many was answered %v", s)
		}
		if n := r.shard.Numbers(); n > 4 {
			t.Errorf("of two logs that came and went, %d had numbers at the same time", n)
		}
	})
}

// A log that many want at once is opened once.
func TestManyOpenOneLogByOneFetch(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		log := r.stores.create("ann", channel)
		r.stores.set(func(s *stores) { s.delay = 300 * time.Millisecond })
		var answers []<-chan *chatv1.ServerFrame
		for range 50 {
			answers = append(answers, r.connect(0).begin(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_SignIn{SignIn: &chatv1.SignInRequest{
				Token: r.token("bob"), Device: "d", Cursors: []*chatv1.Cursor{none(log), none(logid.Me)}}}}))
		}
		// What happens while it is being opened is not lost, pushed or not.
		time.Sleep(100 * time.Millisecond)
		r.stores.post("ann", log, 2)
		for _, a := range answers {
			for _, s := range (<-a).GetSignedIn().GetLogs() {
				if s.GetStatus() != chatv1.LogState_STATUS_LIVE {
					t.Fatalf("attached as %v", s)
				}
			}
		}
		if got := r.stores.asked("fetch"); got != 2 {
			t.Errorf("%d fetches, want one for each of two logs", got)
		}
	})
}

func TestALogWhoseOwnerIsAwayIsRefusedForNow(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		log := r.stores.create("ann", channel)
		r.stores.set(func(s *stores) { s.down = true })
		d, signedIn := r.signIn("bob", none(log))
		if s := signedIn.GetLogs()[0]; s.GetStatus() != chatv1.LogState_STATUS_REFUSED || s.GetError().GetCode() != chatv1.Error_CODE_UNAVAILABLE || s.GetError().GetRetryAfterMs() == 0 {
			t.Fatalf("attached as %v", s)
		}
		r.stores.set(func(s *stores) { s.down = false })
		if s := d.attach(none(log))[0]; s.GetStatus() != chatv1.LogState_STATUS_LIVE {
			t.Errorf("attached as %v once the owner is back", s)
		}
	})
}

// What is said of a log while it is being opened counts, though the answer that opens it knows nothing of it.
// A digest that comes while a fetch is on its way back names more than that fetch brings.
// Events of the history that has ended, held for what comes before them, are no part of the new one.
// A log that is wanted again while it is being closed is opened after that: else the end of its subscription would be the end of
// the new one.
func TestALogThatIsBeingClosedIsOpenedAfterwards(t *testing.T) {
	inBubble(t, func(c *shard.Config) { c.CloseLogAfter = time.Second }, func(r *rig) {
		log := r.stores.create("ann", channel)
		r.stores.set(func(s *stores) { s.close = 500 * time.Millisecond })
		d := r.readers(1, log)[0]
		d.ask(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Detach{Detach: &chatv1.DetachRequest{Logs: []string{log}}}})
		time.Sleep(1300 * time.Millisecond)
		wantState(t, "wanted again", d.attach(none(log))[0], live, 0)
		if got := r.stores.asked("fetch"); got != 2 {
			t.Errorf("%d fetches, want that it was closed and opened again", got)
		}
		r.stores.post("ann", log, 1)
		wantPushed(t, "then", []*device{d}, log, []int{2})
	})
}

// The answer to a sign-in comes before the events that it lets in, also if there are many.
func TestTheAnswerComesBeforeTheEvents(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		var cursors []*chatv1.Cursor
		for range 200 {
			log := r.stores.create("ann", channel)
			r.stores.post("ann", log, 3)
			cursors = append(cursors, at(log, 1, 1))
		}
		r.signIn("ann", cursors...)
		for range 20 {
			d, _ := r.signIn("bob", cursors...)
			synctest.Wait()
			if len(d.all) != 601 || d.all[0].GetSignedIn() == nil {
				t.Fatalf("got %d frames, first of them %.200v", len(d.all), d.all[0])
			}
		}
	})
}
