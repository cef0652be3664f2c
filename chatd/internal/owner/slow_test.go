package owner_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chatfleet/chatfleet/chatd/internal/owner"
)

// behind is a partition whose stream is behind: it takes appends one after the other, in the order in which they come, also those of an owner
// that does not wait for them any more.
type behind struct {
	*journal
	line chan func()
	done chan struct{} // closed once all is taken, after line is
}

func newBehind(p *partition, delay func(n int) time.Duration) *behind {
	b := &behind{newJournal(p), make(chan func(), 100_000), make(chan struct{})}
	go func() {
		defer close(b.done)
		n := 0
		for next := range b.line {
			n++
			time.Sleep(delay(n))
			next()
		}
	}()
	return b
}

func (b *behind) Appender() (owner.Appender, error) {
	return &inLine{b, make(chan owner.Outcome, 4096)}, nil
}

type inLine struct {
	b        *behind
	outcomes chan owner.Outcome
}

func (a *inLine) Append(_ string, event []byte, after uint64) error {
	a.b.line <- func() { a.outcomes <- a.b.append(event, after) }
	return nil
}

func (a *inLine) Outcomes() <-chan owner.Outcome { return a.outcomes }
func (a *inLine) Close()                         {}

// termsEnded is how many terms an owner has ended by itself.
func termsEnded(t *testing.T, r *prometheus.Registry) (n int) {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "chatd_owner_terms_ended_total" {
			n += int(f.GetMetric()[0].GetCounter().GetValue())
		}
	}
	return n
}

// A stream that is behind, but answers, ends no term, however long each append waits for those before it: that would put it further behind. One
// that stalls for longer than the owner is patient ends a few, until the owner knows: from 100 ms to the most that it bears patience doubles 9
// times, and each further term lasts as long as that, while what earlier terms left in the line (400 posts, 100 s) is taken. How much is
// left there is the scheduler's choice; an owner that does not learn ends 400. All posts are acknowledged, once.
func TestASlowStreamEndsNoTerm(t *testing.T) {
	const posts = 400
	for name, c := range map[string]struct {
		delay func(n int) time.Duration
		ended int // at most
	}{
		"each append takes its time": {func(int) time.Duration { return 20 * time.Millisecond }, 0},
		"it stalls now and then":     {func(n int) time.Duration { return time.Duration(n%10/9) * 250 * time.Millisecond }, 9 + 1},
		"it stalls all the time":     {func(int) time.Duration { return 250 * time.Millisecond }, 9 + 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s, registry := newPartition(), newShard(), prometheus.NewRegistry()
				j := newBehind(p, c.delay)
				cfg := config(t, j, s)
				cfg.Metrics = owner.NewMetrics(registry)
				stop := lead(cfg)
				if r := s.request(t, createRequest("ann", "g1")); r.Error != nil {
					t.Fatal(r.Error)
				}
				var posters sync.WaitGroup
				at := make([]uint64, posts)
				for id := range uint64(posts) {
					posters.Go(func() {
						r := s.request(t, postRequest("ann", "g1", id+1))
						if r.Error != nil {
							t.Error(r.Error)
						}
						at[id] = r.Pts
					})
				}
				posters.Wait()
				stop()
				close(j.line)
				<-j.done
				stream := p.valid(t)
				for id, pts := range at {
					if got := stream.At("g1", pts); got != uint64(id+1) {
						t.Errorf("post %d was acknowledged at %d, where %d stands", id+1, pts, got)
					}
				}
				if n := termsEnded(t, registry); n > c.ended {
					t.Errorf("%d terms have ended, want %d at most", n, c.ended)
				} else {
					t.Log(n, "terms have ended")
				}
			})
		})
	}
}
