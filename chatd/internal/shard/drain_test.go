package shard_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

func begin(r *rig, o shard.DrainOrder) shard.Drain {
	r.t.Helper()
	d, err := r.shard.BeginDrain(o)
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

func reverse(r *rig) shard.Drain {
	r.t.Helper()
	d, err := r.shard.ReverseDrain()
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

// gone counts the devices whose session has ended, and fails for each that ended in another way than by the hint.
func gone(t *testing.T, devices []*device) (n int) {
	t.Helper()
	for i, d := range devices {
		select {
		case <-d.done:
			n++
			if last := d.last(); d.closeCode() != engine.CloseComeBack || last.GetComeBack().GetAfterMs() == 0 {
				t.Errorf("session %d was closed with %d after %v", i, d.closeCode(), last)
			}
		default:
		}
	}
	return n
}

func TestDrain(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		log := r.stores.create("ann", channel)
		readers := r.readers(100, log)
		author, _ := r.signIn("ann")
		r.stores.set(func(s *stores) { s.delay = 1500 * time.Millisecond })
		posted := author.begin(postOf(log, 1, "the last one"))
		began := time.Now()
		drained := make(chan shard.Drain, 1)
		go func() {
			drained <- r.shard.Depart(context.Background(), shard.DrainOrder{PerSecond: 50, Timeout: time.Minute})
		}()
		time.Sleep(time.Second)
		if n := gone(t, readers); n < 30 || n > 60 {
			t.Errorf("%d sessions have gone after a second, at 50 a second", n)
		}
		if r.shard.Accepting().GetCode() != chatv1.Error_CODE_DRAINING {
			t.Error("new sessions are taken")
		}
		late := r.connect(engine.JSON)
		if got := late.ask(signInOf(r, "eve")); got.GetComeBack() == nil {
			t.Errorf("a new session was answered %v", got)
		}
		result := <-drained
		if result.Told != 101 || result.Sessions != 0 || time.Since(began) > 6*time.Second {
			t.Errorf("drained: %+v", result)
		}
		if n := gone(t, append(readers, author)); n != 101 {
			t.Errorf("%d sessions have ended, want all", n)
		}
		if got := (<-posted).GetPosted(); got.GetPts() != 2 {
			t.Errorf("the post in flight was answered %v", got)
		}
	})
}

func signInOf(r *rig, user string) *chatv1.ClientFrame {
	return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_SignIn{SignIn: &chatv1.SignInRequest{Token: r.token(user), Device: "d"}}}
}

// When a drain's time is up, or it has no time left, whoever is left is told at once: nobody is cut without a word. The hint is so much
// longer, so that they do not come back all at once.
func TestADrainWhoseTimeIsUpTellsAllThatAreLeft(t *testing.T) {
	for name, drain := range map[string]func(*rig) shard.Drain{
		"timeout": func(r *rig) shard.Drain {
			return r.shard.Depart(context.Background(), shard.DrainOrder{PerSecond: 1, Timeout: 3 * time.Second})
		},
		"hurry": func(r *rig) shard.Drain {
			ctx, cancel := contextWithin(3 * time.Second)
			defer cancel()
			return r.shard.Depart(ctx, shard.DrainOrder{PerSecond: 1, Timeout: time.Hour})
		},
		"timeout of a drain on the admin port": func(r *rig) shard.Drain {
			begin(r, shard.DrainOrder{PerSecond: 1, Timeout: 3 * time.Second})
			time.Sleep(2 * time.Second)
			begin(r, shard.DrainOrder{PerSecond: 1, Timeout: 3 * time.Second}) // which gives it no more time
			time.Sleep(2 * time.Second)
			return r.shard.Draining()
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(r *rig) {
				readers := r.readers(20, r.stores.create("ann", channel))
				began := time.Now()
				if got := drain(r); got.Told != 20 || time.Since(began) > 5*time.Second {
					t.Errorf("drained after %v: %+v", time.Since(began), got)
				}
				synctest.Wait()
				if n := gone(t, readers); n != 20 {
					t.Fatalf("%d sessions were told, want all", n)
				}
				spread := 0
				for _, d := range readers {
					if d.last().GetComeBack().GetAfterMs() > 10_000 {
						spread++
					}
				}
				if spread < 15 {
					t.Errorf("%d were told to take their time, want those of the end", spread)
				}
			})
		})
	}
}

func TestAReversedDrainTakesSessionsAgain(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		log := r.stores.create("ann", channel)
		readers := r.readers(100, log)
		begin(r, shard.DrainOrder{PerSecond: 10})
		time.Sleep(2 * time.Second)
		if got := reverse(r); got.State != shard.DrainReversed || got.Told < 15 || got.Told > 21 {
			t.Errorf("reversed: %+v", got)
		}
		time.Sleep(10 * time.Second)
		left := 100 - gone(t, readers)
		if told := reverse(r).Told; left != 100-told || r.shard.Sessions() != left {
			t.Errorf("%d sessions are left of 100, %d held, %d told", left, r.shard.Sessions(), told)
		}
		if flt := r.shard.Accepting(); flt != nil {
			t.Errorf("no sessions are taken: %v", flt)
		}
		late, _ := r.signIn("eve", none(log))
		r.stores.post("ann", log, 1)
		if got := late.positions(log); len(got) != 1 {
			t.Errorf("who came after the reversal was pushed %v", got)
		}
		// And again, to its end.
		begin(r, shard.DrainOrder{PerSecond: 1000, Hint: time.Minute})
		if flt := r.shard.Accepting(); flt.GetRetryAfterMs() != 60_000 {
			t.Errorf("where all are to stay away for a minute, who comes is told %v", flt)
		}
		time.Sleep(5 * time.Second)
		if got := r.shard.Draining(); got.State != shard.DrainDone || got.Sessions != 0 || got.Told != left+1 {
			t.Errorf("the second drain: %+v", got)
		}
		if r.shard.Accepting() == nil {
			t.Error("a shard that is drained takes sessions")
		}
		reverse(r)
		r.signIn("eve", none(log))
	})
}

func TestShed(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		readers := r.readers(60, r.stores.create("ann", channel))
		begin(r, shard.DrainOrder{Shed: true, Keep: 40, PerSecond: 10, Reason: "evening out"})
		if flt := r.shard.Accepting(); flt == nil || flt.RetryAfterMs > 500 {
			t.Errorf("before enough have left, who comes is told %v", flt)
		}
		time.Sleep(2500 * time.Millisecond)
		if got := r.shard.Draining(); got.State != shard.DrainUnderWay || got.Told != 20 || got.Sessions != 40 || r.shard.Accepting() == nil {
			t.Errorf("when enough have left, and the last of them have not yet found another place: %+v", got)
		}
		time.Sleep(7500 * time.Millisecond)
		if got := r.shard.Draining(); got.State != shard.DrainDone || got.Told != 20 || got.Sessions != 40 {
			t.Errorf("shed: %+v", got)
		}
		if n := gone(t, readers); n != 20 {
			t.Errorf("%d sessions have left, want 20", n)
		}
		if flt := r.shard.Accepting(); flt != nil {
			t.Errorf("no sessions are taken afterwards: %v", flt)
		}
		// One that is there already.
		if begin(r, shard.DrainOrder{Shed: true, Keep: 50, PerSecond: 10}); r.shard.Sessions() != 40 {
			t.Error("a shed to more than there are sends somebody away")
		}
		time.Sleep(time.Second)
		// One that has not the time.
		begin(r, shard.DrainOrder{Shed: true, PerSecond: 2, Timeout: 5 * time.Second})
		time.Sleep(12 * time.Second)
		if got := r.shard.Draining(); got.State != shard.DrainTimedOut || got.Sessions < 29 || got.Sessions > 32 || r.shard.Accepting() != nil {
			t.Errorf("a shed whose time was over: %+v", got)
		}
	})
}

func TestDrainOrdersThatAreRefused(t *testing.T) {
	for want, o := range map[string]shard.DrainOrder{
		"pace of 0":                 {},
		"pace of -1":                {PerSecond: -1},
		"want 1 to 100000":          {PerSecond: 100_001},
		"come back after 10m0.001s": {PerSecond: 1, Hint: 10*time.Minute + time.Millisecond},
		"timeout of -1s":            {PerSecond: 1, Timeout: -time.Second},
		"want at most 24h":          {PerSecond: 1, Timeout: 25 * time.Hour},
		"want at most 200":          {PerSecond: 1, Reason: strings.Repeat("x", 201)},
		"not UTF-8":                 {PerSecond: 1, Reason: "\xff"},
		"-1 sessions to be left":    {PerSecond: 1, Shed: true, Keep: -1},
	} {
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
	inBubble(t, nil, func(r *rig) {
		begin(r, shard.DrainOrder{PerSecond: 1})
		if _, err := r.shard.BeginDrain(shard.DrainOrder{Shed: true, PerSecond: 1}); !errors.Is(err, shard.ErrDraining) {
			t.Errorf("a shed of a shard that is leaving: %v", err)
		}
		r.shard.Depart(context.Background(), shard.DrainOrder{PerSecond: 1, Timeout: time.Second})
		if _, err := r.shard.BeginDrain(shard.DrainOrder{Shed: true, PerSecond: 1}); !errors.Is(err, shard.ErrStopping) {
			t.Errorf("a shed of a process that stops: %v", err)
		}
		if _, err := r.shard.ReverseDrain(); !errors.Is(err, shard.ErrStopping) {
			t.Errorf("a reversal in a process that stops: %v", err)
		}
	})
}

func TestSIGTERMGoesOnWithADrain(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		readers := r.readers(50, r.stores.create("ann", channel))
		begin(r, shard.DrainOrder{PerSecond: 10, Reason: "the operator's"})
		time.Sleep(time.Second)
		began := time.Now()
		got := r.shard.Depart(context.Background(), shard.DrainOrder{PerSecond: 1000, Timeout: time.Minute})
		if took := time.Since(began); got.Told != 50 || !got.Stopping || took < 3500*time.Millisecond || took > 5*time.Second {
			t.Errorf("left after %v: %+v", took, got)
		}
		if reason := readers[0].last().GetComeBack().GetReason(); gone(t, readers) != 50 || reason != "the operator's" {
			t.Errorf("the reason told was %q", reason)
		}
	})
}

// Whatever an operator does and whenever: nobody leaves without the hint, nobody who has not been told leaves, no second sees more leave
// than the pace in force (but for a drain whose time is up), repeats change nothing, and the shard ends as the last word has it.
func TestDrainProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		inBubble(t, nil, func(r *rig) {
			log := r.stores.create("ann", channel)
			devices := r.readers(rapid.IntRange(0, 60).Draw(rt, "sessions"), log)
			orders := rapid.Custom(func(rt *rapid.T) shard.DrainOrder {
				o := shard.DrainOrder{PerSecond: rapid.IntRange(5, 40).Draw(rt, "pace"), Shed: rapid.Bool().Draw(rt, "shed")}
				if o.Shed {
					o.Keep = rapid.IntRange(0, 60).Draw(rt, "keep")
				}
				return o
			})
			pace := 0
			for range rapid.IntRange(1, 8).Draw(rt, "steps") {
				switch rapid.IntRange(0, 3).Draw(rt, "step") {
				case 0, 1:
					o := orders.Draw(rt, "order")
					was := r.shard.Draining()
					first, err := r.shard.BeginDrain(o)
					if err != nil {
						if !errors.Is(err, shard.ErrDraining) || was.Order.Shed {
							t.Fatalf("%+v after %+v: %v", o, was, err)
						}
						break
					}
					again, err := r.shard.BeginDrain(o)
					if err != nil || again != first {
						t.Errorf("%+v is %+v, and again %+v (%v)", o, first, again, err)
					}
				case 2:
					if reverse(r); reverse(r) != r.shard.Draining() {
						t.Error("a second reversal changed something")
					}
					if r.shard.Accepting() != nil {
						t.Error("no sessions are taken after a reversal")
					}
				case 3:
					for range 5 {
						d := r.connect(engine.Protobuf)
						devices = append(devices, d)
						if got := d.ask(signInOf(r, "bob")); got.GetSignedIn() == nil && got.GetComeBack() == nil {
							t.Errorf("a new session was answered %v", got)
						}
					}
				}
				pace = max(pace, r.shard.Draining().Order.PerSecond)
				for range rapid.IntRange(0, 4).Draw(rt, "half seconds") {
					before := r.shard.Draining()
					time.Sleep(500 * time.Millisecond)
					synctest.Wait()
					after := r.shard.Draining()
					if most := float64(pace)*0.55 + 1; after.Began.Equal(before.Began) && float64(after.Told-before.Told) > most {
						t.Errorf("%d were told in half a second, at %d a second", after.Told-before.Told, pace)
					}
				}
			}
			last := r.shard.Draining()
			time.Sleep(40 * time.Second) // before silence ends sessions
			gone(t, devices)
			after := r.shard.Draining()
			switch {
			case last.State == shard.DrainUnderWay && after.State != shard.DrainDone:
				t.Errorf("a drain does not end: %+v", after)
			case last.State == shard.DrainUnderWay && last.Order.Shed && after.Told > last.Told && after.Sessions != last.Order.Keep:
				t.Errorf("too many, or too few, have left: %+v, then %+v", last, after)
			case last.State == shard.DrainUnderWay && last.Order.Shed && after.Sessions > last.Order.Keep:
				t.Errorf("not enough have left: %+v, then %+v", last, after)
			case after.State == shard.DrainDone && !after.Order.Shed && after.Sessions != 0:
				t.Errorf("%d sessions are left of a drain", after.Sessions)
			case last.State == shard.DrainReversed && r.shard.Accepting() != nil:
				t.Error("no sessions are taken")
			}
		})
	})
}
