package live

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/model"
	"github.com/chatfleet/chatfleet/simulator/internal/swarm"
)

// A wall clock that is set is noticed, one that is slewed is not.
func TestClockWatch(t *testing.T) {
	for name, c := range map[string]struct {
		wall func(passed time.Duration) time.Duration
		want time.Duration
	}{
		"steady":  {func(d time.Duration) time.Duration { return d }, 0},
		"slewed":  {func(d time.Duration) time.Duration { return d + d/2000 }, 0},
		"forward": {func(d time.Duration) time.Duration { return d + after(d, 3*time.Second, 40*time.Millisecond) }, 40 * time.Millisecond},
		"back":    {func(d time.Duration) time.Duration { return d - after(d, 3*time.Second, time.Hour) }, -time.Hour},
		"and again": {func(d time.Duration) time.Duration {
			return d + after(d, time.Second, 7*time.Millisecond) + after(d, 2*time.Second, -9*time.Millisecond)
		}, -9 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			w := clockWatch{
				wall: func() time.Time { return began.Add(c.wall(time.Since(began))) },
				mono: func() int64 { return int64(time.Since(began)) },
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			w.run(ctx)
			if got := w.largest(); got.Round(time.Millisecond) != c.want {
				t.Errorf("%s: %s, want %s", name, got, c.want)
			}
		})
	}
}

func after(passed, moment, jump time.Duration) time.Duration {
	if passed < moment {
		return 0
	}
	return jump
}

// In time that stands still while work is done nothing is ever late.
func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		h := probe(ctx, func() int64 { return int64(time.Since(began)) })
		if h.Count() < int64(time.Second/probeEvery)-10 || h.Max() > 0 {
			t.Errorf("%d looks, the latest by %s", h.Count(), h.Max())
		}
	})
}

func TestTimeLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := progress{plan: []planned{{"a", 10 * time.Second}, {"b", 20 * time.Second}, {"c", 5 * time.Second}}, since: time.Now()}
		expect := func(want time.Duration) {
			t.Helper()
			if got := p.left(); got != want {
				t.Errorf("%s left, want %s", got, want)
			}
		}
		expect(35 * time.Second)
		time.Sleep(4 * time.Second)
		expect(31 * time.Second)
		time.Sleep(40 * time.Second) // later than planned: what follows still takes its time
		expect(25 * time.Second)
		p.enter("b")
		time.Sleep(time.Second)
		expect(24 * time.Second)
		p.enter("c")
		expect(5 * time.Second)
	})
}

// What is modelled pings as often as what is played.
func TestTheModelPingsAsTheSwarmDoes(t *testing.T) {
	if played := swarm.DefaultBehaviour().PingEvery; played != model.PingEvery {
		t.Errorf("a session of the swarm pings every %s, one of the model every %s", played, model.PingEvery)
	}
}
