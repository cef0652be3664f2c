package shard_test

import (
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/clock"
	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	"github.com/chatfleet/chatfleet/chatd/internal/token"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// bySetClock has a shard, its tokens and its resume tokens go by a clock that the test sets.
func bySetClock(t *testing.T, change func(*shard.Config), test func(*rig, *clock.Clock)) {
	var wall *clock.Clock
	inBubble(t, func(c *shard.Config) {
		wall = clock.New()
		c.Now = wall.Now
		r, err := token.NewResumer(token.FixedSeal([]byte("sixteen bytes at least")), "test", wall.Now)
		if err != nil {
			t.Fatal(err)
		}
		c.Resume = r
		if change != nil {
			change(c)
		}
	}, func(r *rig) { test(r, wall) })
}

var hourSteps = map[string]time.Duration{"an hour forward": time.Hour, "an hour back": -time.Hour}

// A session ends when its token's time has passed, as its device was told; no sooner and no later, whatever the clock shows. What waits
// for silence hears none.
func TestSessionsOutliveAStepOfTheClock(t *testing.T) {
	for name, step := range hourSteps {
		t.Run(name, func(t *testing.T) {
			bySetClock(t, nil, func(r *rig, wall *clock.Clock) {
				log := r.stores.create("ann", channel)
				d, hello := r.signIn("ann", none(log))
				end := time.UnixMilli(hello.GetExpiresMs())
				fetches := r.metric("chatd_fetches_total")
				wall.Step(step)
				if shows := time.UnixMilli(d.ask(pingOf(1)).GetPong().GetServerTimeMs()); time.Until(shows).Round(time.Minute) != step {
					t.Errorf("a pong says it is %v from now", time.Until(shows))
				}
				d.stay(10 * time.Second)
				if more := r.metric("chatd_fetches_total") - fetches; more != 0 {
					t.Errorf("%v fetches, since the owners seemed to be silent", more)
				}
				d.stay(time.Until(end) - 2*time.Second)
				if ended(d) {
					t.Fatal("the session has ended before its time")
				}
				time.Sleep(4 * time.Second)
				if !ended(d) {
					t.Error("the session lasts longer than its token")
				}
			})
		})
	}
}

// What is used up is there again after the same time.
func TestRatesOutliveAStepOfTheClock(t *testing.T) {
	for name, step := range hourSteps {
		t.Run(name, func(t *testing.T) {
			few := func(c *shard.Config) {
				c.RequestsPerSecond, c.RequestBurst, c.UserRequestsPerSecond, c.UserRequestBurst = 1, 3, 1, 3
			}
			bySetClock(t, few, func(r *rig, wall *clock.Clock) {
				d, _ := r.signIn("ann")
				use := func() (refused int) {
					for range 10 {
						if d.ask(renewOf("")).GetError().GetCode() == chatv1.Error_CODE_TOO_MANY {
							refused++
						}
					}
					return refused
				}
				if n := use(); n != 7 {
					t.Fatalf("%d of 10 requests are too many, want 7", n)
				}
				wall.Step(step)
				if n := use(); n < 9 {
					t.Errorf("%d of 10 requests are too many just after the step, want 9 or all", n)
				}
				time.Sleep(3 * time.Second)
				if n := use(); n < 7 || n > 8 {
					t.Errorf("%d of 10 requests are too many 3 s after the step, want 7", n)
				}
			})
		})
	}
}

// A drain keeps its pace.
func TestADrainOutlivesAStepOfTheClock(t *testing.T) {
	for name, step := range hourSteps {
		t.Run(name, func(t *testing.T) {
			bySetClock(t, nil, func(r *rig, wall *clock.Clock) {
				for range 20 {
					r.signIn("ann")
				}
				if _, err := r.shard.BeginDrain(shard.DrainOrder{PerSecond: 2, Timeout: time.Minute}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				wall.Step(step)
				time.Sleep(2 * time.Second)
				if told := r.shard.Draining().Told; told < 4 || told > 8 {
					t.Errorf("%d sessions have been told to leave in 3 s, at a pace of 2 a second", told)
				}
			})
		})
	}
}

// What is judged by a token's own times is judged by the clock, wrong as it is; once it is right, all are let in again.
func TestSignInsAfterAStepOfTheClock(t *testing.T) {
	bySetClock(t, nil, func(r *rig, wall *clock.Clock) {
		_, hello := r.signIn("ann")
		refused := 0
		resume, raw := hello.GetResume().GetToken(), r.token("ann")
		for _, c := range []struct {
			name        string
			step        time.Duration
			raw, resume string
			refused     chatv1.Error_Code
		}{
			{"a token that seems to be over", 2 * time.Hour, raw, "", chatv1.Error_CODE_TOKEN_EXPIRED},
			{"a resume token that seems to be over", time.Hour / 2, "", resume, chatv1.Error_CODE_TOKEN_EXPIRED},
			{"the token beside it is still good", time.Hour / 2, raw, resume, 0},
			{"a token that seems not to be made yet", -time.Hour, raw, "", chatv1.Error_CODE_UNAUTHENTICATED},
			{"a resume token of the future", -time.Hour, "", resume, chatv1.Error_CODE_UNAUTHENTICATED},
		} {
			wall.Step(c.step)
			if got := r.connect(engine.JSON).ask(signInBy(c.raw, c.resume, "phone")).GetError().GetCode(); got != c.refused {
				t.Errorf("%s: %v, want %v", c.name, got, c.refused)
			}
			if c.refused != 0 {
				refused++
			}
			wall.Step(-c.step)
			if got := r.connect(engine.JSON).ask(signInBy(c.raw, c.resume, "phone")); got.GetSignedIn() == nil {
				t.Errorf("%s, and the clock is right again: %v", c.name, got)
			}
		}
		if n := r.metric("chatd_sign_ins_refused_total"); int(n) != refused {
			t.Errorf("%v sign-ins are counted as refused, want %d", n, refused)
		}
	})
}
