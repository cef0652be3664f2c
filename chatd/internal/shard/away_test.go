package shard_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// ways in which eve loses the right to read a log, and has it again through another shard.
var ways = map[string]struct {
	kind    chatv1.LogKind
	prepare func(r *rig, log string)
	lose    func(r *rig, log string)
	regain  func(r *rig, log string)
}{
	"a group that she leaves": {kind: group,
		prepare: func(r *rig, log string) { r.stores.join("eve", log) },
		lose:    func(r *rig, log string) { r.stores.leave("eve", log) },
		regain:  func(r *rig, log string) { r.stores.join("eve", log) },
	},
	"a group that she is banned from": {kind: group,
		prepare: func(r *rig, log string) { r.stores.join("eve", log) },
		lose:    func(r *rig, log string) { r.stores.role("ann", log, "eve", banned) },
		regain: func(r *rig, log string) {
			r.stores.role("ann", log, "eve", member)
			r.stores.join("eve", log)
		},
	},
	"a channel that she is banned from": {kind: channel,
		prepare: func(*rig, string) {},
		lose:    func(r *rig, log string) { r.stores.role("ann", log, "eve", banned) },
		regain:  func(r *rig, log string) { r.stores.role("ann", log, "eve", member) },
	},
}

// wantSentAway checks that the last that a session was pushed says that it is sent no more.
func wantSentAway(t *testing.T, d *device, log string) {
	t.Helper()
	synctest.Wait()
	if got := d.positions(log); len(got) == 0 || got[len(got)-1] >= 0 {
		t.Fatalf("pushed %v, and not told at the end that she is sent no more", got)
	}
}

// A session that was sent away and asks only when its user is back is pushed what comes next, though all that it was told is "too long": each
// event once, and from the head of the difference on.
func TestWhoIsBackWhenHeAsksIsPushedToAgain(t *testing.T) {
	for name, way := range ways {
		for limit, how := range map[uint32]string{0: "in one difference", 2: "in slices"} {
			t.Run(name+", "+how, func(t *testing.T) {
				inBubble(t, nil, func(r *rig) {
					log := r.stores.create("ann", way.kind)
					way.prepare(r, log)
					ann, _ := r.signIn("ann", none(log))
					eve, signedIn := r.signIn("eve", none(log))
					way.lose(r, log)
					wantSentAway(t, eve, log)
					way.regain(r, log)
					r.stores.post("ann", log, 3)
					synctest.Wait()
					before := len(eve.positions(log))

					at := signedIn.GetLogs()[0].GetPts()
					for kind := chatv1.DifferenceResponse_KIND_SLICE; kind == chatv1.DifferenceResponse_KIND_SLICE; {
						d := eve.difference(log, 1, at, limit).GetDifference()
						if len(d.GetEvents()) == 0 || d.GetEvents()[0].GetPts() != at+1 {
							t.Fatalf("the difference after %d: %v", at, d)
						}
						kind, at = d.GetKind(), d.GetCursor().GetPts()
					}
					if last := int(r.stores.post("ann", log, 2)); at != uint64(last)-2 {
						t.Fatalf("the difference ends at %d, and there are %d", at, last)
					}
					synctest.Wait()
					if got := eve.positions(log)[before:]; !slices.Equal(got, []int{int(at) + 1, int(at) + 2}) {
						t.Errorf("after the difference up to %d she was pushed %v, want the two that came then", at, got)
					}
					if got := ann.positions(log); got[len(got)-1] != int(at)+2 {
						t.Errorf("the other one was pushed %v", got)
					}
				})
			})
		}
	}
}

// Whoever was refused, has detached, or has attached anew knows what he has: no difference attaches anything for him after that.
func TestWhoKnowsIsNotAttachedByADifference(t *testing.T) {
	way := ways["a group that she leaves"]
	for name, knows := range map[string]func(r *rig, eve *device, log string){
		"refused": func(r *rig, eve *device, log string) {
			eve.difference(log, 1, 1, 0)
			way.regain(r, log)
		},
		"refused to attach": func(r *rig, eve *device, log string) {
			eve.attach(none(log))
			way.regain(r, log)
		},
		"detached": func(r *rig, eve *device, log string) {
			eve.ask(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Detach{Detach: &chatv1.DetachRequest{Logs: []string{log}}}})
			way.regain(r, log)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(r *rig) {
				log := r.stores.create("ann", way.kind)
				way.prepare(r, log)
				r.signIn("ann", none(log))
				eve, _ := r.signIn("eve", none(log))
				way.lose(r, log)
				wantSentAway(t, eve, log)
				knows(r, eve, log)
				synctest.Wait()
				if d := eve.difference(log, 1, 1, 0).GetDifference(); d == nil {
					t.Fatal("no difference for who is back")
				}
				before := len(eve.positions(log))
				r.stores.post("ann", log, 1)
				synctest.Wait()
				if got := eve.positions(log)[before:]; len(got) != 0 {
					t.Errorf("she was pushed %v", got)
				}
				wantState(t, "attached anew", eve.attach(none(log))[0], live, 0)
			})
		})
	}
}

// A log from which a session was sent away keeps its place among those that it may have attached.
func TestWhoComesBackFindsRoom(t *testing.T) {
	way := ways["a group that she leaves"]
	inBubble(t, func(c *shard.Config) { c.MaxAttachedLogs = 2 }, func(r *rig) {
		log, other, third := r.stores.create("ann", group), r.stores.create("ann", channel), r.stores.create("ann", channel)
		way.prepare(r, log)
		r.signIn("ann", none(log))
		eve, _ := r.signIn("eve", none(log), none(other))
		way.lose(r, log)
		wantSentAway(t, eve, log)
		wantState(t, "a third log", eve.attach(none(third))[0], refused, chatv1.Error_CODE_TOO_MANY)
		way.regain(r, log)
		synctest.Wait()
		if d := eve.difference(log, 1, 1, 0).GetDifference(); d == nil {
			t.Error("no difference for who is back")
		}
		before := len(eve.positions(log))
		r.stores.post("ann", log, 1)
		synctest.Wait()
		if got := eve.positions(log)[before:]; len(got) != 1 {
			t.Errorf("she was pushed %v", got)
		}
	})
}
