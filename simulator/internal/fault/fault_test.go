package fault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/fleet"
)

// fake is a fleet that writes down what is done to it. Who leads moves on with each store that is hit.
type fake struct {
	mu     sync.Mutex
	began  time.Time
	did    []string
	roles  fleet.Roles
	down   map[string]bool
	breaks map[string]error // by op and name
	// How long a process takes to be ready.
	readyAfter time.Duration
}

func newFake() *fake {
	return &fake{
		began: time.Now(), down: map[string]bool{}, breaks: map[string]error{}, readyAfter: 500 * time.Millisecond,
		roles: fleet.Roles{Led: map[string]int{"store-0": 5, "store-1": 6, "store-2": 5}, MetaLeader: "store-2"},
	}
}

func (f *fake) Names() (stores, shards []string) {
	return []string{"store-0", "store-1", "store-2"}, []string{"shard-0", "shard-1"}
}

func (f *fake) Roles(context.Context) (fleet.Roles, error) { return f.roles, nil }

func (f *fake) Do(_ context.Context, op Op, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did = append(f.did, fmt.Sprintf("%s %s %s", time.Since(f.began), op, name))
	f.down[name] = op == Kill || op == Terminate || op == Stop
	return f.breaks[string(op)+" "+name]
}

func (f *fake) SetClock(_ context.Context, name string, offset time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	op := fmt.Sprintf("clock %s %s", offset, name)
	f.did = append(f.did, fmt.Sprintf("%s %s", time.Since(f.began), op))
	return f.breaks[op]
}

func (f *fake) Ready(ctx context.Context, within time.Duration, names ...string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range names {
		if f.down[name] {
			time.Sleep(within)
			return errors.New(name + " is not ready")
		}
	}
	if len(names) <= 3 { // After a fault; before one, more are asked for, and are ready.
		time.Sleep(f.readyAfter)
	}
	return ctx.Err()
}

// carryOut runs the faults on the fake by its clock, in which nothing takes time but what waits.
func (f *fake) carryOut(ctx context.Context, faults ...v1alpha1.Fault) []Record {
	return Run(ctx, Config{
		Fleet: f, Moments: Moments(faults), StartNs: 1000,
		Clock: func() int64 { return 1000 + int64(time.Since(f.began)) },
	})
}

func seconds(s float64) v1alpha1.Duration { return v1alpha1.Duration(s * float64(time.Second)) }

func schedule(at, every float64, count int) v1alpha1.Schedule {
	return v1alpha1.Schedule{At: seconds(at), Every: seconds(every), Count: count}
}

func TestKillRotatesAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		records := f.carryOut(t.Context(), v1alpha1.Fault{
			Schedule: schedule(4, 8, 3), Action: v1alpha1.Kill, Target: v1alpha1.StoreLeading, RestartAfter: seconds(2),
		})
		want := []string{
			"4s kill store-1", "6s start store-1", // the one that leads most, then those that were not hit
			"12s kill store-0", "14s start store-0",
			"20s kill store-2", "22s start store-2",
		}
		if !slices.Equal(f.did, want) {
			t.Errorf("did %q\nwant %q", f.did, want)
		}
		r := records[0]
		if r.BeganNs != 1000+4e9 || r.BackNs != 1000+6.5e9 || r.Late != 0 || r.Err != nil {
			t.Errorf("record %+v", r)
		}
		if r.Role != "store, leads 6 of 16 partitions" || records[2].Role != "store, leads 5 of 16 partitions and the stores" {
			t.Errorf("roles %q, %q", r.Role, records[2].Role)
		}
	})
}

func TestTargets(t *testing.T) {
	for target, want := range map[v1alpha1.FaultTarget]string{
		v1alpha1.MetaLeader: "store-2",
		v1alpha1.AnyShard:   "shard-0 shard-1 shard-0",
		"store-0":           "store-0 store-0 store-0",
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			records := f.carryOut(t.Context(), v1alpha1.Fault{Schedule: schedule(0, 9, 3), Action: v1alpha1.Kill, Target: target, RestartAfter: seconds(1)})
			var hit []string
			for _, r := range records {
				hit = append(hit, r.Processes...)
			}
			if got := strings.Join(hit, " "); !strings.HasPrefix(got, want) {
				t.Errorf("%s hit %s, want %s", target, got, want)
			}
		})
	}
}

func TestAllStoresAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		records := f.carryOut(t.Context(), v1alpha1.Fault{Schedule: schedule(1, 0, 1), Action: v1alpha1.Kill, Target: v1alpha1.AllStores, RestartAfter: seconds(1)})
		slices.Sort(f.did)
		want := []string{"1s kill store-0", "1s kill store-1", "1s kill store-2", "2s start store-0", "2s start store-1", "2s start store-2"}
		if !slices.Equal(f.did, want) || records[0].Role != "3 stores" {
			t.Errorf("did %q as %q", f.did, records[0].Role)
		}
	})
}

func TestStopAndRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.carryOut(t.Context(),
			v1alpha1.Fault{Schedule: schedule(1, 0, 1), Action: v1alpha1.Stop, Target: "store-1", For: seconds(4)},
			v1alpha1.Fault{Schedule: schedule(9, 0, 1), Action: v1alpha1.Restart, Target: "shard-1"})
		want := []string{"1s stop store-1", "5s continue store-1", "9s terminate shard-1", "9s start shard-1"}
		if !slices.Equal(f.did, want) {
			t.Errorf("did %q\nwant %q", f.did, want)
		}
	})
}

// A process that is to stay dead is not waited for, and not hit again.
func TestKilledForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		records := f.carryOut(t.Context(),
			v1alpha1.Fault{Name: "for good", Schedule: schedule(1, 0, 1), Action: v1alpha1.Kill, Target: "shard-0"},
			v1alpha1.Fault{Schedule: schedule(2, 2, 2), Action: v1alpha1.Kill, Target: v1alpha1.AnyShard, RestartAfter: seconds(0.5)})
		want := []string{"1s kill shard-0", "2s kill shard-1", "2.5s start shard-1", "4s kill shard-1", "4.5s start shard-1"}
		if !slices.Equal(f.did, want) || records[0].BackNs != 0 {
			t.Errorf("did %q\nwant %q", f.did, want)
		}
	})
}

// A fleet that does not heal is not broken further, and the record says so.
func TestWaitsForAHealthyFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.breaks["start store-1"] = errors.New("no room")
		records := f.carryOut(t.Context(), v1alpha1.Fault{
			Schedule: schedule(1, 5, 2), Action: v1alpha1.Kill, Target: v1alpha1.StoreLeading, RestartAfter: seconds(1),
		})
		f.down["store-1"] = true
		if records[0].Err == nil || !strings.Contains(records[0].Err.Error(), "no room") || records[0].BeganNs == 0 {
			t.Errorf("first %+v", records[0])
		}
		f = newFake()
		f.down["shard-1"] = true
		records = f.carryOut(t.Context(), v1alpha1.Fault{Schedule: schedule(1, 0, 1), Action: v1alpha1.Kill, Target: "store-0", RestartAfter: seconds(1)})
		if r := records[0]; r.Err == nil || !strings.Contains(r.Err.Error(), "shard-1 is not ready") || r.BeganNs != 0 || len(f.did) > 0 {
			t.Errorf("record %+v, did %q", r, f.did)
		}
	})
}

// What is due while the one before is still being mended comes late, and says by how much.
func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.readyAfter = 10 * time.Second
		records := f.carryOut(t.Context(), v1alpha1.Fault{Schedule: schedule(1, 5, 2), Action: v1alpha1.Kill, Target: "store-0", RestartAfter: seconds(1)})
		if records[1].Late != 6*time.Second {
			t.Errorf("late by %s, want 6s", records[1].Late)
		}
	})
}

// When the run is ended, what stands still goes on and what is not due is not done.
func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		records := f.carryOut(ctx,
			v1alpha1.Fault{Schedule: schedule(1, 0, 1), Action: v1alpha1.Stop, Target: "store-1", For: seconds(4)},
			v1alpha1.Fault{Schedule: schedule(9, 0, 1), Action: v1alpha1.Kill, Target: "shard-1"})
		want := []string{"1s stop store-1", "3s continue store-1"}
		if !slices.Equal(f.did, want) || len(records) != 1 || records[0].Err == nil {
			t.Errorf("did %q, records %+v", f.did, records)
		}
	})
}

func TestUnknownProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.breaks["kill shard-9"] = errors.New("the local fleet has no shard-9")
		records := f.carryOut(t.Context(), v1alpha1.Fault{Schedule: schedule(1, 0, 1), Action: v1alpha1.Kill, Target: "shard-9"})
		if records[0].Err == nil {
			t.Error("no error")
		}
	})
}

// crowd loses sessions and has them back after a while.
type crowd struct {
	*fake
	back time.Duration
}

func (c crowd) Cut(_ context.Context, order int, share float64) (int64, error) {
	c.did = append(c.did, fmt.Sprintf("%s cut %d: %g", time.Since(c.began), order, share))
	return int64(1000 * share), nil
}

func (c crowd) Back(_ context.Context, within time.Duration) error {
	time.Sleep(min(c.back, within))
	if c.back > within {
		return errors.New("some are away")
	}
	return nil
}

// A cut needs no process, is over when all sessions are back, and says what that took.
func TestCut(t *testing.T) {
	for name, c := range map[string]struct {
		back time.Duration
		want time.Duration // 0: they are not all back, which is no reason not to have measured it
	}{"back": {2 * time.Second, 3 * time.Second}, "not all back": {time.Hour, 0}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				records := Run(t.Context(), Config{
					Sessions: crowd{f, c.back}, StartNs: 1000, Clock: func() int64 { return 1000 + int64(time.Since(f.began)) },
					// A quarter of a second in the second before, then half a second in each.
					Used:    func() time.Duration { return max(time.Since(f.began)/2-time.Second/4, time.Since(f.began)/4) },
					Moments: Moments([]v1alpha1.Fault{{Action: v1alpha1.Cut, Target: v1alpha1.Sessions, Share: 0.25, Schedule: schedule(1, 10, 1)}}),
				})
				r := records[0]
				if !slices.Equal(f.did, []string{"1s cut 1: 0.25"}) || r.Sessions != 250 || r.Err != nil || r.BeganNs != 1000+1e9 {
					t.Errorf("did %q, record %+v", f.did, r)
				}
				if c.want == 0 && r.BackNs != 0 || c.want > 0 && (r.BackNs != 1000+int64(c.want) || r.CPU != time.Second || r.CPUAnyway != time.Second/2) {
					t.Errorf("record %+v", r)
				}
			})
		})
	}
}

// longWay writes down when it was made longer.
type longWay struct {
	began time.Time
	did   []string
	err   error
}

func (w *longWay) Delay(fromNs, toNs int64, by, jitter time.Duration) (int64, error) {
	w.did = append(w.did, fmt.Sprintf("at %s from %s to %s by %s and %s", time.Since(w.began), time.Duration(fromNs-1000), time.Duration(toNs-1000), by, jitter))
	return 12, w.err
}

func (w *longWay) End() { w.did = append(w.did, fmt.Sprintf("ended at %s", time.Since(w.began))) }

// A delay is told of before it begins, lasts as long as it should, and ends with the run; what comes next waits for it.
func TestDelay(t *testing.T) {
	delay := v1alpha1.Fault{
		Schedule: schedule(1, 0, 1), Action: v1alpha1.Delay, Target: v1alpha1.Sessions, Share: 0.5, For: seconds(4), Delay: seconds(0.3), Jitter: seconds(0.2),
	}
	run := func(t *testing.T, ctx context.Context, w *longWay, faults ...v1alpha1.Fault) []Record {
		t.Helper()
		w.began = time.Now()
		return Run(ctx, Config{
			Fleet: newFake(), Network: w, Moments: Moments(faults), StartNs: 1000, Clock: func() int64 { return 1000 + int64(time.Since(w.began)) },
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := &longWay{}
		kill := v1alpha1.Fault{Schedule: schedule(2, 0, 1), Action: v1alpha1.Kill, Target: v1alpha1.AnyShard, RestartAfter: seconds(1)}
		records := run(t, t.Context(), w, delay, kill)
		if want := []string{"at 1s from 1.2s to 5.2s by 300ms and 200ms"}; !slices.Equal(w.did, want) {
			t.Errorf("did %q, want %q", w.did, want)
		}
		r := records[0]
		if r.BeganNs != 1000+1.2e9 || r.BackNs != 1000+5.2e9 || r.Err != nil || r.Sessions != 12 || r.Role != "12 sessions, by 300ms to 500ms" {
			t.Errorf("record %+v", r)
		}
		if records[1].Late != 3200*time.Millisecond {
			t.Errorf("the next is late by %s", records[1].Late)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := &longWay{}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		records := run(t, ctx, w, delay)
		if len(w.did) != 2 || w.did[1] != "ended at 3s" || records[0].Err == nil || records[0].BackNs != 0 {
			t.Errorf("did %q, record %+v", w.did, records[0])
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := &longWay{err: errors.New("a worker is gone")}
		records := run(t, t.Context(), w, delay)
		if len(w.did) != 2 || records[0].Err == nil || records[0].BeganNs != 0 {
			t.Errorf("did %q, record %+v", w.did, records[0])
		}
	})
}

// A clock is set and, after its time, set right; also when the run ends meanwhile, or when one of several could not be set. Without a time
// it stays wrong, and what comes next comes while it is.
func TestClock(t *testing.T) {
	hour := v1alpha1.Step(time.Hour)
	clock := func(target v1alpha1.FaultTarget, step v1alpha1.Step, seconds float64) v1alpha1.Fault {
		return v1alpha1.Fault{Schedule: schedule(1, 0, 1), Action: v1alpha1.Clock, Target: target, Step: step, For: v1alpha1.Duration(seconds * float64(time.Second))}
	}
	kill := v1alpha1.Fault{Schedule: schedule(3, 0, 1), Action: v1alpha1.Kill, Target: "shard-1", RestartAfter: seconds(1)}
	for _, tt := range []struct {
		name   string
		faults []v1alpha1.Fault
		breaks map[string]error
		within time.Duration // 0: until all is over
		want   []string
		role   string
		back   int64 // ns
		err    string
	}{
		{name: "forward, and back", faults: []v1alpha1.Fault{clock("shard-0", hour, 4)},
			want: []string{"1s clock 1h0m0s shard-0", "5s clock 0s shard-0"}, role: "shard, clock set by 1h0m0s", back: 1000 + 5.5e9},
		{name: "all stores, backward", faults: []v1alpha1.Fault{clock(v1alpha1.AllStores, -hour, 1)}, role: "3 stores, clock set by -1h0m0s", back: 1000 + 2.5e9,
			want: []string{"1s clock -1h0m0s store-0", "1s clock -1h0m0s store-1", "1s clock -1h0m0s store-2", "2s clock 0s store-0", "2s clock 0s store-1", "2s clock 0s store-2"}},
		{name: "for good", faults: []v1alpha1.Fault{clock("shard-0", hour, 0), kill}, role: "shard, clock set by 1h0m0s",
			want: []string{"1s clock 1h0m0s shard-0", "3s kill shard-1", "4s start shard-1"}},
		{name: "the run ends", faults: []v1alpha1.Fault{clock("shard-0", hour, 4)}, within: 2 * time.Second,
			want: []string{"1s clock 1h0m0s shard-0", "2s clock 0s shard-0"}, role: "shard, clock set by 1h0m0s", err: "deadline"},
		{name: "one cannot be set", faults: []v1alpha1.Fault{clock(v1alpha1.AllStores, hour, 4)}, breaks: map[string]error{"clock 1h0m0s store-1": errors.New("refused")},
			role: "3 stores, clock set by 1h0m0s", err: "refused",
			want: []string{"1s clock 0s store-0", "1s clock 0s store-1", "1s clock 0s store-2", "1s clock 1h0m0s store-0", "1s clock 1h0m0s store-1", "1s clock 1h0m0s store-2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				f.breaks = tt.breaks
				ctx, cancel := t.Context(), func() {}
				if tt.within > 0 {
					ctx, cancel = context.WithTimeout(ctx, tt.within)
				}
				defer cancel()
				r := f.carryOut(ctx, tt.faults...)[0]
				slices.Sort(f.did)
				if !slices.Equal(f.did, tt.want) {
					t.Errorf("did %q\nwant %q", f.did, tt.want)
				}
				if r.Role != tt.role || r.BackNs != tt.back || (r.Err == nil) != (tt.err == "") || r.Err != nil && !strings.Contains(r.Err.Error(), tt.err) {
					t.Errorf("record %+v", r)
				}
			})
		})
	}
}
