package poster

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"connectrpc.com/connect"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/schedule"
	"github.com/chatfleet/chatfleet/simulator/internal/stamp"
)

const run = 42

// evenly is a schedule of n posts, one a millisecond, over three channels.
func evenly(n int) []schedule.Post {
	posts := make([]schedule.Post, n)
	for i := range posts {
		posts[i] = schedule.Post{Due: time.Duration(i) * time.Millisecond, Log: i % 3, Bytes: 64, Broadcast: schedule.NoBroadcast}
	}
	return posts
}

func config(f *fleet, posts []schedule.Post) Config {
	return Config{
		Run: run, Posts: posts, Endpoints: f.endpoints(), StartNs: stamp.Now(), JSONShare: 0.5,
		Logs:      []Log{{"c0", "token"}, {"c1", "token"}, {"c2", "token"}},
		TryWithin: 300 * time.Millisecond, GiveUpAfter: 20 * time.Second,
	}
}

func mustRun(t *testing.T, c Config) *Poster {
	t.Helper()
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// Whatever the endpoints do, each post is acknowledged once and is in its log once, where the acknowledgement says.
func TestEveryPostArrivesOnce(t *testing.T) {
	unavailable := refusing(connect.CodeUnavailable, &chatv1.Error{Code: chatv1.Error_CODE_UNAVAILABLE, Message: "no owner"})
	busy := refusing(connect.CodeResourceExhausted, &chatv1.Error{Code: chatv1.Error_CODE_TOO_MANY, RetryAfterMs: 20, Message: "slow down"})
	for name, plants := range map[string][]plant{
		"all well":                {nil, nil},
		"one of two unavailable":  {unavailable, nil},
		"one of two draining":     {refusing(connect.CodeUnavailable, &chatv1.Error{Code: chatv1.Error_CODE_DRAINING}), nil},
		"sometimes too many":      {every(3, busy), every(5, busy)},
		"cut before":              {every(2, cutting(false)), every(3, cutting(false))},
		"cut after it was stored": {every(2, cutting(true)), every(3, cutting(true))},
		"one hangs":               {hanging, nil},
		"503 without a word":      {func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(503) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t, plants...)
			p := mustRun(t, config(f, evenly(200)))
			logs := f.posts(run)
			total := 0
			for _, log := range logs {
				total += len(log)
			}
			if total != 200 {
				t.Errorf("%d posts are stored, want 200", total)
			}
			for n, out := range p.Outcomes() {
				log := logs[fmt.Sprintf("c%d", n%3)]
				switch {
				case out.Failure != "" || out.AcknowledgedNs == 0 || out.Epoch != 7:
					t.Fatalf("post %d: %+v", n, out)
				case out.Pts > uint64(len(log)) || log[out.Pts-1] != uint32(n):
					t.Errorf("post %d is not at position %d", n, out.Pts)
				case !(out.IntendedNs <= out.SentNs && out.SentNs <= out.AnswerNs && out.AnswerNs <= out.AcknowledgedNs):
					t.Errorf("post %d: moments out of order: %+v", n, out)
				}
			}
			if c := p.Counts(); c.Intended != 200 || c.Sent != 200 || c.Acknowledged != 200 || c.Failed != 0 {
				t.Errorf("counts %+v", c)
			}
			if caps := p.Caps(); caps != nil {
				t.Errorf("caps %v", caps)
			}
		})
	}
}

func TestRepeatsAreSeen(t *testing.T) {
	f := newFleet(t, every(2, cutting(true)))
	p := mustRun(t, config(f, evenly(50)))
	repeated := 0
	for _, out := range p.Outcomes() {
		if out.Repeated {
			repeated++
			if out.Tries < 2 {
				t.Errorf("repeated at the first try: %+v", out)
			}
		}
	}
	if repeated == 0 {
		t.Error("posts whose first answer was cut are not marked as repeated")
	}
}

// A process that dies takes posts in flight with it; they arrive by way of the others.
func TestEndpointDies(t *testing.T) {
	f := newFleet(t, slow(5*time.Millisecond), nil)
	dying := httptest.NewServer(f.servers[0].Config.Handler)
	c := config(f, evenly(400))
	c.Endpoints = append(c.Endpoints, dying.URL)
	go func() {
		time.Sleep(100 * time.Millisecond)
		dying.CloseClientConnections()
		dying.Close()
	}()
	p := mustRun(t, c)
	if n := p.Counts().Acknowledged; n != 400 {
		t.Errorf("%d of 400 acknowledged", n)
	}
}

func TestRefusalIsFinal(t *testing.T) {
	f := newFleet(t, nil)
	c := config(f, evenly(6))
	c.Logs[1] = Log{"unknown", "token"}
	c.Logs[2] = Log{"c2", "stolen"}
	p := mustRun(t, c)
	for n, out := range p.Outcomes() {
		want := []string{"", "NOT_FOUND", "UNAUTHENTICATED"}[n%3]
		if out.Failure != want || out.Tries != 1 || (want == "") == (out.AcknowledgedNs == 0) {
			t.Errorf("post %d: %+v, want failure %q at the first try", n, out, want)
		}
	}
	tally := TallyDue(c.Posts, p.Outcomes(), 0, time.Hour)
	if tally.Failed != 4 || tally.Errors["NOT_FOUND"] != 2 || tally.LongestWait != measure.Never {
		t.Errorf("tally %+v", tally)
	}
}

func TestDeadline(t *testing.T) {
	f := newFleet(t, hanging)
	c := config(f, evenly(3))
	c.TryWithin, c.GiveUpAfter = 50*time.Millisecond, 200*time.Millisecond
	p := mustRun(t, c)
	for n, out := range p.Outcomes() {
		if out.Failure != FailureDeadline || out.Tries < 2 || out.AcknowledgedNs != 0 {
			t.Errorf("post %d: %+v", n, out)
		}
	}
}

// An answer that is no position is a failure and not an acknowledgement.
func TestNonsenseIsNoAcknowledgement(t *testing.T) {
	for name, body := range map[string]string{"empty": "", "json": "{}", "rubbish": "<html>welcome</html>"} {
		f := newFleet(t, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { _, _ = w.Write([]byte(body)) })
		p := mustRun(t, config(f, evenly(4)))
		for n, out := range p.Outcomes() {
			if out.Failure != FailureNonsense {
				t.Errorf("%s: post %d: %+v", name, n, out)
			}
		}
	}
}

// The generator says so when it ran into its own bound: what was late then says nothing about the fleet.
func TestCapIsReported(t *testing.T) {
	f := newFleet(t, slow(100*time.Millisecond))
	c := config(f, evenly(20))
	c.MaxInFlight = 4
	p := mustRun(t, c)
	if caps := p.Caps(); len(caps) != 1 {
		t.Errorf("caps %v, want one", caps)
	}
	if most := p.Counts().MostInFlight; most != 4 {
		t.Errorf("%d in flight, want 4", most)
	}
}

// Open loop: a fleet that answers late does not hold up what is due after.
func TestSlowAnswersDelayNoPost(t *testing.T) {
	f := newFleet(t, slow(2*time.Second))
	c := config(f, evenly(100))
	c.TryWithin = 20 * time.Second
	p := mustRun(t, c)
	last := p.Outcomes()[99]
	first := p.Outcomes()[0]
	if last.SentNs >= first.AcknowledgedNs {
		t.Error("the last post, due 99 ms after the first, waited for the first to be acknowledged")
	}
	if p.Counts().MostInFlight < 90 {
		t.Errorf("at most %d posts were under way together, want almost all", p.Counts().MostInFlight)
	}
}

func TestInterrupted(t *testing.T) {
	f := newFleet(t, hanging)
	posts := append(evenly(3), schedule.Post{Due: time.Hour, Log: 0, Bytes: 64})
	p, err := New(config(f, posts))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(200*time.Millisecond, cancel)
	if err := p.Run(ctx); err != nil {
		t.Fatal(err)
	}
	for n, out := range p.Outcomes()[:3] {
		if out.Failure != FailureInterrupted {
			t.Errorf("post %d: %+v", n, out)
		}
	}
	if out := p.Outcomes()[3]; out.SentNs != 0 || out.Failure != "" {
		t.Errorf("a post that was not due: %+v", out)
	}
}

func TestNewRefuses(t *testing.T) {
	f := newFleet(t, nil)
	good := config(f, evenly(3))
	for name, change := range map[string]func(*Config){
		"no endpoint":     func(c *Config) { c.Endpoints = nil },
		"unknown channel": func(c *Config) { c.Logs = c.Logs[:2] },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestLongestWait(t *testing.T) {
	const never, end = measure.Never, math.MaxInt64
	outcomes := []Outcome{
		{IntendedNs: 100, SentNs: 101, AcknowledgedNs: 150}, // over before the window
		{IntendedNs: 180, SentNs: 181, AcknowledgedNs: 220}, // under way when it begins
		{IntendedNs: 250, SentNs: 251, AcknowledgedNs: 260},
		{IntendedNs: 270}, // never sent
		{IntendedNs: 290, SentNs: 291, AcknowledgedNs: 800}, // under way when it ends
		{IntendedNs: 300, SentNs: 301, AcknowledgedNs: 900}, // after it
	}
	for _, c := range []struct {
		from, to  int64
		want      time.Duration
		wantPosts int64
	}{{200, 300, 40, 3}, {300, end, 600, 2}, {150, 170, 50, 1}, {1000, end, 0, 0}} {
		if longest, n := LongestWait(outcomes, c.from, c.to); longest != c.want || n != c.wantPosts {
			t.Errorf("%d to %d: longest %d of %d, want %d of %d", c.from, c.to, longest, n, c.want, c.wantPosts)
		}
	}
	if got := Oldest(outcomes, 300); got != 290 {
		t.Errorf("the oldest under way at 300 was due at %d, want 290", got)
	}
	if got := Oldest(outcomes, 160); got != 160 {
		t.Errorf("the oldest under way at 160 was due at %d, want none", got)
	}
	outcomes = append(outcomes, Outcome{IntendedNs: 295, SentNs: 296, Failure: FailureDeadline})
	slices.Reverse(outcomes)
	if longest, _ := LongestWait(outcomes, 300, end); longest != never {
		t.Errorf("longest %d, want Never", longest)
	}
}
