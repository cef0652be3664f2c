package swarm

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// cutAll cuts everybody and waits until all are back.
func (r *rig) cutAll(order int) {
	r.Helper()
	before := r.swarm.Progress().Counters.Aborted
	n, err := r.swarm.Cut(r.Context(), order, 1)
	if err != nil {
		r.Fatal(err)
	}
	all := int64(r.cfg.Sessions)
	r.until("all are back", func(c Counters) bool { return c.Aborted == before+n && c.AwayNow == 0 && c.SignedInNow == all })
}

// Who has a resume token comes back with it, and with everything; the first sign-in is by the other token.
func TestSessionsResume(t *testing.T) {
	for _, json := range []float64{0, 1} {
		t.Run(fmt.Sprintf("json %g", json), func(t *testing.T) {
			r := newRig(t, 50)
			r.cfg.JSONShare, r.cfg.Loops = json, 2
			r.server.Resume = time.Hour
			r.start()
			r.cutAll(1)
			r.post(3)
			r.cutAll(2)
			res := r.finish(true)
			c := res.Counters
			if c.Resumed != 100 || c.ReturnsResumed != 100 || c.ResumesRefused != 0 || res.Resumed.Total() != 100 || res.SignIns.Total() != 150 {
				t.Errorf("%d resumed, %d of those who came back, %d refused; %d and %d sign-ins by their moment",
					c.Resumed, c.ReturnsResumed, c.ResumesRefused, res.Resumed.Total(), res.SignIns.Total())
			}
			if res.Verification.Lost != 0 || res.Verification.Delivered != 150 || c.Duplicate != 0 {
				t.Errorf("account %+v, %d twice", res.Verification, c.Duplicate)
			}
			if least := len("resume-sim-49"); res.ResumeBytesPerSubscriber < least || res.BytesPerSubscriber < BytesPerSubscriber(1, 0)+least {
				t.Errorf("%d bytes a subscriber, %d of them for resuming", res.BytesPerSubscriber, res.ResumeBytesPerSubscriber)
			}
		})
	}
}

// A resume token that is refused, or too old, costs a session nothing but the other token.
func TestSessionsThatCannotResume(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		r := newRig(t, 20)
		r.server.Resume = time.Hour
		r.server.OnResume = func(string) error { return errors.New("revoked") }
		r.start()
		r.cutAll(1)
		c := r.finish(true).Counters
		if c.Resumed != 0 || c.ResumesRefused != 20 || c.SignedInNow != 20 {
			t.Errorf("%+v", c)
		}
	})
	t.Run("too old", func(t *testing.T) {
		r := newRig(t, 20)
		r.server.Resume = time.Millisecond
		r.server.OnResume = func(string) error { return errors.New("asked to resume after the end of its token") }
		r.start()
		time.Sleep(10 * time.Millisecond)
		r.cutAll(1)
		if c := r.finish(true).Counters; c.Resumed != 0 || c.ResumesRefused != 0 {
			t.Errorf("%+v", c)
		}
	})
	t.Run("none", func(t *testing.T) {
		r := newRig(t, 20)
		r.start()
		r.cutAll(1)
		if c := r.finish(true).Counters; c.Resumed != 0 || c.Renewals != 0 {
			t.Errorf("%+v", c)
		}
	})
}

// A session asks for a new resume token before the old one ends.
func TestSessionsRenew(t *testing.T) {
	r := newRig(t, 20)
	r.server.Resume = 300 * time.Millisecond
	r.server.Limits = &chatv1.Limits{PingWithinMs: 60}
	r.start()
	r.until("all have renewed some times", func(c Counters) bool { return c.Renewals >= 60 })
	r.finish(true)
}

// The tokens stay what they are while others come, go and get longer.
func TestResumesAreKeptApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 10).Draw(t, "sessions")
		r, want := newResumes(n), make([]string, n)
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			i := rapid.Int32Range(0, int32(n-1)).Draw(t, "session")
			length := rapid.SampledFrom([]int{0, 1, 10, 100, maxResumeBytes, maxResumeBytes + 1}).Draw(t, "length")
			token := strings.Repeat(string('a'+i), length)
			r.keep(i, token, 0, 10)
			if want[i] = token; length > maxResumeBytes {
				want[i] = ""
			}
			for k := range want {
				if got := r.token(int32(k), 9); got != want[k] || r.token(int32(k), 10) != "" {
					t.Fatalf("session %d has %d bytes, want %d", k, len(got), len(want[k]))
				}
			}
		}
	})
}
