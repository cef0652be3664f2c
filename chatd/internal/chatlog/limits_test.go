package chatlog

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// A bucket lets no more through than it holds and what has come in since, and whoever waits as long as he is told gets through. A clock that
// is set back keeps nobody out for longer than the bucket takes to fill.
func TestPace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Limits{PostsPerSecond: rapid.Float64Range(0.5, 1000).Draw(t, "perSecond"), PostBurst: rapid.IntRange(1, 50).Draw(t, "burst")}
		var p pace
		begun := int64(1_700_000_000_000)
		now, passed := begun, 0
		for range rapid.IntRange(1, 300).Draw(t, "posts") {
			now += rapid.Int64Range(0, 50).Draw(t, "pause")
			wait := p.wait(l, now)
			if wait > 0 {
				now += (wait + time.Millisecond - 1).Milliseconds()
				if again := p.wait(l, now); again > 0 {
					t.Fatalf("after the %v that it was told, it is told to wait for %v", wait, again)
				}
			}
			p.took(l, now)
			passed++
			if most := float64(l.PostBurst) + float64(now-begun)/1000*l.PostsPerSecond + 1e-3; float64(passed) > most {
				t.Fatalf("%d posts in %d ms, at most %.2f may be", passed, now-begun, most)
			}
		}
		back := now - rapid.Int64Range(0, 10_000_000).Draw(t, "back")
		if wait := p.wait(l, back); wait > l.whole() {
			t.Fatalf("a clock set back by %d ms keeps everybody out for %v", now-back, wait)
		}
	})
}

// A log's rate is of all who post in it, a repeat is free, and the refusal says when to come back.
func TestPostsOfALog(t *testing.T) {
	s := &State{ID: "c", Kind: chatv1.LogKind_LOG_KIND_CHANNEL, Owner: "ann", Pts: 1, Limits: Limits{PostsPerSecond: 10, PostBurst: 2}}
	now := int64(1_700_000_000_000)
	post := func(id uint64) *chatv1.Error {
		d, failed := s.Decide(Command{User: "ann", NowMs: now, Post: &chatv1.PostRequest{Log: "c", RandomId: id, Message: &chatv1.Message{Text: "x"}}})
		if d.Event != nil {
			s.Apply(d.Event, d.Content, s.LastSeq+1)
		}
		return failed
	}
	for id := range uint64(2) {
		if failed := post(id + 1); failed != nil {
			t.Fatalf("post %d: %v", id, failed)
		}
	}
	failed := post(3)
	if failed.GetCode() != chatv1.Error_CODE_TOO_MANY || failed.GetRetryAfterMs() != 100 {
		t.Fatalf("the third at once: %v, want TOO_MANY and 100 ms", failed)
	}
	if failed := post(2); failed != nil {
		t.Errorf("a repeat: %v", failed)
	}
	now += int64(failed.GetRetryAfterMs())
	if failed := post(3); failed != nil {
		t.Errorf("after the time that was said: %v", failed)
	}
}

// What a user has made counts, whether he stays in it or not; a repeat counts once, and a state that was stored knows as much.
func TestOwnedLogs(t *testing.T) {
	limits := Limits{OwnedLogs: 3}
	s := &State{ID: "u", Limits: limits}
	note := func(n *wire.UserNote) *chatv1.Error {
		d, failed := s.Decide(Command{User: "ann", Note: n})
		if d.Event != nil {
			s.Apply(d.Event, d.Content, s.LastSeq+1)
		}
		return failed
	}
	for i := range 3 {
		log := fmt.Sprint("c", i)
		for range 2 {
			if failed := note(&wire.UserNote{Log: log, AskMade: true}); failed != nil {
				t.Fatal(failed)
			}
			if failed := note(&wire.UserNote{Log: log, Made: true, Kind: chatv1.LogKind_LOG_KIND_CHANNEL}); failed != nil {
				t.Fatal(failed)
			}
		}
		if failed := note(&wire.UserNote{Log: log, Left: true}); failed != nil {
			t.Fatal(failed)
		}
	}
	s = Restore(s.Snapshot())
	s.Limits = limits
	if failed := note(&wire.UserNote{Log: "c3", AskMade: true}); failed.GetCode() != chatv1.Error_CODE_TOO_MANY {
		t.Errorf("a fourth of three: %v", failed)
	}
	if failed := note(&wire.UserNote{Log: "c1", AskMade: true}); failed != nil {
		t.Errorf("a creation repeated: %v", failed)
	}
	if failed := note(&wire.UserNote{Log: "other", Kind: chatv1.LogKind_LOG_KIND_GROUP}); failed != nil {
		t.Errorf("joining another's: %v", failed)
	}
}
