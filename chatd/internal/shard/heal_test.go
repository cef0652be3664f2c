package shard_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

func TestALostPushIsHealedByOneFetch(t *testing.T) {
	const sessions = 30
	for name, c := range map[string]struct {
		reason string
		within time.Duration
		heal   func(r *rig, log string)
		want   []int
	}{
		"by the next event": {"gap", 0, func(r *rig, log string) { r.stores.post("ann", log, 1) }, []int{2, 3, 4}},
		"by a digest":       {"digest", 0, func(r *rig, _ string) { r.stores.digest(nil) }, []int{2, 3}},
		"by the number of the digest after a lost one": {"digest", 0, func(r *rig, _ string) {
			r.stores.digest(func(int) bool { return true })
			r.stores.digest(nil)
		}, []int{2, 3}},
		"by a new term": {"digest", 0, func(r *rig, _ string) {
			r.stores.newTerm()
			r.stores.digest(nil)
		}, []int{2, 3}},
		"by silence": {"digest", 3 * time.Second, func(*rig, string) {}, []int{2, 3}},
		"by a new link": {"reconnect", 0, func(r *rig, _ string) {
			r.stores.sent <- func(sh *shard.Shard) { sh.Relinked() }
		}, []int{2, 3}},
		"by a new link while no owner answers": {"reconnect", 40 * time.Second, func(r *rig, _ string) {
			r.stores.set(func(s *stores) { s.down = true })
			r.stores.sent <- func(sh *shard.Shard) { sh.Relinked() }
			time.Sleep(35 * time.Second)
			r.stores.set(func(s *stores) { s.down = false })
		}, []int{2, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(r *rig) {
				log := r.stores.create("ann", channel)
				r.stores.digest(nil)
				readers := r.readers(sessions, log)
				r.stores.digest(nil) // the shard has heard of every owner
				synctest.Wait()
				before := r.stores.asked("fetch")
				r.stores.set(func(s *stores) {
					s.fate = func(_ string, pts uint64) fate {
						if pts == 3 {
							return lose
						}
						return arrive
					}
				})
				r.stores.post("ann", log, 2)
				wantPushed(t, "the loss", readers, log, []int{2})
				c.heal(r, log)
				time.Sleep(c.within)
				wantPushed(t, "healed", readers, log, c.want)
				if got := r.stores.asked("fetch") - before; got != 1 {
					t.Errorf("%d fetches, want one for all %d sessions", got, sessions)
				}
				if got := r.fetches(c.reason); got != 1 {
					t.Errorf("%d fetches counted by reason %q, want 1", got, c.reason)
				}
			})
		})
	}
}

func TestPushesThatComeTwiceOrLateAreInOrder(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		log := r.stores.create("ann", channel)
		readers := r.readers(2, log)
		r.stores.set(func(s *stores) {
			s.fate = func(_ string, pts uint64) fate { return []fate{arrive, double, late}[pts%3] }
		})
		r.stores.post("ann", log, 30)
		r.stores.digest(nil)
		wantPushed(t, "after all", readers, log, upTo(2, 31))
	})
}

func TestEventsWaitForTheOnesBeforeThem(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		log := r.stores.create("ann", channel)
		readers := r.readers(3, log)
		r.stores.set(func(s *stores) {
			s.delay = time.Second
			s.fate = func(_ string, pts uint64) fate {
				if pts == 2 {
					return lose
				}
				return arrive
			}
		})
		before := r.stores.asked("fetch")
		for range 50 {
			r.stores.post("ann", log, 1)
			time.Sleep(10 * time.Millisecond)
		}
		wantPushed(t, "before the answer", readers, log, nil)
		time.Sleep(5 * time.Second)
		wantPushed(t, "after it", readers, log, upTo(2, 51))
		if got := r.stores.asked("fetch") - before; got != 1 {
			t.Errorf("%d fetches, want 1", got)
		}
	})
}

func TestAGapTooLongIsSaid(t *testing.T) {
	inBubble(t, func(c *shard.Config) { c.RingEvents, c.HealEvents = 100, 20 }, func(r *rig) {
		log := r.stores.create("ann", channel)
		readers := r.readers(3, log)
		losing := func(s *stores) { s.fate = func(string, uint64) fate { return lose } }
		r.stores.set(losing)
		r.stores.post("ann", log, 20)
		r.stores.digest(nil)
		wantPushed(t, "a gap that can be healed", readers, log, upTo(2, 21))
		r.stores.post("ann", log, 21)
		r.stores.digest(nil)
		wantPushed(t, "one that cannot", readers, log, append(upTo(2, 21), -42))
		r.stores.set(func(s *stores) { s.fate = nil })
		r.stores.post("ann", log, 1)
		wantPushed(t, "the next event", readers, log, append(upTo(2, 21), -42, 43))
		diff := readers[0].difference(log, 1, 21, 0).GetDifference()
		if diff.GetKind() != chatv1.DifferenceResponse_KIND_FINAL || len(diff.GetEvents()) != 22 || diff.GetCursor().GetPts() != 43 {
			t.Errorf("the difference is %v with %d events up to %d", diff.GetKind(), len(diff.GetEvents()), diff.GetCursor().GetPts())
		}
	})
}

func TestAGapIsFetchedInPieces(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		log := r.stores.create("ann", channel)
		readers := r.readers(2, log)
		r.stores.set(func(s *stores) {
			s.limit = 7
			s.fate = func(string, uint64) fate { return lose }
		})
		r.stores.post("ann", log, 30)
		r.stores.digest(nil)
		wantPushed(t, "healed", readers, log, upTo(2, 31))
	})
}

func TestAnotherEpochReplacesHistory(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		log := r.stores.create("ann", channel)
		r.stores.post("ann", log, 9)
		r.stores.digest(nil)
		readers := r.readers(3, log)
		r.stores.set(func(s *stores) { s.restore(4) })
		r.stores.newTerm()
		r.stores.digest(nil)
		wantPushed(t, "restored", readers, log, []int{-4})
		r.stores.post("ann", log, 1)
		wantPushed(t, "and gone on", readers, log, []int{-4, 5})
		diff := readers[0].difference(log, 1, 10, 0).GetDifference()
		if diff.GetKind() != chatv1.DifferenceResponse_KIND_TOO_LONG || diff.GetCursor().GetEpoch() != 2 || diff.GetCursor().GetPts() != 5 ||
			len(diff.GetEvents()) != 5 || diff.GetInfo().GetTitle() != "test" {
			t.Errorf("the difference is %v", diff)
		}
		states := readers[0].attach(at(log, 1, 10))
		if s := states[0]; s.GetStatus() != chatv1.LogState_STATUS_BEHIND || s.GetEpoch() != 2 || s.GetPts() != 5 {
			t.Errorf("attached as %v", s)
		}
	})
}

func TestWhatHappensWhileALogIsOpenedIsNotForgotten(t *testing.T) {
	losing := func(string, uint64) fate { return lose }
	for name, c := range map[string]struct {
		happens func(r *rig, log string)
		state   *chatv1.LogState
		pushed  []int
	}{
		"a digest": {func(r *rig, log string) {
			r.stores.set(func(s *stores) { s.fate = losing })
			r.stores.post("ann", log, 2)
			r.stores.digest(nil)
		}, &chatv1.LogState{Epoch: 1, Pts: 5, Status: live}, []int{6, 7}},
		"live events": {func(r *rig, log string) { r.stores.post("ann", log, 2) },
			&chatv1.LogState{Epoch: 1, Pts: 5, Status: live}, []int{6, 7}},
		"another epoch": {func(r *rig, log string) {
			r.stores.set(func(s *stores) { s.restore(2) })
			r.stores.newTerm()
			r.stores.digest(nil)
		}, &chatv1.LogState{Epoch: 2, Pts: 2, Status: chatv1.LogState_STATUS_BEHIND}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(r *rig) {
				log := r.stores.create("ann", channel)
				r.stores.post("ann", log, 4)
				r.stores.digest(nil)
				synctest.Wait() // a digest that is read only now would be of before what happens
				d, _ := r.signIn("bob")
				r.stores.set(func(s *stores) { s.back = time.Second })
				answer := d.begin(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Attach{Attach: &chatv1.AttachRequest{Cursors: []*chatv1.Cursor{at(log, 1, 5)}}}})
				time.Sleep(500 * time.Millisecond)
				r.stores.set(func(s *stores) { s.back = 0 })
				c.happens(r, log)
				state := (<-answer).GetAttached().GetLogs()[0]
				if state.GetEpoch() != c.state.Epoch || state.GetPts() != c.state.Pts || state.GetStatus() != c.state.Status {
					t.Errorf("attached as %v, want %v", state, c.state)
				}
				wantPushed(t, "then", []*device{d}, log, c.pushed)
			})
		})
	}
}

func TestADigestDuringAFetchIsNotForgotten(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		log := r.stores.create("ann", channel)
		readers := r.readers(2, log)
		r.stores.digest(nil)
		r.stores.set(func(s *stores) {
			s.back = time.Second
			s.fate = func(string, uint64) fate { return lose }
		})
		r.stores.post("ann", log, 1)
		r.stores.digest(nil)
		time.Sleep(500 * time.Millisecond)
		r.stores.set(func(s *stores) { s.back = 0 })
		r.stores.post("ann", log, 1)
		r.stores.digest(nil)
		time.Sleep(time.Second)
		wantPushed(t, "both", readers, log, []int{2, 3})
	})
}

func TestHeldEventsEndWithTheirEpoch(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		log := r.stores.create("ann", channel)
		readers := r.readers(2, log)
		r.stores.set(func(s *stores) {
			s.fate = func(_ string, pts uint64) fate {
				if pts == 2 {
					return lose
				}
				return arrive
			}
		})
		r.stores.set(func(s *stores) { s.delay = time.Second }) // so that the gap stays for a while
		r.stores.post("ann", log, 2)
		synctest.Wait()
		r.stores.set(func(s *stores) { s.restore(1); s.fate, s.delay = nil, 0 })
		r.stores.newTerm()
		r.stores.digest(nil)
		time.Sleep(5 * time.Second)
		r.stores.post("ann", log, 1)
		wantPushed(t, "the new history", readers, log, []int{-1, 2})
		r.stores.post("ann", log, 1)
		wantPushed(t, "the new history", readers, log, []int{-1, 2, 3})
	})
}

// A shard that cannot learn in time whether the log goes as far as a session has it does not attach the session further below: it would be brought what it has.
func TestASessionIsNotBroughtWhatItHas(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		log := r.stores.create("ann", channel)
		r.readers(1, log)
		r.stores.set(func(s *stores) { s.fate = func(string, uint64) fate { return lose } })
		r.stores.post("ann", log, 3) // which another shard has brought to the session
		r.stores.set(func(s *stores) { s.down = true })
		d, _ := r.signIn("bob")
		if state := d.attach(at(log, 1, 4))[0]; state.GetStatus() != chatv1.LogState_STATUS_REFUSED || state.GetError().GetCode() != chatv1.Error_CODE_UNAVAILABLE ||
			state.GetError().GetRetryAfterMs() == 0 {
			t.Errorf("attached as %v while no owner answers", state)
		}
		r.stores.set(func(s *stores) { s.down, s.fate = false, nil })
		time.Sleep(10 * time.Second)
		if state := d.attach(at(log, 1, 4))[0]; state.GetStatus() != live || state.GetPts() != 4 {
			t.Errorf("attached as %v once they do", state)
		}
		r.stores.post("ann", log, 1)
		wantPushed(t, "then", []*device{d}, log, []int{5})
	})
}
